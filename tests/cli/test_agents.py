"""Agents and supervision on the command line: promoted on evidence, watched, stopped."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Served, new_cli, serving, skill

SLOW = "import time\n\n\ndef run(x: int) -> int:\n    print('begun', flush=True)\n    time.sleep(x)\n    return x\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with serving(new_cli(folder, package_cache)) as served:
        made = skill(folder, name="slow")
        (made / "scripts" / "main.py").write_text(SLOW)
        assert served("install", made).code == 0
        yield served


def new_agent(server: Served, name: str, maturity: str, *options: str) -> str:
    made = server("agents", "create", name, "--maturity", maturity)
    assert made.code == 0, made.err
    issued = server("agents", "token", name, *options)
    assert issued.code == 0, issued.err
    return issued.out.strip()


def test_an_agent_is_promoted_on_evidence_and_demoted(server: Served) -> None:
    agent = new_agent(server, "climber", "supervised")
    nothing = server("agents", "evidence", "climber")
    assert "no call ended by itself" in nothing.out
    for _ in range(2):
        assert server("invoke", "local/slow", "--input", '{"x": 0}', token=agent).code == 0
    seen = server("agents", "evidence", "climber", "--days", "1", "--json").document
    assert (seen["calls"], seen["success"]["rate"], seen["states"]) == (2, 1.0, {"succeeded": 2})
    up = server("agents", "promote", "climber", "--reason", "steady")
    assert "100.0% (2 of 2" in up.out
    assert "SUPERVISED -> AUTONOMOUS" in up.out
    assert server("agents", "promote", "climber", "--reason", "more").code == 2
    down = server("agents", "demote", "climber", "--to", "student", "--reason", "odd", "--json").document
    assert (down["from"], down["to"], down["agent"]["maturity"]) == ("AUTONOMOUS", "STUDENT", "STUDENT")
    assert server("invoke", "local/slow", "--input", '{"x": 0}', token=agent).code == 1
    skipped = server("agents", "promote", "climber", "--to", "autonomous", "--reason", "again", "--json")
    assert (skipped.code, skipped.document["code"]) == (1, "level_skipped")
    assert server("agents", "promote", "climber", "--to", "autonomous", "--reason", "known", "--force").code == 0
    assert server("agents", "demote", "climber", "--to", "autonomous", "--reason", "r").code == 2
    changes = server("agents", "history", "climber", "--json").document["changes"]
    assert [(one["before"], one["after"], one["reason"], one["forced"]) for one in changes] == [
        ("STUDENT", "AUTONOMOUS", "known", True),
        ("AUTONOMOUS", "STUDENT", "odd", False),
        ("SUPERVISED", "AUTONOMOUS", "steady", False),
    ]
    assert "steady" in server("agents", "history", "climber").out


def test_a_scope_is_given_shown_and_used(server: Served) -> None:
    plain = new_agent(server, "plain", "autonomous")
    helper = new_agent(server, "helper", "autonomous", "--scope", "admin")
    ban = ("packages", "ban", "left-over", "--reason", "a test says so")
    assert server(*ban, token=plain).code == 1
    assert server(*ban, token=helper).code == 0
    listed = server("people", "tokens", "--json").document["tokens"]
    assert sorted(one["scopes"] for one in listed if one["holder"].startswith("agent/"))[-1] == ["admin"]
    assert "admin" in server("people", "tokens").out
    assert server("agents", "demote", "helper", "--reason", "enough").code == 0
    assert server("packages", "unban", "left-over", token=helper).code == 1


def test_a_call_is_watched_stopped_and_looked_at(server: Served) -> None:
    agent = new_agent(server, "watched", "supervised")
    environment = server.cli.environment(server=server.url, token=agent)
    call = server.cli.command("invoke", "local/slow", "--input", '{"x": 600}', "--json")
    watchers: list[subprocess.Popen[str]] = []
    with subprocess.Popen(
        call, env=environment, cwd=server.cli.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        try:
            identity = _live(server)
            watching = subprocess.Popen(
                server.cli.command("supervision", "watch", identity),
                env=server.cli.environment(server=server.url, token=server.token),
                cwd=server.cli.folder,
                stdout=subprocess.PIPE,
                text=True,
            )
            watchers.append(watching)
            assert watching.stdout is not None
            seen = ""
            while "stdout: begun" not in seen:
                line = watching.stdout.readline()
                assert line, f"it ended without what the call said:\n{seen}"
                seen += line
            assert server("supervision", "stop", identity, "--reason", "").code == 1
            stopped = server("supervision", "stop", identity, "--reason", "it loops")
            assert "it loops" in stopped.out
            rest, _ = watching.communicate(timeout=60)
            assert "state=cancelled" in rest.splitlines()[-1]
            out, _ = running.communicate(timeout=60)
        finally:
            running.kill()
            for left in watchers:
                left.kill()
                left.communicate()
    outcome = json.loads(out)["outcome"]
    assert (outcome["state"], outcome["reason"].endswith("it loops")) == ("cancelled", True)
    shown = server("supervision", "show", identity)
    assert "cancelled" in shown.out
    replayed = [json.loads(line) for line in server("supervision", "watch", identity, "--json").out.splitlines()]
    assert [replayed[0]["event"], replayed[-1]["event"]] == ["started", "ended"]
    assert identity in server("supervision", "list", "--agent", "watched").out
    assert server("supervision", "list", token=agent).code == 1
    assert server("supervision", "watch", "nothing").code == 2


def _live(server: Served) -> str:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        calls = server("supervision", "list", "--live", "--json").document["calls"]
        if calls:
            return str(calls[0]["call"]["id"])
    raise AssertionError("no supervised call runs")
