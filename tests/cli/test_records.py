"""The audit log and the advisory index from the command line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, skill


@pytest.fixture
def used(cli: Cli, tmp_path: Path) -> Cli:
    """A home in which something was done."""
    assert cli("run", skill(tmp_path), "--input", '{"x": 1}').code == 0
    return cli


def test_a_chain_that_holds(used: Cli) -> None:
    found = used("audit", "verify", "--json")
    assert found.code == 0
    (chain,) = found.document["chains"]
    assert (chain["workspace"], chain["broken"]) == ("local", None)
    assert chain["records"] == chain["head"]["seq"] > 3


def test_an_edited_record_is_found(used: Cli) -> None:
    database = sqlite3.connect(used.home / "skillyard.db")
    database.execute("UPDATE audit_records SET payload = '{}' WHERE seq = 2")
    database.commit()
    database.close()
    found = used("audit", "verify", "--json")
    assert (found.code, found.document["ok"]) == (1, False)
    assert found.document["chains"][0]["broken"]["seq"] == 2
    assert "BROKEN at record 2" in used("audit", "verify").out


def test_an_export_is_checked_without_the_database(used: Cli) -> None:
    written = used("audit", "export", "--output", "audit.jsonl", "--json").document
    head = used("audit", "verify", "--json").document["chains"][0]["head"]
    assert written["records"] == head["seq"]
    noted = f"{head['seq']}:{head['hash']}"
    file = used.folder / "audit.jsonl"
    assert used("audit", "verify", "--export", "audit.jsonl", "--noted", noted).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    assert used("audit", "verify", "--export", "audit.jsonl", "--noted", noted).code == 1
    file.write_bytes(b"".join([lines[0], lines[2], lines[1], *lines[3:]]))
    assert used("audit", "verify", "--export", "audit.jsonl").code == 1


def test_an_export_on_standard_output_is_lines(used: Cli) -> None:
    lines = [json.loads(line) for line in used("audit", "export").out.splitlines()]
    assert lines[0]["action"] == "workspace.created"
    assert used("audit", "export", "--json").code == 2


def test_there_is_nothing_to_verify_before_anything_was_done(cli: Cli) -> None:
    assert cli("audit", "verify").code == 5


def osv(advisory: str, package: str) -> str:
    return json.dumps(
        {
            "id": advisory,
            "modified": "2026-01-02T03:04:05Z",
            "published": "2026-01-02T03:04:05Z",
            "affected": [
                {
                    "package": {"ecosystem": "PyPI", "name": package},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
                }
            ],
            "database_specific": {"severity": "CRITICAL"},
        }
    )


def test_new_advisories_quarantine_what_was_fine(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, python="iniconfig==2.1.0")
    assert cli("run", folder, "--input", '{"x": 1}', "--approve").code == 0
    (cli.folder / "new.jsonl").write_text(osv("TEST-2026-1", "iniconfig") + "\n")
    updated = cli("advisories", "update", "--from", "new.jsonl", "--json")
    assert updated.code == 0, updated.err
    assert [one.rpartition("+")[0] for one in updated.document["quarantined"]] == ["local/adder@1.0.0"]
    refused = cli("run", folder, "--input", '{"x": 1}', "--json")
    assert refused.code == 1
    assert "TEST-2026-1" in refused.document["detail"]


def test_records_that_cannot_be_read_leave_the_index_as_it_was(cli: Cli) -> None:
    before = cli("advisories", "status", "--json").document
    (cli.folder / "broken.jsonl").write_text('{"id": \n')
    broken = cli("advisories", "update", "--from", "broken.jsonl", "--json")
    assert broken.code == 1
    assert "broken.jsonl:1" in broken.document["detail"]
    assert cli("advisories", "status", "--json").document == before


def test_an_index_that_is_too_old_is_exit_code_3(cli: Cli) -> None:
    assert cli("advisories", "status").code == 0
    old = cli("advisories", "status", "--json", advisories_max_age_days="7")
    assert (old.code, old.document["stale"]) == (3, True)
