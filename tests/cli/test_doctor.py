"""What doctor says of a machine that has everything, and of one that lacks something."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.conftest import NO_ENGINE, Cli, serving, skill


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
    assert any("seccomp" in one for one in by_name["Docker Engine"]["facts"]["security"])
    assert (by_name["processes"]["state"], by_name["processes"]["facts"]["leases"]) == ("ok", [])
    assert by_name["open calls"]["facts"] == {"running": 0, "lost": 0}
    stored = by_name["stored"]["facts"]
    assert (stored["bundles"]["count"], stored["database"]["count"]) == (1, 1)
    assert stored["database"]["bytes"] >= (cli.home / "skillyard.db").stat().st_size
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
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    found = cli("doctor", "--json")
    assert found.code == 5
    assert "newer" in checks(found.document)["database"]["detail"]
    assert cli("audit", "verify").code == 5


def test_beside_a_running_server_its_process_is_shown(cli: Cli) -> None:
    with serving(cli) as served:
        by_name = checks(cli("doctor", "--json").document)
        (lease,) = by_name["processes"]["facts"]["leases"]
        assert (lease["alive"], lease["pid"]) == (True, served.process.pid)
        assert lease["heartbeat_age"] >= 0
        assert by_name["processes"]["state"] == "ok"
    assert checks(cli("doctor", "--json").document)["processes"]["facts"]["leases"] == []


def test_a_killed_server_and_what_it_left_are_shown(cli: Cli, tmp_path: Path) -> None:
    """As long as nobody has swept: looking sweeps nothing."""
    assert cli("run", skill(tmp_path), "--input", '{"x": 1}').code == 0
    process = subprocess.Popen(
        cli.command("serve", "--json", "--port", "0"), cwd=cli.folder, env=cli.environment(), stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.kill()
        process.wait(30)
    connection = sqlite3.connect(cli.home / "skillyard.db")
    (lease,) = connection.execute("SELECT id FROM leases").fetchone()
    connection.execute("UPDATE invocations SET state = 'accepted', ended_at = NULL, instance_id = ?", (lease,))
    connection.commit()
    connection.close()
    for _ in range(2):
        found = cli("doctor", "--json")
        by_name = checks(found.document)
        assert [one["alive"] for one in by_name["processes"]["facts"]["leases"]] == [False]
        assert by_name["processes"]["state"] == by_name["open calls"]["state"] == "warning"
        assert by_name["open calls"]["facts"] == {"running": 0, "lost": 1}
        assert by_name["open calls"]["hint"]
        assert found.code == 0


def test_what_cannot_be_looked_at_is_said_and_not_invented(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", skill(tmp_path), "--input", '{"x": 1}').code == 0
    by_name = checks(cli("doctor", "--json", docker_host=NO_ENGINE).document)
    assert by_name["stored"]["facts"]["images"] == {"count": None, "bytes": None}
    assert by_name["stored"]["facts"]["bundles"]["count"] == 1
    assert "leftovers" not in by_name
    (cli.home / "skillyard.db").write_bytes(b"this is no database, and it is long enough to be looked at" * 20)
    found = cli("doctor", "--json")
    by_name = checks(found.document)
    assert (found.code, by_name["database"]["state"]) == (5, "missing")
    assert by_name["open calls"]["state"] == "warning"
    assert "facts" not in by_name["open calls"] or not by_name["open calls"]["facts"]
