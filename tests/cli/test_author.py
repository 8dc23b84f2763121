"""What somebody who writes a skill gets from init, validate, lock and scan."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.skills.pylock import read_pylock
from tests.cli.conftest import SKILLS, Cli, skill


def test_a_new_skill_is_valid_by_the_open_specification(cli: Cli) -> None:
    assert cli("init", "word-count").code == 0
    assert cli("validate", "word-count", "--strict").code == 0


def test_init_takes_no_folder_that_is_there_and_no_wrong_name(cli: Cli) -> None:
    cli("init", "word-count")
    again = cli("init", "word-count")
    assert (again.code, "exists already" in again.err) == (1, True)
    wrong = cli("init", "Word_Count")
    assert wrong.code == 2
    assert "write 'word-count'" in wrong.err


def test_validate_tells_what_it_found(cli: Cli) -> None:
    found = cli("validate", SKILLS / "csv-report", "--json").document["skill"]
    assert found["entries"] == ["scripts/report.py:run", "scripts/report.py"]
    assert [(one["name"], one["origin"]["file"], one["origin"]["line"]) for one in found["declared"]] == [
        ("pandas", "SKILL.md", 8),
        ("matplotlib", "SKILL.md", 8),
    ]


def test_a_lock_is_a_standard_pylock_with_every_hash(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, python="iniconfig==2.1.0")
    printed = cli("lock", folder)
    assert printed.code == 0
    lock = read_pylock(printed.out)
    assert [(one.name, one.version, one.direct) for one in lock.packages] == [("iniconfig", "2.1.0", True)]
    written = cli("lock", folder, "--output", "pylock.toml", "--json")
    assert read_pylock((cli.folder / "pylock.toml").read_text()) == lock
    assert written.document["locks"][0]["digest"] == lock.digest


def test_a_lock_shows_who_asked_for_whom(cli: Cli, tmp_path: Path) -> None:
    tree = cli("lock", skill(tmp_path, python="python-dateutil==2.9.0.post0"), "--tree")
    assert tree.out.splitlines()[0] == "python-dateutil 2.9.0.post0"
    assert tree.out.splitlines()[1].startswith("└── six ")


def test_a_scan_blocks_by_rule_package_and_advisory(cli: Cli) -> None:
    scanned = cli("scan", SKILLS / "legacy-fetch", "--json")
    assert scanned.code == 1
    assert scanned.document["verdict"] == "BLOCK"
    found = {(one["rule"], one["package"]["name"], one["advisory"]) for one in scanned.document["findings"]}
    assert ("advisory", "jinja2", "PYSEC-2019-217") in found


@pytest.mark.parametrize(("max_age", "code", "verdict"), [("36500", 0, "PASS"), ("7", 3, "INDETERMINATE")])
def test_a_scan_without_a_recent_index_is_indeterminate(
    cli: Cli, tmp_path: Path, max_age: str, code: int, verdict: str
) -> None:
    folder = skill(tmp_path, python="iniconfig==2.1.0")
    scanned = cli("scan", folder, "--json", advisories_max_age_days=max_age)
    assert (scanned.code, scanned.document["verdict"]) == (code, verdict)
    (evidence,) = [one for one in scanned.document["evidence"] if one["scanner"] == "advisories"]
    assert datetime.fromisoformat(evidence["data_date"]) < datetime(2025, 1, 1, tzinfo=UTC)


def test_a_damaged_index_is_never_a_pass(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, python="iniconfig==2.1.0")
    (cli.home / "advisories.db").write_bytes(b"this is no index")
    scanned = cli("scan", folder, "--json")
    assert (scanned.code, scanned.document["verdict"]) == (3, "INDETERMINATE")


def test_what_a_skill_says_cannot_act_on_the_terminal(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    (folder / "SKILL.md").write_text('---\nname: "adder\\e[31m"\ndescription: d\n---\n')
    refused = cli("validate", folder)
    assert refused.code == 1
    assert "\x1b" not in refused.out + refused.err


def test_a_skill_does_not_configure_who_runs_it(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    (folder / ".env").write_text("SKILLYARD_PORT=not-a-port\n")
    inside = Cli(folder, cli.settings)
    assert inside("validate", ".").code == 0
    (cli.folder / ".env").write_text("SKILLYARD_PORT=not-a-port\n")
    assert cli("validate", folder).code == 2
