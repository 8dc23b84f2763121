"""What doctor says of a machine that has everything, and of one that lacks something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cli.conftest import NO_ENGINE, Cli, skill


def checks(document: Any) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in document["checks"]}


def test_a_machine_that_has_everything(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", skill(tmp_path), "--input", '{"x": 1}').code == 0
    found = cli("doctor", "--json")
    assert (found.code, found.document["ok"]) == (0, True)
    by_name = checks(found.document)
    assert {name for name, one in by_name.items() if one["state"] == "missing"} == set()
    assert by_name["Docker Engine"]["facts"]["cgroup_version"] in {"1", "2"}
    assert by_name["leftovers"]["facts"]["containers"] == 0
    assert by_name["database"]["facts"]["schema"] == by_name["database"]["facts"]["needed"]
    assert {one["state"] for one in found.document["plugins"]} == {"loaded"}


def test_an_engine_that_does_not_answer_is_exit_code_5(cli: Cli) -> None:
    found = cli("doctor", docker_host=NO_ENGINE)
    assert found.code == 5
    assert "MISSING  Docker Engine" in found.out
    assert "SKILLYARD_DOCKER_HOST" in found.out


def test_a_sandbox_that_is_not_installed_is_exit_code_5(cli: Cli) -> None:
    found = cli("doctor", "--json", sandbox="firecracker")
    assert found.code == 5
    assert checks(found.document)["plug-ins"]["state"] == "missing"


def test_old_advisories_are_a_warning_and_not_a_lack(cli: Cli) -> None:
    cli("advisories", "status")
    found = cli("doctor", "--json", advisories_max_age_days="7")
    assert found.code == 0
    assert checks(found.document)["advisories"]["state"] == "warning"


def test_looking_changes_nothing(cli: Cli, tmp_path: Path) -> None:
    home = tmp_path / "not" / "there"
    assert cli("doctor", home=str(home)).code == 0
    assert not home.parent.exists()


def test_a_database_of_a_newer_skillyard_is_said(cli: Cli, tmp_path: Path) -> None:
    cli("run", skill(tmp_path), "--input", '{"x": 1}')
    database = cli.home / "skillyard.db"
    assert b"alembic_version" in database.read_bytes()
    import sqlite3  # noqa: PLC0415 - only here

    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    found = cli("doctor", "--json")
    assert found.code == 5
    assert "newer" in checks(found.document)["database"]["detail"]
    assert cli("audit", "verify").code == 5
