"""The chapter about the marketplace: a second Skillyard is the hub, and everything goes there and back."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.marketplace import IssuedInstanceTokenView
from skillyard.api.schemas.people import IssuedTokenView
from skillyard.api.schemas.skills import InstallationView
from skillyard.cli.client import Client, parsed
from skillyard.cli.demo.server import DemoServer, command, fresh_home, start
from skillyard.cli.demo.stage import Stage, StoryError, make_call
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.times import utcnow

T = TypeVar("T")

SETTINGS: Mapping[str, str] = {"SKILLYARD_MARKETPLACE_ALLOW_PRIVATE": "true"}
"""What a server needs to follow a hub on its own machine."""

_SKILL = SkillRef("carol", "price-tag")
_FILES = {
    "SKILL.md": """---
name: price-tag
description: Adds tax to a net price and writes it as a price tag.
metadata:
  version: "1.0.0"
  skillyard.entry: "scripts/tag.py:tag"
---
# Price tag

Call `tag` with a net price and a tax rate in percent.
""",
    "scripts/tag.py": """def tag(net: float, tax: float = 19) -> str:
    return f"{net * (1 + tax / 100):.2f} EUR"
""",
}
_PATIENCE = 120.0
_LOOK_SECONDS = 0.05
_PUBLISH_SECONDS = 180
_AT_HUB = f"/v1/marketplace/skills/{_SKILL.publisher}/{_SKILL.name}"
_AT_REMOTE = f"/v1/remotes/hub/skills/{_SKILL.publisher}/{_SKILL.name}"


def marketplace(stage: Stage) -> None:
    settings = dict(one.split("=", 1) for one in stage.server.environment)
    with fresh_home(stage.server.home / "hub") as home:
        with stage.narrator.waiting("starting a second Skillyard, the hub"):
            hub = start(home, _settings_of_hub(settings, home))
        with hub, Client(address=hub.url, token=hub.token) as carol:
            stage.narrator.say(f"Carol runs a Skillyard of her own at {hub.url}; others may follow it.")
            _published(stage, hub, carol)
            _followed(stage, hub, carol)
            _rated(stage, carol)
            _edited_twice(stage, carol)
            _revoked(stage, carol)


def _published(stage: Stage, hub: DemoServer, carol: Client) -> None:
    carol.post("/v1/marketplace/publishers", {"name": _SKILL.publisher, "display_name": "Carol"})
    with tempfile.TemporaryDirectory() as folder:
        skill = Path(folder) / _SKILL.name
        for path, text in _FILES.items():
            (skill / path).parent.mkdir(parents=True, exist_ok=True)
            (skill / path).write_text(text, encoding="utf-8")
        environment = (*hub.environment, f"SKILLYARD_SERVER={hub.url}", f"SKILLYARD_TOKEN={hub.token}")
        words = ("publish", str(skill), "--publisher", _SKILL.publisher, "--json")
        done = subprocess.run(
            command(environment, *words), capture_output=True, text=True, timeout=_PUBLISH_SECONDS, check=False
        )
    stage.require(done.returncode == 0, "the skill to be published", f"{done.stdout}{done.stderr}")
    stage.narrator.good(f"{_SKILL} 1.0.0 is parsed strictly, scanned and published there.")


def _followed(stage: Stage, hub: DemoServer, carol: Client) -> None:
    expires = (utcnow() + timedelta(hours=1)).isoformat()
    wanted = {"name": "alice", "scopes": ["read", "publish", "rate"], "expires_at": expires}
    token = parsed(IssuedInstanceTokenView, carol.post("/v1/marketplace/tokens", wanted).value).token
    alice = stage.cast.alice
    began = time.monotonic()
    alice.post("/v1/remotes", {"name": "hub", "url": hub.url, "token": token, "strategy": "manual"})
    _until("the hub's feed to be read to its head", lambda: alice.get("/v1/remotes/hub").value["succeeded_at"])
    stage.require(_listed(alice), "the skill to be found here", alice.get("/v1/remotes/hub").value)
    seconds = round(time.monotonic() - began, 1)
    stage.narrator.good(f"Alice follows it with a token of hers; {seconds:g} s later the skill is found in her mirror.")
    made = parsed(InstallationView, alice.post("/v1/skills", {"source": f"hub:{_SKILL}"}).value)
    stage.narrator.good(
        f"Installed as {_SKILL}@{made.version.version}, by her own scan: {made.version.report.verdict}."
    )
    bot = parsed(AgentView, alice.post("/v1/agents", {"name": "shop-bot", "maturity": "AUTONOMOUS"}).value)
    issued = parsed(IssuedTokenView, alice.post("/v1/tokens", {"agent": bot.id, "name": "demo"}).value)
    stage.notes["shop_bot"] = issued.token
    with Client(address=stage.server.url, token=issued.token) as caller:
        view = make_call(caller, _SKILL, {"net": 10}, {})
    stage.require(
        view.outcome.state is OutcomeState.SUCCEEDED and view.outcome.result == "11.90 EUR",
        "the call to succeed",
        view.outcome.reason or view.outcome.result,
    )
    stage.narrator.good(f"Her agent calls it in a sandbox here: {view.outcome.result}.")


def _rated(stage: Stage, carol: Client) -> None:
    stage.cast.alice.put(f"{_AT_REMOTE}/rating", {"stars": 5, "review": "To the cent."})
    found = _until("the rating to appear at the hub", lambda: _items(carol, f"{_AT_HUB}/ratings"))
    stage.require(found[0]["stars"] == 5, "five stars at the hub", found)
    stage.narrator.good("A rating that Alice gives here appears at the hub, without her name.")


def _edited_twice(stage: Stage, carol: Client) -> None:
    alice = stage.cast.alice
    held = {"remote": "hub", "job": "uploads", "paused": True}
    alice.put("/v1/admin/sync/config", held)
    # The run that sent the rating would take along what is put there before it has ended.
    _until("the sending of the rating to end", lambda: not _sending(alice))
    alice.post(f"{_AT_REMOTE}/edit", {"topics": ["prices", "tax"]})
    carol.put(f"{_AT_HUB}/deprecation", {"reason": "Replaced in spring."})
    # What is resumed is due at once.
    alice.put("/v1/admin/sync/config", held | {"paused": False})
    (conflict, *_) = _until("the conflict", lambda: _items(alice, "/v1/admin/sync/conflicts"))
    stage.narrator.say("Alice gives it topics while Carol deprecates it, both from the same base.")
    stage.narrator.good(f"A conflict of {conflict['kind']}, {conflict['severity']}: kept with all sides, not guessed.")
    alice.post(f"/v1/admin/sync/conflicts/{conflict['id']}/resolve", {"strategy": "merge"})
    merged = _until("the merged skill at the hub", lambda: _merged(carol))
    stage.narrator.good(f"She has it merged, and the hub has both: {', '.join(merged['topics'])}, and deprecated.")
    stage.notes["conflict"] = conflict["kind"]


def _revoked(stage: Stage, carol: Client) -> None:
    key, reason = f"{_SKILL}@1.0.0", "it rounds the wrong way"
    asked = time.monotonic()
    carol.post("/v1/marketplace/moderation", {"key": key, "state": "revoked", "reason": reason})
    with Client(address=stage.server.url, token=str(stage.notes.pop("shop_bot"))) as caller:
        told = _until("the call to be refused here", lambda: _refusal(caller))
    seconds = round(time.monotonic() - asked, 1)
    stage.require("revoked" in told, "a refusal that says so", told)
    stage.narrator.good(f"Carol revokes it ({reason}). {seconds:g} s later no agent of Alice's can call it: {told}")
    stage.notes["revoked_after_seconds"] = seconds


def _settings_of_hub(settings: Mapping[str, str], home: Path) -> dict[str, str]:
    own = {"SKILLYARD_HOME": str(home), "SKILLYARD_DATABASE_URL": f"sqlite+aiosqlite:///{home / 'skillyard.db'}"}
    return {**settings, **own}


def _listed(alice: Client) -> bool:
    found = alice.get("/v1/marketplace/skills", remote="hub", q=_SKILL.name).value
    return isinstance(found, dict) and bool(found["items"])


def _merged(carol: Client) -> dict[str, Any] | None:
    found: dict[str, Any] = json.loads(json.dumps(carol.get(_AT_HUB).value))
    return found if found["topics"] and found["deprecated"] else None


def _items(client: Client, path: str) -> list[dict[str, Any]]:
    page: dict[str, Any] = json.loads(json.dumps(client.get(path).value))
    items: list[dict[str, Any]] = page["items"]
    return items


def _sending(alice: Client) -> bool:
    newest: list[dict[str, Any]] = alice.get("/v1/admin/sync/runs", remote="hub", job="uploads", limit=1).value["items"]
    return any(run["state"] == "running" for run in newest)


def _refusal(caller: Client) -> str:
    """Why a call is refused; empty while it is not."""
    decision = make_call(caller, _SKILL, {"net": 10}, {}).decision
    return decision.reasons[0].message if decision.kind == "deny" else ""


def _until(expected: str, look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + _PATIENCE
    while not (found := look()):
        if time.monotonic() > deadline:
            raise StoryError(f"expected {expected} within {_PATIENCE:g} s")
        time.sleep(_LOOK_SECONDS)
    return found
