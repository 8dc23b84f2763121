"""Tenants over HTTP: with every kind of id of another tenant, on every route, as everybody of one's own.

The routes are the application's own. A new one is asked by itself; where it needs a body, or an id of a kind that is
not made here yet, it fails until somebody says which.

What a workspace publishes is public to whoever holds a token of the instance (ADR 0035): there everybody may look, and
nobody but its publisher may change anything. Which routes those are is said below.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from skillyard.api.application import create_app
from skillyard.database import open_database, utcnow
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.conflicts import store as conflict_store
from skillyard.marketplace_sync.conflicts.detect import Difference
from skillyard.marketplace_sync.conflicts.values import ConflictKind, Severity
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace
from skillyard.marketplace_sync.upwards.values import UploadId
from skillyard.settings import Settings
from tests.api.conftest import made, serving, skill_zip, upload
from tests.marketplace_sync.hubs import Unindexed

Ids = dict[str, Any]
Route = tuple[str, str]

MARK = f"mark{uuid.uuid4().hex[:10]}"
"""Part of whatever the victim has that is text, so that it can be looked for in every answer."""
SHOWN = f"shown{uuid.uuid4().hex[:10]}"
"""Part of what the victim published instead: everybody may see that."""
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()
PUBLIC = {"/health", "/health/sync", "/openapi.json"}
WAIVED = {
    "ecosystem": "pypi",
    "name": f"waived-{MARK}",
    "version": "1.0",
    "advisory": f"ADV-{MARK}",
    "reason": MARK,
    "expires_at": SOON,
}
PUBLISHED = {
    "SKILL.md": f'---\nname: {SHOWN}\ndescription: Writes.\nmetadata:\n  version: "1.0.0"\n---\nA table.\n'.encode(),
    "notes.md": f"About {SHOWN}.\n".encode(),
}
AHEAD = f"Not published yet: {MARK}\n".encode()
"""A file that was sent ahead of a publication."""


BODIES: dict[Route, Any] = {
    ("PUT", "/v1/agents/{agent_id}/maturity"): {"maturity": "INTERN", "reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/agents/{agent_id}/resume"): {"reason": "theft"},
    ("PUT", "/v1/agents/{agent_id}/pins/{publisher}/{name}"): {"version": "1.0.0"},
    ("POST", "/v1/quarantine/{publisher}/{name}/versions/{version}/lift"): {"reason": "theft"},
    ("POST", "/v1/approvals/{approval_id}/revoke"): {"reason": "theft"},
    ("POST", "/v1/skills/{publisher}/{name}/activate"): {"version": "1.0.0"},
    ("POST", "/v1/supervision/{invocation_id}/stop"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/suspend"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/resume"): {"reason": "theft"},
    ("POST", "/v1/workspaces/{workspace_id}/quotas"): {"agents": 0},
    ("POST", "/v1/marketplace/tokens/{token_id}/rotate"): {"expires_at": SOON, "grace_seconds": 0},
    ("POST", "/v1/admin/sync/conflicts/{conflict_id}/resolve"): {"strategy": "remote_wins"},
    ("PUT", "/v1/remotes/{name}"): {"live": False},
    ("POST", "/v1/remotes/{name}/accept-key"): {"key": "ab" * 32},
    ("POST", "/v1/remotes/{name}/token"): {"token": None},
    ("POST", "/v1/remotes/{name}/signers/{publisher}/accept"): {"key": "ab" * 32},
    ("POST", "/v1/remotes/{remote}/publish"): {"git": {"url": "https://127.0.0.1:9/theft.git"}},
    ("POST", "/v1/remotes/{remote}/publish-installed"): {"skill": f"local/skill-{MARK}@1.0.0"},
    ("POST", "/v1/remotes/{remote}/skills/{publisher}/{name}/edit"): {"description": "theft"},
    ("POST", "/v1/remotes/{remote}/skills/{publisher}/{name}/versions/{version}/yank"): {"reason": "theft"},
    ("PUT", "/v1/remotes/{remote}/skills/{publisher}/{name}/rating"): {"stars": 1},
}
"""What routes with ids in their paths need besides."""

NO_IDS: set[Route] = {
    ("POST", "/v1/persons"),
    ("POST", "/v1/packages/approve"),
    ("POST", "/v1/packages/ban"),
    ("POST", "/v1/packages/import"),
    ("POST", "/v1/packages/allow-list"),
    ("POST", "/v1/packages/request"),
    ("POST", "/v1/audit/head"),
    ("POST", "/v1/webhooks"),
    ("POST", "/v1/workspaces"),
    ("POST", "/v1/skills/import"),
    ("POST", "/v1/remotes"),
    ("POST", "/v1/marketplace/publishers"),
    ("POST", "/v1/marketplace/tokens"),
    ("POST", "/v1/marketplace/token/rotate"),
    ("POST", "/v1/marketplace/put-back"),
}
"""Routes that change something and can be given no id of anybody's."""

_SKILL = "/v1/marketplace/skills/{publisher}/{name}"
CATALOGUE: set[Route] = {
    ("GET", path)
    for path in (
        "/v1/marketplace",
        "/v1/marketplace/head",
        "/v1/marketplace/changes",
        "/v1/marketplace/snapshot",
        "/v1/marketplace/publishers",
        "/v1/marketplace/categories",
        "/v1/marketplace/moderation",
        "/v1/marketplace/skills",
        _SKILL,
        f"{_SKILL}/versions",
        f"{_SKILL}/ratings",
        f"{_SKILL}/versions/{{version}}/files",
        f"{_SKILL}/versions/{{version}}/report",
        "/v1/marketplace/files/{sha256}",
        "/marketplace.json",
        "/.well-known/agent-skills/index.json",
        "/.well-known/agent-skills/{publisher}/{name}/{version}/{digest}.tar.gz",
        "/publishers/{publisher}/.well-known/agent-skills/index.json",
    )
}
"""What reads the instance's own catalogue: public to whoever holds a token by design (ADR 0035), so that nothing in
it is a tenant's secret. A moderator's words, reviews with their authors' names, and publishers' keys are part of it.
Four of these read a mirror instead, if they are asked to, and a mirror is its workspace's alone."""

PUBLISHERS: set[Route] = {
    ("POST", "/v1/marketplace/publishers/{publisher}/keys"),
    ("DELETE", "/v1/marketplace/publishers/{publisher}/keys/{key}"),
    ("PUT", f"{_SKILL}/channels/{{channel}}"),
    ("DELETE", f"{_SKILL}/channels/{{channel}}"),
    ("PUT", f"{_SKILL}/deprecation"),
    ("DELETE", f"{_SKILL}/deprecation"),
    ("POST", "/v1/marketplace/moderation"),
    ("POST", "/v1/marketplace/push"),
}
"""What changes the catalogue for its publisher: refused with 403, since everybody knows that it is there."""

OPERATORS: set[Route] = {
    ("PUT", "/v1/marketplace/categories/{category}"),
    ("DELETE", "/v1/marketplace/categories/{category}"),
    ("DELETE", f"{_SKILL}/ratings/{{origin}}/{{rater}}"),
}
"""What changes it for the instance's operators, whoever published."""

RATING: set[Route] = {("PUT", f"{_SKILL}/rating"), ("DELETE", f"{_SKILL}/rating")}
"""One's own word of a skill, which everybody has."""

AHEAD_ROUTES: set[Route] = {("GET", "/v1/marketplace/uploads/{sha256}"), ("PUT", "/v1/marketplace/files/{sha256}")}
"""Files on their way to a publication; of one that is not there it is said that 0 bytes are."""
BY_THEMSELVES = CATALOGUE | PUBLISHERS | OPERATORS | RATING | AHEAD_ROUTES
"""Routes with ids that are no secret, or are answered in another way than with 404: each has its own test below."""


def in_bodies(ids: Ids) -> dict[Route, list[dict[str, Any]]]:
    """Requests whose ids are not in the path; each is answered as one with ids that exist nowhere."""
    asked = {"packages": [{"name": "left-pad", "version": "1.0"}], "agent": ids["agent_id"]}
    return {
        ("POST", "/v1/tokens"): [
            {"json": {"name": "theft", "agent": ids["agent_id"]}},
            {"json": {"name": "theft", "person": ids["person_id"]}},
        ],
        ("POST", "/v1/agents"): [{"json": {"name": "theft", "owner": ids["person_id"]}}],
        ("POST", "/v1/waivers"): [{"json": {**WAIVED, "owner": ids["person"]}}],
        ("POST", "/v1/skills"): [{"json": {"source": f"{ids['remote']}:{ids['publisher']}/{ids['name']}"}}],
        ("POST", "/v1/skills/upgrade"): [{"json": {"source": f"{ids['remote']}:{ids['publisher']}/{ids['name']}"}}],
        ("POST", "/v1/admin/sync/conflicts/resolve"): [
            {"json": {"ids": [ids["conflict_id"]], "strategy": "remote_wins"}}
        ],
        ("GET", "/v1/admin/sync/conflicts"): [{"params": {"remote": ids["remote"]}}],
        ("POST", "/v1/invocations"): [
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}"}},
            {"json": {"skill": f"{ids['publisher']}/{ids['name']}@{ids['version']}"}},
        ],
        ("POST", "/v1/packages/unban"): [{"json": {"name": ids["package"]}}],
        ("POST", "/v1/packages/check"): [{"json": asked}],
        ("GET", "/v1/packages/check"): [
            {"params": {"name": "left-pad", "version": "1.0", "agent": ids["agent_id"]}},
            {"params": {"name": ids["package"], "version": "1.0"}},
        ],
        ("GET", "/v1/supervision"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/supervision/live"): [{"params": {"agent": ids["agent_id"]}}],
        ("GET", "/v1/packages/rules"): [{"params": {"name": ids["package"]}}],
        ("POST", "/v1/admin/sync/trigger"): [{"json": {"remote": ids["remote"]}}],
        ("PUT", "/v1/admin/sync/config"): [{"json": {"remote": ids["remote"], "job": "catalogue", "paused": True}}],
        ("POST", "/v1/admin/sync/uploads/retry"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/admin/sync/uploads"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/admin/sync/runs"): [{"params": {"remote": ids["remote"]}}],
        ("GET", "/v1/audit/records"): [{"params": {"subject": f"agent/{ids['agent_id']}"}}],
    }


ROUTES: list[Route] = sorted(
    (method.upper(), path)
    for path, methods in create_app(Settings()).openapi()["paths"].items()
    if path not in PUBLIC
    for method in methods
)
WITH_IDS = [route for route in ROUTES if "{" in route[1] and route not in BY_THEMSELVES]
ABSENT: Ids = {
    **dict.fromkeys(
        (
            "agent_id",
            "token_id",
            "rule_id",
            "approval_id",
            "request_id",
            "webhook_id",
            "delivery_id",
            "person_id",
            "waiver_id",
            "upload_id",
            "conflict_id",
            "instance_token_id",
        ),
        987654321,
    ),
    "workspace_id": 987654321,
    "invocation_id": str(uuid.uuid4()),
    "publisher": "local",
    "name": "nothing-here",
    "version": "9.9.9",
    "path": "nowhere.bin",
    "package": "nothing-here",
    "person": "nobody-here",
    "remote": "nowhere-here",
}


def path_of(path: str, ids: Ids) -> str:
    """With the ids put in; some routes call a remote ``name``, or an instance's token ``token_id``."""
    named = dict(ids)
    if path.startswith(("/v1/remotes/{name}", "/v1/admin/sync/live/{name}")):
        named["name"] = ids["remote"]
    if path.startswith("/v1/marketplace/tokens/"):
        named["token_id"] = ids["instance_token_id"]
    return path.format_map(named)


@dataclass
class Tenant:
    """A workspace with everybody who can ask for something in it."""

    id: int
    admin: httpx.Client
    member: httpx.Client
    agent: httpx.Client
    trusted: httpx.Client
    """An agent that may act as an admin."""

    @property
    def everybody(self) -> dict[str, httpx.Client]:
        return {"admin": self.admin, "member": self.member, "agent": self.agent, "trusted": self.trusted}


@dataclass
class Scene:
    operator: httpx.Client
    victim: Tenant
    thief: Tenant
    ids: Ids
    """The victim's, of every kind."""
    published: Ids
    """What is in paths to what the victim published."""
    instance: httpx.Client
    """Another instance, with a token of the thief's workspace that carries every scope."""


def new_tenant(operator: httpx.Client, workspace: str, name: str, open_: Callable[[str], httpx.Client]) -> Tenant:
    founded: Any = made(operator.post("/v1/workspaces", json={"name": workspace}))
    admin = open_(founded["token"])

    def token(**holder: Any) -> httpx.Client:
        return open_(str(made(admin.post("/v1/tokens", json={"name": f"{name}-token", **holder}))["token"]))

    def agent(kind: str) -> int:
        wanted = {"name": f"{name}-{kind}", "maturity": "AUTONOMOUS"}
        return int(str(made(admin.post("/v1/agents", json=wanted))["id"]))

    member = made(admin.post("/v1/persons", json={"name": f"{name}-member"}))["id"]
    return Tenant(
        id=founded["workspace"]["id"],
        admin=admin,
        member=token(person=member),
        agent=token(agent=agent("agent")),
        trusted=token(agent=agent("trusted"), scopes=["admin"]),
    )


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def instance_token(admin: httpx.Client, name: str) -> Any:
    """A token for another instance that carries every scope."""
    wanted = {"name": name, "scopes": ["read", "publish", "rate"], "expires_at": SOON}
    return made(admin.post("/v1/marketplace/tokens", json=wanted))


def version_item(key: str, files: dict[str, bytes]) -> dict[str, Any]:
    rows = [{"path": path, "sha256": sha(one), "size": len(one), "executable": False} for path, one in files.items()]
    return {"item": f"publish-{uuid.uuid4().hex}", "kind": "version", "key": key, "document": "{}", "files": rows}


def push(client: httpx.Client, *items: dict[str, Any]) -> list[dict[str, Any]]:
    answer: Any = made(client.post("/v1/marketplace/push", json={"items": items}))
    return list(answer["results"])


def catalogue(client: httpx.Client) -> dict[tuple[str, str], dict[str, Any]]:
    """Every entry of the instance's own catalogue, as whoever asks is shown it."""
    page: Any = made(client.get("/v1/marketplace/snapshot", params={"limit": 200}))
    assert page["more"] is False
    return {(one["kind"], one["key"]): one for one in page["entries"]}


def publication(victim: Tenant, open_: Callable[[str], httpx.Client]) -> Ids:
    """A namespace with a key, a version, a channel, a review; and a file that was sent ahead and is not published."""
    admin, skill = victim.admin, f"/v1/marketplace/skills/{SHOWN}/{SHOWN}"
    made(admin.post("/v1/marketplace/publishers", json={"name": SHOWN, "display_name": SHOWN}))
    made(admin.post("/v1/marketplace/publishers", json={"name": f"{SHOWN}-too", "display_name": SHOWN}))
    for content in (*PUBLISHED.values(), AHEAD):
        assert made(admin.put(f"/v1/marketplace/files/{sha(content)}", content=content))["whole"] is True
    (answer,) = push(admin, version_item(f"{SHOWN}/{SHOWN}@1.0.0", PUBLISHED))
    assert answer["status"] == "applied", answer
    made(admin.put(f"{skill}/channels/beta", json={"version": "1.0.0"}))
    made(admin.put(f"{skill}/deprecation", json={"reason": f"{SHOWN} is old"}))
    # Signed from now on: what was published before is not.
    made(admin.post(f"/v1/marketplace/publishers/{SHOWN}/keys", json={"key": "cd" * 32}))
    rater = made(admin.post("/v1/persons", json={"name": f"{SHOWN}-rater"}))["id"]
    token = str(made(admin.post("/v1/tokens", json={"name": MARK, "person": rater}))["token"])
    made(open_(token).put(f"{skill}/rating", json={"stars": 5, "review": SHOWN}))
    (rating,) = [key for kind, key in catalogue(admin) if kind == "rating"]
    origin, _, name = rating.partition("#")[2].partition("/")
    index = made(admin.get("/.well-known/agent-skills/index.json"))
    (digest,) = re.findall(r"([0-9a-f]{64})\.tar\.gz", json.dumps(index))
    return {
        "publisher": SHOWN,
        "name": SHOWN,
        "version": "1.0.0",
        "channel": "beta",
        "key": "cd" * 32,
        "sha256": sha(PUBLISHED["notes.md"]),
        "digest": digest,
        "origin": origin,
        "rater": name,
    }


async def mirrored(database: str, ids: Ids) -> int:
    """A skill in the mirror of the victim's remote, and a conflict about it: as a follower writes them down."""
    market = MemoryMarketplace()
    key = f"{ids['publisher']}/{ids['name']}"
    theirs = canonical({"description": MARK, "updated_at": "2026-01-01T00:00:00Z", "channels": {}})
    local = canonical({"description": f"ours {MARK}", "updated_at": "2026-01-01T00:00:00Z", "channels": {}})
    await market.write(Change(EntryId(EntryKind.SKILL, key), theirs))
    opened = await open_database(database)
    try:
        async with opened.transaction() as session:
            remote = await remote_store.get(session, WorkspaceId(ids["workspace_id"]), ids["remote"])
            mirror = await catalogue_store.find(session, remote.catalogue)
            await catalogue_store.apply(session, mirror, list(market.entries.values()), projection=Unindexed())
            return await conflict_store.add(
                session,
                remote,
                UploadId(ids["upload_id"]),
                Difference(ConflictKind.METADATA, Severity.LOW, ("description",)),
                key=key,
                mark=conflict_store.fingerprint(remote.id, key, None, local, 1),
                base=None,
                local=local,
                theirs=theirs,
                rev=1,
                at=utcnow(),
            )
    finally:
        await opened.close()


def possessions(victim: Tenant, open_: Callable[[str], httpx.Client]) -> Ids:
    """One of everything that has an id, made as its owners make it."""
    admin = victim.admin
    made(upload(admin, skill_zip("echo", rename=f"skill-{MARK}")))
    me: Any = made(victim.agent.get("/v1/me"))
    agent = me["agent"]["id"]
    wanted = {
        "skill": f"skill-{MARK}",
        "entry": "scripts/copy.py",
        "argv": ["in", "left.bin", "more.bin"],
        "files": {"in": "YQ=="},
    }
    made(admin.put(f"/v1/agents/{agent}/pins/local/skill-{MARK}", json={"version": "1.0.0"}))
    pupil: Any = made(admin.post("/v1/agents", json={"name": f"{MARK}-intern", "maturity": "INTERN"}))
    watched: Any = made(admin.post("/v1/agents", json={"name": f"{MARK}-watched", "maturity": "SUPERVISED"}))
    issued: Any = made(admin.post("/v1/tokens", json={"name": f"{MARK}-intern", "agent": pupil["id"]}))
    approval = open_(issued["token"]).post("/v1/invocations", json={"skill": f"skill-{MARK}"}).json()["approval"]
    supervised = open_(made(admin.post("/v1/tokens", json={"name": MARK, "agent": watched["id"]}))["token"])  # type: ignore[arg-type]
    invocation = made(supervised.post("/v1/invocations", json=wanted))["id"]
    made(admin.post("/v1/packages/ban", json={"name": f"banned-{MARK}", "reason": f"because {MARK}"}))
    rule = made(
        admin.post("/v1/packages/approve", json={"name": f"fine-{MARK}", "min_maturity": "INTERN", "reason": MARK})
    )["id"]
    request: Any = made(victim.agent.post("/v1/packages/request", json={"name": f"new-{MARK}", "reason": MARK}))
    webhook = made(admin.post("/v1/webhooks", json={"url": f"http://127.0.0.1:9/{MARK}"}))["id"]
    delivery = made(admin.post(f"/v1/webhooks/{webhook}/test"))["id"]
    waiver = made(admin.post("/v1/waivers", json=WAIVED))["id"]
    remote = f"remote-{MARK}"
    made(admin.post("/v1/remotes", json={"name": remote, "url": "http://127.0.0.1:9"}))
    published = {"skill": f"local/skill-{MARK}@1.0.0"}
    sent = made(admin.post(f"/v1/remotes/{remote}/publish-installed", json=published))["id"]
    return {
        "remote": remote,
        "upload_id": sent,
        "instance_token_id": instance_token(admin, MARK)["id"],
        "publisher_key": made(admin.get("/v1/publisher-key"))["key"],
        "waiver_id": waiver,
        "agent_id": agent,
        "person_id": made(admin.get("/v1/persons"))["items"][0]["id"],  # type: ignore[index]
        "token_id": issued["id"],
        "rule_id": rule,
        "approval_id": approval,
        "request_id": request.get("id") or request["request"]["id"],
        "invocation_id": invocation,
        "webhook_id": webhook,
        "delivery_id": delivery,
        "workspace_id": victim.id,
        "publisher": "local",
        "name": f"skill-{MARK}",
        "version": "1.0.0",
        "path": "left.bin",
        "package": f"banned-{MARK}",
        "person": f"v-{MARK}-member",
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("tenants") / "home"
    private = {"webhook_allow_private": "true", "marketplace_allow_private": "true"}
    with serving(home, **private) as server, ExitStack() as clients:

        def open_(token: str) -> httpx.Client:
            return clients.enter_context(server.client(token))

        operator = open_(str(server.token))
        victim = new_tenant(operator, "victim", f"v-{MARK}", open_)
        ids = possessions(victim, open_)
        ids["conflict_id"] = asyncio.run(mirrored(server.database, ids))
        published = publication(victim, open_)
        thief = new_tenant(operator, "thief", "thief", open_)
        # Both publish too, so that what is refused is refused for what it is about.
        for admin, name in ((thief.admin, "thieves"), (operator, "house")):
            made(admin.post("/v1/marketplace/publishers", json={"name": name, "display_name": name}))
        instance = open_(instance_token(thief.admin, "thieves")["token"])
        yield Scene(operator, victim, thief, ids, published, instance)


def said(response: httpx.Response, ids: Ids) -> tuple[int, str]:
    """Status and body, with every id taken out of it that can have been asked for."""
    text = response.text
    for value in sorted({str(value) for value in (*ids.values(), *ABSENT.values())}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.-]){re.escape(value)}(?![\w-]|\.\d)", "#", text)
    return response.status_code, text


def state_of(victim: Tenant) -> Any:
    """The end of the audit chain: whatever is changed in a workspace moves it."""
    verified: Any = made(victim.admin.get("/v1/audit/verify"))
    assert verified["broken"] is None
    return verified["head"]


def ask(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    """The whole answer, also of a route that would stream."""
    return client.request(method, path, **request)


@pytest.mark.parametrize(("method", "path"), WITH_IDS, ids=[" ".join(route) for route in WITH_IDS])
def test_ids_of_another_tenant_are_ids_of_nothing(scene: Scene, method: str, path: str) -> None:
    body = BODIES.get((method, path))
    before = state_of(scene.victim)
    asking = dict(scene.thief.everybody)
    if not path.startswith("/v1/workspaces/"):
        asking["operator"] = scene.operator
    for who, client in asking.items():
        real = ask(client, method, path_of(path, scene.ids), json=body)
        absent = ask(client, method, path_of(path, ABSENT), json=body)
        assert real.status_code in {403, 404}, f"{who}: {real.status_code} {real.text}"
        assert said(real, scene.ids) == said(absent, scene.ids), f"{who} can tell that it exists"
        if real.status_code == 403:
            assert real.json()["code"] in {"forbidden", "admin_role_required", "operator_role_required"}
            assert who != "operator"
            assert who != "admin" or path.startswith("/v1/workspaces/"), "an admin is refused for the id, not the role"
        assert MARK not in re.sub(rf"(skill|remote)-{MARK}", "", real.text), (
            "the one name that was asked for, and no other"
        )
    assert state_of(scene.victim) == before, "it had an effect"


def test_ids_in_bodies_and_queries_are_ids_of_nothing(scene: Scene) -> None:
    before = state_of(scene.victim)
    absent = in_bodies(ABSENT)
    for (method, path), requests in in_bodies(scene.ids).items():
        for request, like in zip(requests, absent[method, path], strict=True):
            for who, client in {**scene.thief.everybody, "operator": scene.operator}.items():
                real = ask(client, method, path, **request)
                nothing = ask(client, method, path, **like)
                assert said(real, scene.ids) == said(nothing, scene.ids), f"{who}: {method} {path} {request}"
                if method != "GET" and "check" not in path:
                    assert real.status_code in {403, 404}, f"{who}: {method} {path}: {real.text}"
    assert state_of(scene.victim) == before


def test_ones_own_things_do_not_lead_to_anothers(scene: Scene) -> None:
    """The first id of the path is the thief's own, the second the victim's."""
    thief = scene.thief.admin
    agent: Any = made(scene.thief.agent.get("/v1/me"))
    mine = agent["agent"]["id"]
    webhook = made(thief.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/mine"}))["id"]
    name = scene.ids["name"]
    for method, path, body in (
        ("PUT", f"/v1/agents/{mine}/pins/local/{name}", {"version": "1.0.0"}),
        ("DELETE", f"/v1/agents/{mine}/pins/local/{name}", None),
        ("POST", f"/v1/webhooks/{webhook}/deliveries/{scene.ids['delivery_id']}/retry", None),
    ):
        response = thief.request(method, path, json=body)
        assert (response.status_code, response.json()["code"]) == (404, "not_found"), f"{method} {path}"


LISTS = [
    path
    for method, path in ROUTES
    if method == "GET" and "{" not in path and path != "/metrics" and ("GET", path) not in CATALOGUE
]
"""All but the published catalogue, and the figures for monitoring: those name the remotes of every workspace, for
operators alone."""


@pytest.mark.parametrize("path", LISTS)
def test_no_list_holds_anything_of_another_tenant(scene: Scene, path: str) -> None:
    marks = (MARK, scene.ids["invocation_id"], scene.ids["publisher_key"])
    if path == "/v1/marketplace/namespaces":
        # The names are public; which of them are one's own is asked here.
        marks = (SHOWN,)
    shown = [scene.victim.admin.get(path).text, scene.victim.agent.get(path).text]
    for who, client in scene.thief.everybody.items():
        response = client.get(path)
        assert response.status_code in {200, 403, 422}, f"{who}: {response.text}"
        assert not any(mark in response.text for mark in marks), who
    if path != "/v1/workspaces":
        assert not any(mark in scene.operator.get(path).text for mark in marks), (
            "operators do not see into workspaces either"
        )
    if any(mark in text for text in shown for mark in marks):
        return
    assert path in {
        "/v1/admin/sync/ratings/status",
        "/v1/admin/sync/runs",
        "/v1/advisories",
        "/v1/audit/archives",
        "/v1/audit/keys",
        "/v1/audit/verify",
        "/v1/packages/check",
        "/v1/packages/stats",
        "/v1/quarantine",
        "/v1/status",
        "/v1/supervision/live",
        "/v1/workspaces",
    }, "the victim sees nothing of its own here either: this proves nothing"


def test_every_route_is_asked_somehow() -> None:
    asked = set(WITH_IDS) | {("GET", path) for path in (*LISTS, "/metrics")} | NO_IDS | set(in_bodies(ABSENT))
    asked |= BY_THEMSELVES
    assert asked == set(ROUTES), "say in this file what ids a new route takes, or that it takes none"


def test_the_instances_own_figures_are_for_operators(scene: Scene) -> None:
    """How much all sandboxes together do is news of the other tenants."""
    assert made(scene.thief.admin.get("/v1/status"))["instance"] is None
    assert made(scene.operator.get("/v1/status"))["instance"] is not None


def test_an_operator_sees_name_state_and_usage_of_a_workspace_and_no_more(scene: Scene) -> None:
    listed: Any = made(scene.operator.get("/v1/workspaces", params={"limit": 200}))
    assert {"id": scene.victim.id, "name": "victim", "state": "active"} in listed["items"]
    assert set(listed["items"][0]) == {"id", "name", "state"}
    used: Any = made(scene.operator.get(f"/v1/workspaces/{scene.victim.id}/usage"))
    assert set(used) == {"workspace", "at", "quotas"}
    assert used == made(scene.victim.member.get(f"/v1/workspaces/{scene.victim.id}/usage")) | {"at": used["at"]}


# The marketplace: what is published is everybody's to see, and its publisher's alone to change.


@pytest.mark.parametrize(("method", "path"), sorted(CATALOGUE), ids=[path for _, path in sorted(CATALOGUE)])
def test_the_catalogue_shows_what_is_published_and_nothing_else(scene: Scene, method: str, path: str) -> None:
    for who, client in {**scene.thief.everybody, "operator": scene.operator}.items():
        response = ask(client, method, path.format_map(scene.published))
        assert response.status_code == 200, f"{who}: {response.text}"
        assert MARK not in response.text, who
        assert scene.ids["publisher_key"] not in response.text, who


def trespasses() -> dict[Route, Any]:
    """What a publisher, or an operator, may do to what the victim published: all with their bodies."""
    bodies: dict[Route, Any] = {
        ("POST", "/v1/marketplace/publishers/{publisher}/keys"): {"key": "ef" * 32},
        ("PUT", f"{_SKILL}/channels/{{channel}}"): {"version": "1.0.0"},
        ("PUT", f"{_SKILL}/deprecation"): {"reason": "theft"},
        ("POST", "/v1/marketplace/moderation"): {"key": f"{SHOWN}/{SHOWN}@1.0.0", "state": "yanked", "reason": "theft"},
        ("PUT", "/v1/marketplace/categories/{category}"): {"title": "theft"},
    }
    routes = (PUBLISHERS | OPERATORS) - {("POST", "/v1/marketplace/push")}
    assert set(bodies) <= routes
    return {route: bodies.get(route) for route in sorted(routes)}


def test_nobody_changes_what_another_published(scene: Scene) -> None:
    before, shown = state_of(scene.victim), catalogue(scene.operator)
    values = {**scene.published, "category": "data"}
    for (method, path), body in trespasses().items():
        asking = {**scene.thief.everybody, "instance": scene.instance}
        # Operators moderate, strike reviews and keep the categories, of whatever workspace: that is their office.
        if (method, path) not in OPERATORS | {("POST", "/v1/marketplace/moderation")}:
            asking["operator"] = scene.operator
        params = {"reason": "theft"} if path.endswith("{rater}") else {}
        for who, client in asking.items():
            response = ask(client, method, path.format_map(values), json=body, params=params)
            assert response.status_code == 403, f"{who}: {method} {path}: {response.status_code} {response.text}"
            # An admin is refused for whose it is, not for the role.
            may = who in {"admin", "operator"} and (method, path) in PUBLISHERS
            codes = {"not_allowed"} if may else {"not_allowed", "forbidden", "operator_role_required"}
            assert response.json()["code"] in codes, f"{who}: {method} {path}: {response.text}"
            assert MARK not in response.text
    assert catalogue(scene.operator) == shown
    assert state_of(scene.victim) == before


def test_nothing_is_pushed_into_anothers_namespace_or_in_anothers_name(scene: Scene) -> None:
    before, shown = state_of(scene.victim), catalogue(scene.operator)
    skill, rating = f"{SHOWN}/{SHOWN}", f"{SHOWN}/{SHOWN}#{scene.published['origin']}/{scene.published['rater']}"
    edited = json.loads(shown["skill", skill]["document"]) | {"description": "theft"}
    rated = json.loads(shown["rating", rating]["document"]) | {"stars": 1}
    rev = shown["skill", skill]["rev"]
    items = [
        version_item(f"{skill}@1.0.1", PUBLISHED),
        version_item(f"{SHOWN}-too/other@1.0.0", PUBLISHED),
        {"kind": "skill", "key": skill, "base_rev": rev, "document": json.dumps(edited)},
        {"kind": "moderation", "key": f"{skill}@1.0.0", "document": json.dumps({"state": "yanked", "reason": "theft"})},
        {"kind": "rating", "key": rating, "document": json.dumps(rated)},
        {"kind": "rating", "key": rating, "document": None},
    ]
    for who in (scene.thief.admin, scene.thief.member, scene.instance, scene.operator):
        answers = push(who, *({"item": uuid.uuid4().hex, **item} for item in items))
        assert [(one["status"], one["code"]) for one in answers] == [("refused", "not_allowed")] * len(items)
        assert all(one["current"] is None and one["missing"] == [] for one in answers)
    for agent in (scene.thief.agent, scene.thief.trusted):
        assert agent.post("/v1/marketplace/push", json={"items": []}).status_code == 403
    assert catalogue(scene.operator) == shown
    assert state_of(scene.victim) == before


def test_a_rating_is_ones_own(scene: Scene) -> None:
    shown = catalogue(scene.operator)
    path = f"{_SKILL}/rating".format_map(scene.published)
    assert scene.thief.member.delete(path).status_code == 404
    made(scene.thief.member.put(path, json={"stars": 1, "review": "mine"}))
    assert {key: entry for key, entry in catalogue(scene.operator).items() if key in shown} == shown
    assert scene.thief.member.delete(path).status_code == 204
    assert catalogue(scene.operator) == shown
    for agent in (scene.thief.agent, scene.thief.trusted):
        assert (agent.put(path, json={"stars": 1}).status_code, agent.delete(path).status_code) == (403, 403)


def test_a_file_that_was_sent_ahead_is_there_for_its_workspace_alone(scene: Scene) -> None:
    """Who knows a hash has not got the file: neither does it show, nor is anything published of it."""
    wanted, nothing = sha(AHEAD), sha(b"nothing that anybody sent")
    before = state_of(scene.victim)
    asking = {**scene.thief.everybody, "instance": scene.instance, "operator": scene.operator}
    for who, client in asking.items():
        for path in ("/v1/marketplace/uploads", "/v1/marketplace/files"):
            real, absent = client.get(f"{path}/{wanted}"), client.get(f"{path}/{nothing}")
            assert real.text.replace(wanted, nothing) == absent.text, f"{who}: {path}"
            assert real.status_code == absent.status_code, f"{who}: {path}"
        # Other bytes are not taken for it, and are not kept.
        put = client.put(f"/v1/marketplace/files/{wanted}", content=b"")
        assert put.status_code == (403 if who in {"agent", "trusted"} else 422), f"{who}: {put.text}"
    for client, namespace in ((scene.thief.admin, "thieves"), (scene.instance, "thieves"), (scene.operator, "house")):
        files = {"SKILL.md": PUBLISHED["SKILL.md"], "stolen.md": AHEAD}
        (answer,) = push(client, version_item(f"{namespace}/{SHOWN}@1.0.0", files))
        assert (answer["status"], answer["missing"]) == ("missing", [wanted])
    assert made(scene.victim.admin.get(f"/v1/marketplace/uploads/{wanted}"))["whole"] is True
    assert state_of(scene.victim) == before


def test_a_mirror_is_read_by_its_workspace_alone(scene: Scene) -> None:
    skill = _SKILL.format_map(scene.ids)
    for path in ("/v1/marketplace/skills", skill, f"{skill}/versions", f"{skill}/ratings"):
        seen = scene.victim.agent.get(path, params={"remote": scene.ids["remote"]})
        assert seen.status_code == 200, f"{path}: {seen.text}"
        for who, client in {**scene.thief.everybody, "operator": scene.operator, "instance": scene.instance}.items():
            real = client.get(path, params={"remote": scene.ids["remote"]})
            absent = client.get(path, params={"remote": ABSENT["remote"]})
            assert real.status_code == (403 if who == "instance" else 404), f"{who}: {path}: {real.text}"
            assert said(real, scene.ids) == said(absent, scene.ids), f"{who}: {path}"


def test_an_instances_token_lists_nothing_of_its_own_workspace_either(scene: Scene) -> None:
    for path in (path for path in LISTS if path.startswith("/v1/marketplace")):
        assert scene.instance.get(path).status_code == 403, path
