"""Commands against a real server: a team's day, with everybody's own token."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import SKILLS, Cli, Served, new_cli, serving, skill


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Served]:
    with serving(new_cli(tmp_path_factory.mktemp("served"), package_cache)) as served:
        yield served


def token(server: Served, kind: str, name: str, *options: str) -> str:
    """A new person or agent, and a token for it."""
    made = server(kind, "create", name, *options)
    assert made.code == 0, made.err
    issued = server(kind, "token", name)
    assert issued.code == 0, issued.err
    return issued.out.strip()


def test_a_skill_is_installed_held_approved_called_and_removed(server: Served, tmp_path: Path) -> None:
    second = token(server, "people", "bob", "--role", "admin")
    intern = token(server, "agents", "report-bot", "--maturity", "intern")
    folder = skill(tmp_path, python="iniconfig==2.1.0")

    installed = server("install", folder, "--publisher", "acme", "--json").document
    assert installed["version"]["state"] == "held"
    assert [one["name"] for one in installed["unapproved"]] == ["iniconfig"]

    call = ("invoke", "acme/adder", "--input", '{"x": 1}')
    held = server(*call, "--json", token=intern)
    assert (held.code, held.document["outcome"]["state"]) == (4, "refused")
    request = str(held.document["approval"])

    shown = server("approvals", "show", request, token=second)
    assert "iniconfig 2.1.0" in shown.out
    alone = server("approvals", "approve", request, "--json")
    assert (alone.code, alone.document["code"]) == (1, "second_person_required")
    assert server("approvals", "approve", request, token=second).code == 0

    answered = server(*call, token=intern)
    assert (answered.code, answered.out) == (0, "2\n")

    newer = skill(tmp_path / "newer", version="1.1.0", python="iniconfig==2.1.0")
    assert server("upgrade", newer, "--publisher", "acme", "--json").document["moved"] is True
    assert server("rollback", "acme/adder", "--json").document["new"] == "1.0.0"
    listed = server("list", "--json").document["skills"]
    (adder,) = [one for one in listed if one["publisher"] == "acme"]
    assert adder["active_version"] == "1.0.0"
    assert {one["version"] for one in adder["versions"]} == {"1.0.0", "1.1.0"}

    assert server("uninstall", "acme/adder").code == 0
    assert server(*call, token=intern).code == 1


def test_an_upgrade_that_waits_for_approval_is_exit_code_4(server: Served, tmp_path: Path) -> None:
    assert server("install", skill(tmp_path, name="grower")).code == 0
    newer = skill(tmp_path / "newer", name="grower", version="1.1.0", python="pluggy==1.6.0")
    waits = server("upgrade", newer, "--json")
    assert (waits.code, waits.document["moved"], waits.document["old"]) == (4, False, "1.0.0")


def test_output_streams_and_files_come_back(server: Served, tmp_path: Path) -> None:
    code = (
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\nopen('made.txt', 'w').write(open('in.txt').read())\n"
    )
    assert server("install", skill(tmp_path, name="talker", files={"scripts/x.py": code})).code == 0
    agent = token(server, "agents", "talking-bot", "--maturity", "autonomous")
    (server.cli.folder / "mine.txt").write_text("hello")
    ran = server("invoke", "local/talker", "--file", "in.txt=mine.txt", "--output-dir", "talked", token=agent)
    assert (ran.code, ran.out) == (0, "out\n"), ran.err
    assert "err\n" in ran.err
    assert (server.cli.folder / "talked" / "made.txt").read_text() == "hello"


def test_a_vulnerable_skill_is_refused_with_its_report(server: Served) -> None:
    refused = server("install", SKILLS / "legacy-fetch", "--json")
    assert (refused.code, refused.document["code"]) == (1, "report_refused")
    assert refused.document["report"]["verdict"] == "BLOCK"
    assert "PYSEC-2019-217" in server("install", SKILLS / "legacy-fetch").err


def test_a_ban_ends_calls_until_it_is_lifted(server: Served, tmp_path: Path) -> None:
    folder = skill(tmp_path, name="banned", python="iniconfig==2.0.0")
    assert server("packages", "approve", "iniconfig", "--versions", "==2.0.0", "--maturity", "intern").code == 0
    assert server("install", folder).code == 0
    agent = token(server, "agents", "banned-bot", "--maturity", "autonomous")
    call = ("invoke", "local/banned", "--input", '{"x": 1}')
    assert server(*call, token=agent).code == 0
    assert server("packages", "ban", "iniconfig", "--versions", "<2.1", "--reason", "a test says so").code == 0
    refused = server(*call, token=agent)
    assert refused.code == 1
    assert "a test says so" in refused.err
    assert "a test says so" in server("packages", "list", "--state", "banned").out
    assert server("packages", "unban", "iniconfig").code == 0
    assert server(*call, token=agent).code == 0


def test_an_agent_is_promoted_suspended_and_resumed(server: Served, tmp_path: Path) -> None:
    assert server("install", skill(tmp_path, name="for-all")).code == 0
    agent = token(server, "agents", "student-bot")
    call = ("invoke", "local/for-all", "--input", '{"x": 1}')
    assert server(*call, token=agent).code == 1
    assert server("agents", "set-maturity", "student-bot", "supervised", "--force", "--reason", "does well").code == 0
    assert server(*call, token=agent).code == 0
    assert server("agents", "suspend", "student-bot", "--reason", "holidays").code == 0
    assert server(*call, token=agent).code == 1
    assert server("agents", "resume", "student-bot", "--reason", "back").code == 0
    assert server(*call, token=agent).code == 0


def test_login_remembers_a_server_in_a_file_of_ones_own(server: Served, tmp_path: Path, package_cache: Path) -> None:
    client = new_cli(tmp_path / "client", package_cache)
    logged_in = client("login", "--server", server.url, stdin=f"{server.token}\n")
    assert logged_in.code == 0, logged_in.err
    assert "admin" in logged_in.out
    assert server.token not in logged_in.out + logged_in.err
    file = client.home / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert client("list").code == 0
    file.chmod(0o644)
    assert client("list", "--json").document["code"] == "credentials"


def test_a_token_that_is_wrong_is_said_and_not_remembered(server: Served, tmp_path: Path, package_cache: Path) -> None:
    client = new_cli(tmp_path / "client", package_cache)
    refused = client("login", "--server", server.url, "--json", stdin="sky_1_wrong\n")
    assert (refused.code, refused.document["code"]) == (1, "unauthenticated")
    assert not (client.home / "credentials.json").exists()


def test_without_a_token_nothing_is_asked_of_anybody(cli: Cli) -> None:
    asked = cli("login", "--server", "http://127.0.0.1:9", stdin="")
    assert asked.code == 2
    assert "token" in asked.err


def test_a_server_that_does_not_answer_is_exit_code_5(cli: Cli) -> None:
    unreachable = cli("list", "--json", server="http://127.0.0.1:9", token="sky_1_x")
    assert (unreachable.code, unreachable.document["code"]) == (5, "server_unavailable")


def test_what_is_not_found_is_exit_code_1(server: Served) -> None:
    for arguments in (("uninstall", "nobody/nothing"), ("approvals", "show", "999"), ("agents", "token", "nobody")):
        assert server(*arguments, "--json").code == 1, arguments


def test_a_second_server_cannot_listen_where_one_does(server: Served, cli: Cli) -> None:
    taken = cli("serve", "--port", server.url.rpartition(":")[2], "--json")
    assert (taken.code, taken.document["code"]) == (5, "address")
