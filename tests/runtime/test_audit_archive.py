"""Archives: the old part of a chain leaves the database complete and signed, or not at all, and is still checked."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from skillyard.cli.exit_codes import ExitCode
from skillyard.database import Database, Kind
from skillyard.governance import audit, people
from skillyard.governance.audit import Action, AuditRecord, BreakKind, Head
from skillyard.governance.audit.document import opened
from skillyard.governance.audit.document_check import verify_file
from skillyard.governance.audit.export import ArchiveMissingError
from skillyard.governance.audit.listing import Filter
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM, Person, Workspace
from skillyard.runtime.audit_archive import Archiver, ArchivingError
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.tampering import Tamperer

SCRIPT = Path(__file__).parent.parent / "assets" / "audit" / "killed.py"
OLD = timedelta(days=100)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tamper(database: Database, request: pytest.FixtureRequest) -> Tamperer:
    return Tamperer(database, request.getfixturevalue("postgres") if database.kind is Kind.POSTGRESQL else None)


@pytest.fixture
async def workspace(database: Database, admin: Person) -> Workspace:
    async with database.reading() as session:
        return next(one for one in await people.workspaces(session) if one.id == admin.workspace)


async def record(database: Database, workspace: Workspace, count: int, at: datetime) -> None:
    for number in range(count):
        async with database.transaction() as session:
            entry = AuditRecord(workspace.id, at, SYSTEM, Action.PACKAGE_BANNED, f"pypi/p{number}", {"n": number})
            await audit.append(session, entry)


@pytest.fixture
async def log(database: Database, home: Path, workspace: Workspace) -> AuditLog:
    """A chain of 4 records of its beginning, 20 old ones signed twice, and 6 new ones."""
    made = AuditLog(settings=Settings(home=home), database=database)
    await made.begin()
    for _ in range(2):
        await record(database, workspace, 10, utcnow() - OLD)
        await made.signer.sign_all()
    await record(database, workspace, 6, utcnow())
    return made


def archiver(log: AuditLog, home: Path, database: Database) -> Archiver:
    """One that makes small archives."""
    return Archiver(folder=home / "audit" / "archives", database=database, signer=log.signer, most_records=9)


def files(home: Path, workspace: Workspace) -> list[str]:
    return sorted(path.name for path in (home / "audit" / "archives" / str(workspace.id)).glob("0*"))


@pytest.fixture
async def archived(log: AuditLog, home: Path, database: Database, workspace: Workspace) -> AuditLog:
    """Everything but the newest record in archives of nine."""
    await archiver(log, home, database).archive(workspace, before=utcnow() + timedelta(days=1))
    return log


async def test_what_is_old_leaves_the_database_and_the_chain_still_verifies(
    log: AuditLog, home: Path, database: Database, workspace: Workspace, tamper: Tamperer
) -> None:
    before = await log.verify(workspace.id)
    # The records of the first start are from now, so that nothing before them is older.
    assert await log.archiver.archive(workspace, before=utcnow() - timedelta(days=1)) == ()
    done = await archiver(log, home, database).archive(workspace, before=utcnow() + timedelta(days=1))
    assert [(one.first_seq, one.last_seq) for one in done] == [(1, 9), (10, 18), (19, 27), (28, 29)]
    found = await log.verify(workspace.id)
    assert (found.broken, found.indeterminate, found.checkpoints) == (None, None, 2)
    assert found.records == found.head.seq == before.head.seq + len(done)
    assert before.head.seq == 30
    (rows,) = await tamper.rows("SELECT count(*), min(seq) FROM audit_records")
    assert rows == (5, 30)
    assert await tamper.rows("SELECT seq FROM audit_checkpoints") == []
    page = await log.records(workspace.id, Filter(), limit=100, cursor=None, newest_first=False)
    assert ([one.seq for one in page.entries], page.archived_through) == ([30, 31, 32, 33, 34], 29)


async def test_only_what_comes_before_the_first_young_record_is_archived(
    log: AuditLog, database: Database, workspace: Workspace, tamper: Tamperer
) -> None:
    young = (await log.verify(workspace.id)).head.seq - 6
    await tamper.forge(workspace.id, 1)  # nothing changes: the same chain again
    for seq in range(1, 5):
        await tamper.run(f"UPDATE audit_records SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = {seq}")
    await tamper.forge(workspace.id, 1)
    with pytest.raises(AuditBrokenError, match="nothing was archived"):
        await log.archiver.archive(workspace, before=utcnow() - timedelta(days=1))
    await tamper.run("DELETE FROM audit_checkpoints")
    (done,) = await log.archiver.archive(workspace, before=utcnow() - timedelta(days=1))
    assert (done.first_seq, done.last_seq) == (1, young)
    del database


async def test_an_export_holds_archived_records_and_signatures_and_verifies_anywhere(
    archived: AuditLog, workspace: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"".join([chunk async for chunk in await archived.export(workspace.id)]))
    key = (await archived.signer.key()).id
    found = verify_file(lambda: opened(file), trusted=[key])
    kept = await archived.verify(workspace.id)
    assert (found.broken, found.head, found.unsigned) == (None, kept.head, 0)
    assert found.checkpoints == kept.checkpoints
    unknown = verify_file(lambda: opened(file))
    assert (unknown.broken, unknown.signed, unknown.unvouched) == (None, None, (key,))


async def test_an_archive_is_a_signed_file_by_itself(archived: AuditLog, home: Path, workspace: Workspace) -> None:
    key = (await archived.signer.key()).id
    folder = home / "audit" / "archives" / str(workspace.id)
    for segment in await archived.segments(workspace.id):
        found = verify_file(lambda name=segment.file: opened(folder / name), trusted=[key])
        assert (found.broken, found.head) == (None, Head(segment.last_seq, segment.last_hash))
        manifest = json.loads((folder / f"{segment.file}.manifest.json").read_text())
        assert manifest["file_sha256"] == segment.file_sha256


Damage = Callable[[Path], None]


def _edited(file: Path) -> None:
    """A forger who packs the file again, with a record changed and nothing else."""
    lines = gzip.decompress(file.read_bytes()).replace(b"pypi/p3", b"pypi/p9")
    file.write_bytes(gzip.compress(lines))


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def _repacked(file: Path) -> None:
    """The same records, packed otherwise: not the file that was written."""
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), 1))


def _unreadable(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _no_manifest(file: Path) -> None:
    file.with_name(file.name + ".manifest.json").unlink()


def _other_manifest(file: Path) -> None:
    manifest = file.with_name(file.name + ".manifest.json")
    manifest.write_text(manifest.read_text().replace('"last_seq": 18', '"last_seq": 17'))


def _exchanged(file: Path) -> None:
    """Another archive of the same chain in its place."""
    file.write_bytes(next(path for path in file.parent.glob("0*.gz") if path != file).read_bytes())


@pytest.mark.parametrize(
    "damage", [_edited, _flipped, _cut, _repacked, _unreadable, _no_manifest, _other_manifest, _exchanged]
)
async def test_an_archive_that_was_changed_is_found_and_named(
    archived: AuditLog, home: Path, workspace: Workspace, damage: Damage
) -> None:
    folder = home / "audit" / "archives" / str(workspace.id)
    second = (await archived.segments(workspace.id))[1]
    damage(folder / second.file)
    broken = (await archived.verify(workspace.id)).broken
    assert broken is not None
    assert second.file in broken.message
    assert second.first_seq <= broken.seq <= second.last_seq
    if damage is _edited:
        assert (broken.kind, broken.seq) == (BreakKind.EDITED, 18)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE audit_segments SET last_seq = 17 WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET last_hash = prev_hash WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET prev_hash = last_hash WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET file = 'other.jsonl.gz' WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET file_bytes = 1 WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET file_sha256 = last_hash WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET signature = 'ff' WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("UPDATE audit_segments SET archived_at = '2020' WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("DELETE FROM audit_segments WHERE first_seq = 10", BreakKind.ARCHIVE),
        ("DELETE FROM audit_segments WHERE first_seq = 1", BreakKind.ARCHIVE),
        ("DELETE FROM audit_segments WHERE first_seq = 28", BreakKind.MISSING),
        ("DELETE FROM audit_segments", BreakKind.MISSING),
        ("DELETE FROM audit_records WHERE seq = 30", BreakKind.MISSING),
        ("UPDATE audit_records SET subject = 'x' WHERE seq = 34", BreakKind.EDITED),
    ],
)
async def test_what_is_kept_about_archives_cannot_be_changed(
    archived: AuditLog, workspace: Workspace, tamper: Tamperer, statement: str, kind: BreakKind
) -> None:
    await tamper.run(statement)
    broken = (await archived.verify(workspace.id)).broken
    assert broken is not None
    assert broken.kind is kind, broken.message


async def test_an_archive_that_is_not_here_makes_the_answer_indeterminate(
    archived: AuditLog, home: Path, database: Database, workspace: Workspace
) -> None:
    folder = home / "audit" / "archives" / str(workspace.id)
    second = (await archived.segments(workspace.id))[1]
    (folder / second.file).rename(folder / "elsewhere")
    found = await archived.verify(workspace.id)
    assert (found.broken, found.unchecked) == (None, (second,))
    assert found.indeterminate is not None
    assert second.file in found.indeterminate
    with pytest.raises(ArchiveMissingError, match=second.file):
        await archived.export(workspace.id)
    excerpt = b"".join([chunk async for chunk in await archived.export(workspace.id, Filter(action="audit."))])
    assert b"audit.archived" in excerpt
    (folder / "elsewhere").rename(folder / second.file)
    assert (await archived.verify(workspace.id)).indeterminate is None
    del database


async def test_what_follows_a_missing_archive_is_still_checked(
    archived: AuditLog, home: Path, workspace: Workspace, tamper: Tamperer
) -> None:
    folder = home / "audit" / "archives" / str(workspace.id)
    (folder / (await archived.segments(workspace.id))[-1].file).unlink()
    await tamper.run("UPDATE audit_records SET subject = 'x' WHERE seq = 34")
    broken = (await archived.verify(workspace.id)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.EDITED, 34)


async def test_a_broken_chain_is_not_archived(
    log: AuditLog, home: Path, database: Database, workspace: Workspace, tamper: Tamperer
) -> None:
    await tamper.run("UPDATE audit_records SET subject = 'x' WHERE seq = 12")
    with pytest.raises(AuditBrokenError, match="record 12"):
        await archiver(log, home, database).archive(workspace, before=utcnow() + timedelta(days=1))
    (rows,) = await tamper.rows("SELECT count(*), min(seq) FROM audit_records")
    assert rows == (30 - 9 + 1, 10), "what was sound before it is in an archive of its own"


async def test_of_two_that_archive_at_once_one_is_told_so(
    log: AuditLog, home: Path, database: Database, workspace: Workspace
) -> None:
    first, second = archiver(log, home, database), archiver(log, home, database)
    errors = []

    def both(_done: int, _total: int) -> None:
        errors.append(True)

    working = first.archive(workspace, before=utcnow() + timedelta(days=1), on_progress=both)
    results = await asyncio.gather(
        working, second.archive(workspace, before=utcnow() + timedelta(days=1)), return_exceptions=True
    )
    refused = [one for one in results if isinstance(one, ArchivingError)]
    assert len(refused) == 1
    assert (await log.verify(workspace.id)).broken is None


async def test_two_homes_that_archive_one_chain_do_not_undo_each_other(
    log: AuditLog, home: Path, database: Database, workspace: Workspace, tmp_path: Path
) -> None:
    """On one database, with a folder each: the first to register wins, the other changes nothing."""
    other = AuditLog(settings=Settings(home=tmp_path / "other"), database=database)
    await other.begin()
    await asyncio.gather(
        archiver(log, home, database).archive(workspace, before=utcnow() + timedelta(days=1)),
        archiver(other, tmp_path / "other", database).archive(workspace, before=utcnow() + timedelta(days=1)),
        return_exceptions=True,
    )
    found = await log.verify(workspace.id)
    assert found.broken is None
    assert (await other.verify(workspace.id)).broken is None
    folders = [one / "audit" / "archives" / str(workspace.id) for one in (home, tmp_path / "other")]
    for segment in found.unchecked:
        source = next(folder for folder in folders if (folder / segment.file).exists() and folder != folders[0])
        for name in (segment.file, segment.file + ".manifest.json"):
            (folders[0] / name).write_bytes((source / name).read_bytes())
    assert (await log.verify(workspace.id)).indeterminate is None


async def test_an_archive_that_came_too_late_is_not_registered_and_leaves_nothing(
    log: AuditLog, home: Path, database: Database, workspace: Workspace, tmp_path: Path
) -> None:
    """Planned before another home archived the same records, finished after it."""
    late = archiver(log, tmp_path / "other", database)
    folder = late.folder_of(workspace.id)
    folder.mkdir(parents=True)
    plan = await late._plan(workspace, 20)
    assert plan is not None
    await archiver(log, home, database).archive(workspace, before=utcnow() + timedelta(days=1))
    with pytest.raises(ArchivingError):
        await late._register(workspace, (await log.segments(workspace.id))[0], plan, SYSTEM)
    rows = await log.segments(workspace.id)
    with pytest.raises(AuditBrokenError):
        await late._one(workspace, folder, plan, await log.signer.key(), SYSTEM)
    assert await log.segments(workspace.id) == rows
    assert (await log.verify(workspace.id)).broken is None


async def test_a_server_archives_what_is_older_than_the_setting(
    log: AuditLog, home: Path, database: Database, workspace: Workspace, tamper: Tamperer
) -> None:
    await log.archive_if_due()
    assert files(home, workspace) == []
    await tamper.run("DELETE FROM audit_checkpoints", "UPDATE audit_records SET at = '2020-01-01T00:00:00.000000Z'")
    await tamper.forge(workspace.id, 1)
    (home / "audit" / "heads" / f"{workspace.id}.json").unlink()
    due = AuditLog(settings=Settings(home=home, audit_archive_days=30), database=database)
    await due.archive_if_due()
    (name,) = (name for name in files(home, workspace) if name.endswith(".gz"))
    assert name.startswith("000000000001-000000000029.")
    assert (await due.verify(workspace.id)).broken is None


@pytest.mark.timeout(300)
@pytest.mark.database(Kind.SQLITE)
def test_a_kill_at_any_point_leaves_all_records_or_a_complete_archive(tmp_path: Path) -> None:
    """A process that archives is killed (SIGKILL) around each of its effects: every write, sync, renaming, commit."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(points) > 30
    assert points[-1]["killed"] is False, "the last one had more points than there are effects"
    for point in points:
        assert point["after"] == {"broken": None, "indeterminate": None, "records": point["after"]["head"]} | {
            "head": point["after"]["head"]
        }, point
        assert point["again"]["broken"] is None
        assert point["again"]["live"] <= 4
    assert {point["after"]["head"] > 24 for point in points} == {True, False}, "kills before and after the commit"


def test_the_exit_code_of_doubt_is_not_the_one_of_success() -> None:
    assert ExitCode.INDETERMINATE not in (ExitCode.DONE, ExitCode.REFUSED)
