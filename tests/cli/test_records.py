"""The audit log and the advisory index from the command line."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, new_cli, skill


@pytest.fixture(scope="module")
def used_once(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Cli:
    """A home in which something was done; whoever changes it takes a copy."""
    folder = tmp_path_factory.mktemp("used")
    cli = new_cli(folder, package_cache)
    assert cli("run", skill(folder), "--input", '{"x": 1}').code == 0
    return cli


@pytest.fixture
def used(used_once: Cli, tmp_path: Path) -> Cli:
    """A home of one's own in which something was done."""
    shutil.copytree(used_once.home, tmp_path / "home", symlinks=True)
    (tmp_path / "work").mkdir()
    return Cli(tmp_path / "work", used_once.settings | {"home": str(tmp_path / "home")})


def test_a_chain_that_holds_and_is_signed_to_its_end(used: Cli) -> None:
    found = used("audit", "verify", "--json")
    assert found.code == 0
    (chain,) = found.document["chains"]
    assert (chain["workspace"], chain["broken"], chain["unsigned"]) == ("local", None, 0)
    assert chain["records"] == chain["head"]["seq"] == chain["signed"]["seq"] > 3
    assert "signed up to record" in used("audit", "verify").out


def test_an_edited_record_is_found(used: Cli) -> None:
    edit(used, "UPDATE audit_records SET payload = '{}' WHERE seq = 2")
    found = used("audit", "verify", "--json")
    assert (found.code, found.document["ok"]) == (1, False)
    assert found.document["chains"][0]["broken"]["seq"] == 2
    assert "BROKEN at record 2" in used("audit", "verify").out


def edit(cli: Cli, *statements: str) -> None:
    database = sqlite3.connect(cli.home / "skillyard.db")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


def test_an_export_is_checked_without_the_database(used: Cli) -> None:
    written = used("audit", "export", "--output", "audit.jsonl", "--json").document
    head = used("audit", "verify", "--json").document["chains"][0]["head"]
    assert written["records"] == head["seq"]
    noted = f"{head['seq']}:{head['hash']}"
    file = used.folder / "audit.jsonl"
    assert used("audit", "verify", "--export", "audit.jsonl", "--noted", noted).code == 0
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-3]))
    assert used("audit", "verify", "--export", "audit.jsonl", "--noted", noted).code == 1
    file.write_bytes(b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]))
    assert used("audit", "verify", "--file", "audit.jsonl").code == 1


def test_a_file_is_checked_on_another_machine_with_the_key(used: Cli, tmp_path: Path, package_cache: Path) -> None:
    """Not even a home is there: an auditor has the file and the key."""
    own = used("audit", "keys", "--json").document["own"]
    head = used("audit", "sign", "--json").document["heads"][0]
    file, pem = used.folder / "audit.jsonl.gz", used.folder / "key.pem"
    assert used("audit", "export", "--output", file).code == 0
    pem.write_text(head["pem"])
    elsewhere = new_cli(tmp_path / "elsewhere", package_cache)
    doubted = elsewhere("audit", "verify", "--file", file, "--json")
    assert (doubted.code, doubted.document["ok"]) == (3, False)
    assert own in doubted.document["chains"][0]["indeterminate"]
    for key in (own, head["public_key"], pem):
        found = elsewhere("audit", "verify", "--file", file, "--key", key, "--json")
        assert (found.code, found.document["chains"][0]["signed"]["seq"]) == (0, head["seq"])
    assert elsewhere("audit", "verify", "--file", file, "--key", "0" * 32).code == 3
    assert elsewhere("audit", "verify", "--file", file, "--key", "no-such-file").code == 2
    assert elsewhere("audit", "verify", "--file", "no-such-file").code == 2
    file.write_bytes(file.read_bytes()[:-9])
    assert elsewhere("audit", "verify", "--file", file, "--key", own).code == 1


def test_a_forged_chain_is_found_by_its_signature(used: Cli) -> None:
    """All signed heads are gone too: the home knows what it signed."""
    edit(
        used,
        "DELETE FROM audit_records WHERE seq > 4",
        "UPDATE audit_heads SET (seq, hash) = (SELECT seq, hash FROM audit_records WHERE seq = 4)",
        "DELETE FROM audit_checkpoints",
    )
    found = used("audit", "verify", "--json")
    assert (found.code, found.document["chains"][0]["broken"]["kind"]) == (1, "truncated")


def test_a_rotated_key_signs_on_and_the_old_signatures_hold(used: Cli) -> None:
    file = used.folder / "before.jsonl"
    used("audit", "export", "--output", file)
    done = used("audit", "rotate-key", "--json").document
    keys = used("audit", "keys", "--json").document
    assert keys["own"] == done["current"] == keys["keys"][1]["id"]
    assert keys["keys"][0]["retired_at"] == done["at"]
    assert used("audit", "verify").code == 0
    assert used("audit", "verify", "--file", file).code == 0
    assert used("audit", "list", "--action", "audit.key_rotated", "--json").document["items"][0]["subject"] == (
        f"key/{done['current']}"
    )


def test_old_records_go_into_archives_and_a_missing_one_is_doubt(used: Cli) -> None:
    assert used("audit", "archive", "--before", "2020-01-01", "--json").document == {"archived": []}
    assert used("audit", "archive", "--before", "2999-01-01").code == 2
    before = used("audit", "verify", "--json").document["chains"][0]["head"]["seq"]
    moment = datetime.now(UTC).isoformat()
    (made,) = used("audit", "archive", "--before", moment, "--json").document["archived"]
    assert (made["first_seq"], made["last_seq"]) == (1, before - 1)
    assert used("audit", "archives", "--json").document["archives"] == [made]
    assert used("audit", "verify").code == 0
    file = used.home / "audit" / "archives" / "1" / made["file"]
    assert used("audit", "verify", "--file", file).code == 0
    assert used("audit", "list", "--oldest-first", "--json").document["archived_through"] == before - 1
    file.rename(file.with_name("elsewhere"))
    doubted = used("audit", "verify", "--json")
    assert (doubted.code, doubted.document["ok"]) == (3, False)
    assert made["file"] in doubted.document["chains"][0]["indeterminate"]
    assert used("audit", "export").code == 1


def test_an_export_on_standard_output_is_lines(used: Cli) -> None:
    lines = [json.loads(line) for line in used("audit", "export").out.splitlines()]
    assert next(line for line in lines if "seq" in line)["action"] == "workspace.created"
    assert ("header" in lines[0], "trailer" in lines[-1]) == (True, True)
    assert used("audit", "export", "--json").code == 2


def test_records_are_listed_and_picked(used: Cli) -> None:
    page = used("audit", "list", "--limit", "2", "--json").document
    assert len(page["items"]) == 2
    older = used("audit", "list", "--limit", "1", "--cursor", page["next_cursor"], "--json").document
    assert older["items"][0]["seq"] == page["items"][1]["seq"] - 1
    calls = used("audit", "list", "--action", "invocation.", "--json").document["items"]
    assert [one["action"] for one in calls] == ["invocation.finished", "invocation.admitted"]
    of_one = used("audit", "list", "--invocation", calls[0]["subject"].removeprefix("invocation/"), "--json").document
    assert of_one["items"] == calls
    assert "invocation.admitted" in used("audit", "list").out
    assert used("audit", "list", "--actor", "nobody").code == 2
    assert used("audit", "list", "--since", "2999-01-01", "--json").document["items"] == []


def test_what_is_recorded_is_followed(used: Cli) -> None:
    # Whoever started these tests in the background may have had SIGINT ignored, which is inherited.
    heeding = ("env", "--default-signal=INT")
    command = [*heeding, *used.command("audit", "list", "--follow", "--limit", "1", "--json")]
    with subprocess.Popen(
        command, cwd=used.folder, env=used.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            last = json.loads(process.stdout.readline())
            assert used("audit", "rotate-key").code == 0
            # What a server does by itself may be recorded in between.
            followed = [json.loads(process.stdout.readline())]
            while followed[-1]["action"] != "audit.key_rotated":
                followed.append(json.loads(process.stdout.readline()))
            assert [one["seq"] for one in followed] == [last["seq"] + number + 1 for number in range(len(followed))]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


def test_there_is_nothing_to_verify_before_anything_was_done(cli: Cli) -> None:
    assert cli("audit", "verify").code == 5
    assert cli("audit", "sign").code == 5


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
    after = cli("advisories", "status", "--json").document
    (attempt,) = after.pop("attempts")
    assert (attempt["state"], attempt["succeeded_at"]) == ("failed", None)
    assert "broken.jsonl:1" in attempt["error"]
    assert after | {"attempts": []} == before
    assert "failed: " in cli("advisories", "status").out


def test_several_sources_come_in_together_and_each_is_answered_for(cli: Cli) -> None:
    (cli.folder / "python.jsonl").write_text(osv("TEST-2026-1", "iniconfig") + "\n")
    (cli.folder / "names.txt").write_text("# known bad\n@evil/left-pat\n")
    (cli.folder / "epss.csv").write_text(
        "#score_date:2026-05-30T00:00:00Z\ncve,epss,percentile\nCVE-2026-0001,0.5,0.9\n"
    )
    sources = ["--from", "python.jsonl", "--from", "npm=names.txt", "--from", "epss.csv"]
    done = cli("advisories", "update", *sources, "--json")
    assert done.code == 0, done.err
    assert [one["state"] for one in done.document["sources"]] == ["updated"] * 3
    named = {(one["ecosystem"], one["kind"], one["source"].rpartition("/")[2]) for one in done.document["datasets"]}
    assert {("pypi", "advisories", "python.jsonl"), ("npm", "names", "names.txt")} <= named
    assert [(one["kind"], one["records"]) for one in done.document["supplied"]] == [("epss", 1)]
    (cli.folder / "names.txt").write_text("<html>\n")
    half = cli("advisories", "update", *sources, "--json")
    assert half.code == 1
    assert [one["state"] for one in half.document["sources"]] == ["updated", "failed", "updated"]
    assert {one["ecosystem"] for one in half.document["datasets"]} == {"npm", "pypi"}
    alone = cli("advisories", "update", "--from", "names.txt", "--ecosystem", "npm", "--json")
    assert alone.code == 1
    assert "names.txt:1: not a npm package name" in alone.document["detail"]


def test_an_index_that_is_too_old_is_exit_code_3(cli: Cli) -> None:
    assert cli("advisories", "status").code == 0
    old = cli("advisories", "status", "--json", advisories_max_age_days="7")
    assert (old.code, old.document["stale"]) == (3, True)
