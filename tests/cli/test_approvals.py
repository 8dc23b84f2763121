"""Approvals and webhooks on the command line, against a real server: what a second person sees and does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cli.conftest import Served, new_cli, serving, skill
from tests.cli.test_server_commands import token
from tests.runtime.test_webhooks import Receiver, receiving

CALL = ("invoke", "acme/adder", "--input", '{"x": 1}')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with serving(new_cli(folder, package_cache, webhook_allow_private="true")) as served:
        made = skill(folder, python="iniconfig==2.1.0")
        assert served("install", made, "--publisher", "acme").code == 0
        yield served


@pytest.fixture(scope="module")
def second(server: Served) -> str:
    return token(server, "people", "bob", "--role", "admin")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as running:
        yield running


@contextmanager
def waiting(server: Served, agent: str) -> Iterator[subprocess.Popen[str]]:
    """``invoke --wait-for-approval`` that has said that it waits."""
    with subprocess.Popen(
        server.cli.command(*CALL, "--wait-for-approval", "10m", "--json"),
        cwd=server.cli.folder,
        env=server.cli.environment(server=server.url, token=agent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert any("waiting until" in line for line in process.stderr)
            yield process
        finally:
            process.kill()


def test_a_second_person_finds_what_waits_and_the_waiting_call_goes_on(server: Served, second: str) -> None:
    agent = token(server, "agents", "report-bot", "--maturity", "intern")
    with waiting(server, agent) as process:
        table = server("approvals", token=second)
        header, row, *_ = table.out.splitlines()
        assert header.startswith("id  age")
        for part in ("acme/adder@1.0.0", "report-bot (INTERN, of ", "iniconfig 2.1.0, first use", "pending", "bob"):
            assert part in row
        request = row.split()[0]
        assert [one["id"] for one in server("approvals", "--json").document["approvals"]] == [int(request)]
        assert server("approvals", "list", "--agent", "report-bot", "--package", "iniconfig").out.splitlines()[1:] != []
        assert server("approvals", "list", "--older-than", "2h").out.splitlines()[1:] == []
        shown = server("approvals", "show", request, token=second).out
        for part in ("iniconfig 2.1.0 (pypi, new here)", "first use of this skill", "can be approved by bob", "scan: "):
            assert part in shown
        part = server("approvals", "approve", request, "--package", "iniconfig", "--json", token=second).document
        assert (part["state"], part["split_from"], part["second_person"]) == ("approved", int(request), True)
        assert process.poll() is None, "the first use still waits"
        approved = server("approvals", "approve", request, "--comment", "fine", token=second)
        assert approved.out == f"request {request} about acme/adder@1.0.0 is approved\n"
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert '"result":2' in out.replace(" ", "")
        listed = server("approvals", "list", "--all").out
        assert "approved" in listed


def test_a_denial_ends_the_waiting_call_with_exit_code_1(server: Served, second: str) -> None:
    agent = token(server, "agents", "denied-bot", "--maturity", "intern")
    with waiting(server, agent) as process:
        (asked,) = server("approvals", "list", "--agent", "denied-bot", "--json").document["approvals"]
        assert server("approvals", "deny", str(asked["id"]), "--comment", "use the other", token=second).code == 0
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "use the other" in out
    again = server(*CALL, token=agent)
    assert again.code == 1
    assert "bob denied request" in again.err


def test_a_wait_in_vain_is_exit_code_4_and_a_length_is_checked(server: Served) -> None:
    agent = token(server, "agents", "patient-bot", "--maturity", "intern")
    assert server(*CALL, "--wait-for-approval", "1s", token=agent).code == 4
    wrong = server(*CALL, "--wait-for-approval", "soon", token=agent)
    assert wrong.code == 2
    assert "--wait-for-approval" in wrong.err
    assert "3600 s at most" in server(*CALL, "--wait-for-approval", "9h", token=agent).err


def test_a_webhook_is_added_tested_and_removed(server: Served, receiver: Receiver) -> None:
    added = server("webhooks", "add", receiver.url("/fail/1"), "--event", "package.banned", "--json").document
    receiver.allow(added["secret"])
    failed = server("webhooks", "test", str(added["id"]))
    assert failed.code == 1
    assert "answered with status 503" in failed.out
    assert server("webhooks", "test", str(added["id"])).code == 0
    assert "package.banned" in server("webhooks", "list").out
    assert server("packages", "ban", "left-pad", "--reason", "a test says so").code == 0
    give_up = time.monotonic() + 60
    while not any(one["body"]["type"] == "package.banned" for one in receiver.heard):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    listed = server("webhooks", "deliveries", str(added["id"])).out
    assert "webhook.test" in listed
    assert server("webhooks", "remove", str(added["id"])).code == 0
    assert str(receiver.port) not in server("webhooks", "list").out
    assert server("webhooks", "add", "https://user:pw@example.org/").code != 0
