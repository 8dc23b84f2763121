"""``skillyard packages`` against a real server: asking, rules, and rules as files, with stable exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Served, new_cli, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Served]:
    with serving(new_cli(tmp_path_factory.mktemp("served"), package_cache)) as served:
        yield served


def token(server: Served, kind: str, name: str, *options: str) -> str:
    """A new person or agent, and a token for it."""
    assert server(kind, "create", name, *options).code == 0
    issued = server(kind, "token", name)
    assert issued.code == 0, issued.err
    return issued.out.strip()


def test_a_package_is_checked_with_a_code_for_each_answer(server: Served, tmp_path: Path) -> None:
    assert server("packages", "check", "checked==1.0").code == 4
    assert server("packages", "approve", "checked", "--versions", "<2", "--maturity", "supervised").code == 0
    assert server("packages", "check", "Checked==1.0").code == 0
    token(server, "agents", "pupil", "--maturity", "intern")
    denied = server("packages", "check", "checked==1.0", "--agent", "pupil")
    assert (denied.code, "deny (INTERN)" in denied.out) == (1, True)
    assert server("packages", "ban", "checked", "--versions", "==1.5", "--reason", "a test says so").code == 0
    listed = tmp_path / "requirements.txt"
    listed.write_text("checked==1.0\nchecked==1.5\n")
    banned = server("packages", "check", "--file", listed, "--json")
    assert (banned.code, [one["state"] for one in banned.document["packages"]]) == (1, ["approved", "banned"])
    assert server("packages", "check", "@scope/checked@1.0.0", "--ecosystem", "npm", "--json").code == 4
    for wrong in (("check",), ("check", "checked"), ("check", "checked==1", "--file", listed)):
        assert server("packages", *wrong).code == 2
    ranged = server("packages", "check", "checked==>=1", "--json")
    assert (ranged.code, ranged.document["field"]) == (1, "packages.0.version")


def test_a_package_that_was_asked_for_is_in_the_queue_until_a_second_person_decides(server: Served) -> None:
    second = token(server, "people", "bob", "--role", "admin")
    intern = token(server, "agents", "asking-bot", "--maturity", "intern")
    asked = server("packages", "request", "asked==1.0", "--reason", "for the report", "--json", token=intern)
    assert asked.code == 4
    request = str(asked.document["request"]["id"])
    queue = server("approvals")
    assert "asked 1.0" in queue.out
    assert "for the report" in queue.out
    assert [one["id"] for one in server("approvals", "--json").document["package_requests"]] == [int(request)]
    assert server("packages", "approve-request", request).code == 1
    assert server("packages", "approve-request", request, "--comment", "fine", token=second).code == 0
    assert "asked 1.0" not in server("approvals").out
    assert server("packages", "request", "asked==1.0", "--reason", "again", token=intern).code == 0
    other = server("packages", "request", "refused", "--reason", "please", "--json", token=intern).document
    assert server("packages", "deny-request", str(other["request"]["id"]), "--comment", "no", token=second).code == 0
    again = server("packages", "request", "refused", "--reason", "please", token=intern)
    assert (again.code, "was denied: no" in again.out) == (1, True)
    assert "refused" in server("packages", "requests", "--all").out


def test_rules_go_out_and_come_in(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    assert server("packages", "ban", "exported", "--reason", "a test says so").code == 0
    assert server("packages", "export", file).code == 0
    assert 'name: "exported"' in file.read_text()
    again = server("packages", "import", file, "--mode", "replace", "--json").document
    assert (again["added"], again["ended"]) == ([], [])
    file.write_text(
        'version: "1"\nrules:\n  - {ecosystem: npm, name: brought-in, versions: ^1.2, state: banned, reason: r}\n'
    )
    dry = server("packages", "import", file, "--dry-run")
    assert (dry.code, "would be added: ban of npm brought-in^1.2" in dry.out) == (0, True)
    assert "brought-in" not in server("packages", "list").out
    assert server("packages", "import", "-", stdin=file.read_text()).code == 0
    rules = server("packages", "list", "--prefix", "brought", "--json").document["rules"]
    assert [(one["specifier"], one["scope"]) for one in rules] == [("^1.2", "workspace")]
    assert server("packages", "revoke", str(rules[0]["id"])).code == 0
    assert server("packages", "list", "--prefix", "brought", "--json").document["rules"] == []
    file.write_text("version: 1\nrules:\n  - {ecosystem: pypi}\n")
    wrong = server("packages", "import", file)
    assert (wrong.code, "rules.yaml:3: state: is missing" in wrong.err) == (1, True)
    assert server("packages", "import", tmp_path / "missing.yaml").code == 2


def test_a_list_becomes_approvals_for_everybody_or_here(server: Served, tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("listed==1.0\n")
    done = server("packages", "allow", file, "--maturity", "intern", "--global")
    assert (done.code, "1 added" in done.out) == (0, True)
    (rule,) = server("packages", "list", "--scope", "global", "--json").document["rules"]
    assert (rule["name"], rule["specifier"]) == ("listed", "==1.0")
    stats = server("packages", "stats")
    assert (stats.code, "global" in stats.out) == (0, True)
    assert json.loads(server("packages", "export", "-", "--global", "--json").out)["rules"] == 1
