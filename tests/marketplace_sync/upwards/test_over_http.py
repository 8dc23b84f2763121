"""A hub and a follower as servers: what people do over HTTP and at the command line arrives, or says why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from skillyard.cli.main import run
from tests.api.conftest import Server, made, serving

SCRIPT = Path(sys.executable).with_name("skillyard")


@dataclass(frozen=True)
class Pair:
    """A follower whose jobs run when they are told to, and its hub."""

    hub: httpx.Client
    here: httpx.Client
    server: Server
    hub_server: Server
    folder: Path

    def run(self, job: str) -> None:
        """Run a job now, and wait for its end."""
        trigger = {"remote": "hub", "job": job}
        give_up = time.monotonic() + 60
        # The first run may be under way: it was begun before anybody could say that nothing is.
        while (answer := self.here.post("/v1/admin/sync/trigger", json=trigger)).status_code == 409:
            assert time.monotonic() < give_up, answer.text
            time.sleep(0.1)
        assert answer.status_code == 202, answer.text
        while time.monotonic() < give_up:
            runs = self.here.get("/v1/admin/sync/runs", params={"job": job}).json()["items"]
            if runs[0]["state"] != "running":
                return
            time.sleep(0.1)
        raise AssertionError(f"{job} does not end")

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.begun(*arguments)
        out, err = command.communicate(timeout=120)
        return subprocess.CompletedProcess(command.args, command.returncode, out, err)

    def begun(self, *arguments: str, at: Server | None = None) -> subprocess.Popen[str]:
        server = at or self.server
        ours = {
            "SKILLYARD_HOME": str(self.folder / "cli"),
            "SKILLYARD_SERVER": server.url,
            "SKILLYARD_TOKEN": str(server.token),
        }
        return subprocess.Popen(
            [str(SCRIPT), *arguments],
            env={**os.environ, **ours},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    root = tmp_path_factory.mktemp("pair")
    with serving(root / "hub") as hub, serving(root / "here", marketplace_allow_private="true") as server:
        admin, here = hub.client(hub.token), server.client(server.token)
        made(admin.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
        soon = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 30 * 86_400))
        wanted = {"name": "here", "scopes": ["read", "publish", "rate"], "expires_at": soon}
        token = made(admin.post("/v1/marketplace/tokens", json=wanted))["token"]
        remote = {"name": "hub", "url": hub.url, "token": token, "live": False, "strategy": "manual"}
        made(here.post("/v1/remotes", json=remote))
        for job in ("catalogue", "uploads"):
            made(here.put("/v1/admin/sync/config", json={"remote": "hub", "job": job, "paused": True}))
        yield Pair(admin, here, server, hub, root)
        admin.close()
        here.close()


@pytest.fixture(scope="module")
def published(pair: Pair) -> Pair:
    """With a skill that was published from here, and that the mirror knows."""
    skill = pair.folder / "greeter"
    skill.mkdir()
    (skill / "SKILL.md").write_text('---\nname: greeter\ndescription: Greets.\nversion: "1.0.0"\n---\nSay hello.\n')
    done = pair.cli("publish", str(skill), "--to", "hub", "--publisher", "acme", "--wait", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert "becomes metadata version: 1.0.0" in done.stderr
    pair.run("uploads")
    pair.run("catalogue")
    return pair


def test_a_rating_given_here_appears_there(published: Pair) -> None:
    done = published.cli("rate", "hub:acme/greeter", "--stars", "4", "--review", "Friendly.")
    assert done.returncode == 0, done.stderr
    published.run("uploads")
    (given,) = published.here.get("/v1/remotes/hub/ratings").json()["items"]
    assert (given["stars"], given["mine"], given["upload"]["state"]) == (4, True, "sent")
    (there,) = published.hub.get("/v1/marketplace/skills/acme/greeter/ratings").json()["items"]
    assert (there["stars"], there["review"]) == (4, "Friendly.")
    for wrong in (("--remove", "--review", "No."), ("--remove", "--author", "Ann")):
        assert published.cli("rate", "hub:acme/greeter", *wrong).returncode == 2
    assert published.cli("rate", "acme/greeter", "--stars", "4", "--author", "Ann").returncode == 2
    taken_back = published.cli("rate", "hub:acme/greeter", "--remove")
    # It is not taken back there before it is sent.
    assert "waits to be sent to hub" in taken_back.stdout, taken_back.stderr
    published.run("uploads")
    assert published.hub.get("/v1/marketplace/skills/acme/greeter/ratings").json()["items"] == []


def test_an_edit_on_both_sides_is_shown_and_decided(published: Pair) -> None:
    made(published.hub.put("/v1/marketplace/skills/acme/greeter/deprecation", json={"reason": "Too polite."}))
    edit = published.cli("uploads", "edit", "hub:acme/greeter", "--description", "Greets people.", "--json")
    assert edit.returncode == 0, edit.stderr
    published.run("uploads")
    (found,) = published.here.get("/v1/admin/sync/conflicts", params={"state": "open"}).json()["items"]
    assert (found["key"], found["kind"], found["severity"]) == ("acme/greeter", "metadata", "LOW")

    shown = published.cli("conflicts", "show", str(found["id"]))
    assert shown.returncode == 0, shown.stderr
    assert "description  (changed here)" in shown.stdout
    assert "deprecated  (changed there)" in shown.stdout
    assert "< here:   Greets people." in shown.stdout

    both = published.here.post(f"/v1/admin/sync/conflicts/{found['id']}/resolve", json={})
    assert (both.status_code, both.json()["code"]) == (422, "invalid_input")
    done = published.cli("conflicts", "resolve", str(found["id"]), "--strategy", "merge", "--json")
    assert done.returncode == 0, done.stderr
    published.run("uploads")
    there = published.hub.get("/v1/marketplace/skills/acme/greeter").json()
    assert (there["description"], there["deprecated"]["reason"]) == ("Greets people.", "Too polite.")
    detail = published.here.get(f"/v1/admin/sync/conflicts/{found['id']}").json()
    assert (detail["state"], detail["strategy"], detail["result"]["description"]) == (
        "resolved",
        "merge",
        "Greets people.",
    )

    again = published.here.post("/v1/admin/sync/conflicts/resolve", json={"ids": [found["id"]], "strategy": "merge"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    none = published.here.post("/v1/admin/sync/conflicts/resolve", json={"ids": [10_000], "strategy": "merge"})
    assert none.status_code == 404


def test_one_number_for_two_contents_waits_and_goes_up_as_the_next(published: Pair) -> None:
    other = published.folder / "other" / "greeter"
    other.mkdir(parents=True)
    (other / "SKILL.md").write_text(
        '---\nname: greeter\ndescription: Other.\nmetadata:\n  version: "1.0.0"\n---\nHi.\n'
    )
    done = published.cli("publish", str(other), "--to", "hub", "--publisher", "acme", "--wait", "0")
    assert done.returncode == 0, done.stderr
    published.run("uploads")
    (found,) = published.here.get("/v1/admin/sync/conflicts", params={"state": "open"}).json()["items"]
    assert (found["key"], found["kind"]) == ("acme/greeter@1.0.0", "content")
    made(published.here.post(f"/v1/admin/sync/conflicts/{found['id']}/resolve", json={"strategy": "local_wins"}))
    published.run("uploads")
    versions = published.hub.get("/v1/marketplace/skills/acme/greeter/versions").json()["items"]
    assert {one["version"] for one in versions} == {"1.0.0", "1.0.1"}


def test_members_decide_nothing_and_see_no_conflicts(published: Pair) -> None:
    person = made(published.here.post("/v1/persons", json={"name": "member", "role": "member"}))
    token = made(published.here.post("/v1/tokens", json={"name": "test", "person": person["id"]}))["token"]
    with published.server.client(str(token)) as member:
        assert member.get("/v1/admin/sync/conflicts").status_code == 403
        body = {"description": "Mine."}
        assert member.post("/v1/remotes/hub/skills/acme/greeter/edit", json=body).status_code == 403
        made(member.put("/v1/remotes/hub/skills/acme/greeter/rating", json={"stars": 5}))


def test_the_servers_own_marketplace_is_published_to_directly(published: Pair) -> None:
    made(published.here.post("/v1/marketplace/publishers", json={"name": "home", "display_name": "Home"}))
    done = published.cli("publish", str(published.folder / "greeter"), "--publisher", "home")
    assert done.returncode == 0, done.stderr
    assert published.here.get("/v1/marketplace/skills/home/greeter").status_code == 200


@pytest.mark.parametrize(
    "arguments",
    [
        ("rate", "greeter", "--stars", "3"),
        ("rate", "hub:acme/greeter"),
        ("publish", "nothing-there", "--to", "hub"),
        ("uploads", "edit", "hub:acme/greeter"),
        ("uploads", "retry"),
        ("conflicts", "resolve", "1"),
    ],
)
def test_commands_that_say_too_little_are_usage_errors(
    published: Pair, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SKILLYARD_HOME", str(tmp_path))
    monkeypatch.setenv("SKILLYARD_SERVER", published.server.url)
    monkeypatch.setenv("SKILLYARD_TOKEN", str(published.server.token))
    assert run(arguments) == 2


def test_a_version_that_the_remote_has_otherwise_is_no_success(published: Pair) -> None:
    made(published.here.put("/v1/remotes/hub", json={"strategy": "remote_wins"}))
    text = '---\nname: greeter\ndescription: Greets.\nmetadata:\n  version: "9.0.0"\n---\nSay {}.\n'
    folder = published.folder / "twice" / "greeter"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text.format("good evening"))
    theirs = published.begun("publish", str(folder), "--publisher", "acme", at=published.hub_server)
    _, problem = theirs.communicate(timeout=120)
    assert theirs.returncode == 0, problem
    (folder / "SKILL.md").write_text(text.format("hello"))
    ours = published.begun("publish", str(folder), "--to", "hub", "--publisher", "acme", "--wait", "60", "--json")
    waiting = {"state": "waiting", "kind": "version"}
    while not published.here.get("/v1/admin/sync/uploads", params=waiting).json()["items"]:
        assert ours.poll() is None
        time.sleep(0.1)
    published.run("uploads")
    out, err = ours.communicate(timeout=120)
    upload = json.loads(out)
    assert (upload["state"], upload["dropped"]) == ("dropped", "theirs"), err
    assert ours.returncode == 1


def test_a_run_that_did_not_end_in_time_is_no_success(pair: Pair) -> None:
    pair.hub_server.process.send_signal(signal.SIGSTOP)
    try:
        waited = pair.cli("sync", "run", "hub", "--seconds", "1")
    finally:
        pair.hub_server.process.send_signal(signal.SIGCONT)
    assert (waited.returncode, "still runs after 1 s" in waited.stderr) == (1, True), waited.stdout
