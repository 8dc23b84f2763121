"""Signed heads: who can edit the whole database and recompute every hash, and has no key, is found out."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from skillyard.database import Database, Kind, open_database
from skillyard.errors import NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.audit import Action, AuditRecord, BreakKind
from skillyard.governance.audit.keys import AuditKeyError, KeyFolder
from skillyard.governance.audit.record import time_text
from skillyard.governance.audit.signed import signed_head
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import SYSTEM, Person
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.tampering import Tamperer

Tampering = Callable[[Tamperer, WorkspaceId, WorkspaceId], Awaitable[None]]


def log_of(home: Path, database: Database) -> AuditLog:
    return AuditLog(settings=Settings(home=home), database=database)


async def record(database: Database, workspace: WorkspaceId, count: int = 1) -> None:
    for number in range(count):
        async with database.transaction() as session:
            entry = AuditRecord(workspace, utcnow(), SYSTEM, Action.PACKAGE_BANNED, f"pypi/p{number}", {"n": number})
            await audit.append(session, entry)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tamper(database: Database, request: pytest.FixtureRequest) -> Tamperer:
    return Tamperer(database, request.getfixturevalue("postgres") if database.kind is Kind.POSTGRESQL else None)


@pytest.fixture
async def log(database: Database, home: Path, admin: Person) -> AuditLog:
    """A log whose chain is 8 records long and signed at records 4, 6 and 8."""
    made = log_of(home, database)
    await made.begin()
    for count in (0, 2, 2):
        await record(database, admin.workspace, count)
        await made.signer.sign_all()
    return made


@pytest.fixture
def workspace(admin: Person) -> WorkspaceId:
    return admin.workspace


@pytest.fixture
async def other(database: Database, log: AuditLog) -> WorkspaceId:
    """Another tenant, whose chain has 6 records and is signed at record 6."""
    async with database.transaction() as session:
        made = await people.create_workspace(session, "other", by=SYSTEM, at=utcnow())
    await record(database, made.id, 5)
    await log.signer.sign(made.id)
    return made.id


async def test_a_chain_is_signed_as_it_grows_and_once_for_each_head(
    database: Database, log: AuditLog, workspace: WorkspaceId
) -> None:
    found = await log.verify(workspace)
    assert (found.broken, found.indeterminate, found.unsigned, found.checkpoints) == (None, None, 0, 3)
    assert await log.signer.sign_all() == 0
    assert await log.signer.sign(workspace) == found.signed
    await record(database, workspace, 3)
    assert (await log.verify(workspace)).unsigned == 3
    assert await log.signer.sign_all() == 1
    found = await log.verify(workspace)
    assert found.signed is not None
    assert (found.signed.seq, found.unsigned, found.checkpoints) == (11, 0, 4)


async def _forged(tamper: Tamperer, workspace: WorkspaceId, _other: WorkspaceId) -> None:
    await tamper.forge(workspace, 5, subject="pypi/innocent")


async def _cut(tamper: Tamperer, workspace: WorkspaceId, _other: WorkspaceId) -> None:
    (row,) = await tamper.rows(f"SELECT hash FROM audit_records WHERE seq = 5 AND workspace_id = {workspace}")
    await tamper.run(
        f"DELETE FROM audit_records WHERE seq > 5 AND workspace_id = {workspace}",
        f"UPDATE audit_heads SET seq = 5, hash = '{row[0]}' WHERE workspace_id = {workspace}",
    )


async def _cut_with_its_signatures(tamper: Tamperer, workspace: WorkspaceId, other: WorkspaceId) -> None:
    await _cut(tamper, workspace, other)
    await tamper.run(f"DELETE FROM audit_checkpoints WHERE seq > 5 AND workspace_id = {workspace}")


async def _forged_with_its_signatures_gone(tamper: Tamperer, workspace: WorkspaceId, other: WorkspaceId) -> None:
    await _forged(tamper, workspace, other)
    await tamper.run(f"DELETE FROM audit_checkpoints WHERE seq > 4 AND workspace_id = {workspace}")


async def _all_signatures_and_keys_gone(tamper: Tamperer, workspace: WorkspaceId, other: WorkspaceId) -> None:
    await _forged(tamper, workspace, other)
    await tamper.run("DELETE FROM audit_checkpoints", "DELETE FROM audit_keys")


async def _swapped(tamper: Tamperer, workspace: WorkspaceId, other: WorkspaceId) -> None:
    await tamper.run(
        f"UPDATE audit_checkpoints SET workspace_id = 99 WHERE workspace_id = {workspace} AND seq = 6",
        f"UPDATE audit_checkpoints SET workspace_id = {workspace} WHERE workspace_id = {other} AND seq = 6",
        f"UPDATE audit_checkpoints SET workspace_id = {other} WHERE workspace_id = 99",
    )


async def _moved(tamper: Tamperer, workspace: WorkspaceId, _other: WorkspaceId) -> None:
    await tamper.run(f"UPDATE audit_checkpoints SET seq = 7 WHERE workspace_id = {workspace} AND seq = 6")


def _changed(column: str) -> Tampering:
    async def change(tamper: Tamperer, workspace: WorkspaceId, _other: WorkspaceId) -> None:
        where = f"workspace_id = {workspace} AND seq = 6"
        (row,) = await tamper.rows(f"SELECT {column} FROM audit_checkpoints WHERE {where}")
        flipped = ("1" if str(row[0]).startswith("0") else "0") + str(row[0])[1:]
        await tamper.run(f"UPDATE audit_checkpoints SET {column} = '{flipped}' WHERE {where}")

    return change


def _changed_key(column: str, value: str) -> Tampering:
    async def change(tamper: Tamperer, _workspace: WorkspaceId, _other: WorkspaceId) -> None:
        await tamper.run(f"UPDATE audit_keys SET {column} = {value}")

    return change


async def _resigned_by_another_key(tamper: Tamperer, workspace: WorkspaceId, other: WorkspaceId) -> None:
    """A forger with a key of their own: registered like any other, its signatures are valid."""
    await _forged(tamper, workspace, other)
    key = SigningKey(Ed25519PrivateKey.generate())
    rows = await tamper.rows(f"SELECT seq, hash FROM audit_records WHERE workspace_id = {workspace} AND seq = 8")
    at = time_text(utcnow())
    signed = signed_head(key, workspace, rows[0][0], rows[0][1], at)
    await tamper.run(
        f"INSERT INTO audit_keys (id, public_key, added_at) VALUES ('{key.id}', '{key.public.hex}', '{at}')",
        f"DELETE FROM audit_checkpoints WHERE workspace_id = {workspace}",
        "INSERT INTO audit_checkpoints (workspace_id, seq, key_id, hash, at, signature) VALUES "
        f"({workspace}, {signed.seq}, '{key.id}', '{signed.hash}', '{at}', '{signed.signature}')",
    )


@pytest.mark.parametrize(
    ("tampering", "kinds"),
    [
        (_forged, {BreakKind.SIGNED}),
        (_cut, {BreakKind.TRUNCATED}),
        (_cut_with_its_signatures, {BreakKind.TRUNCATED}),
        (_forged_with_its_signatures_gone, {BreakKind.SIGNED}),
        (_all_signatures_and_keys_gone, {BreakKind.SIGNATURE}),
        (_swapped, {BreakKind.SIGNATURE}),
        (_moved, {BreakKind.SIGNATURE}),
        (_resigned_by_another_key, {BreakKind.SIGNED}),
        *((_changed(column), {BreakKind.SIGNATURE}) for column in ("key_id", "hash", "at", "signature")),
        (_changed_key("public_key", "'" + "ab" * 32 + "'"), {BreakKind.SIGNATURE}),
        (_changed_key("id", "'" + "ab" * 16 + "'"), {BreakKind.SIGNATURE}),
        (_changed_key("retired_at", "added_at"), {BreakKind.SIGNATURE}),
        (_changed_key("previous_id", "id"), {BreakKind.SIGNATURE}),
    ],
)
async def test_what_was_signed_cannot_be_changed_without_the_key(
    log: AuditLog,
    workspace: WorkspaceId,
    other: WorkspaceId,
    tamper: Tamperer,
    tampering: Tampering,
    kinds: set[BreakKind],
) -> None:
    assert (await log.verify(workspace)).broken is None
    await tampering(tamper, workspace, other)
    broken = (await log.verify(workspace)).broken
    assert broken is not None
    assert broken.kind in kinds, broken.message


async def test_without_the_homes_own_note_a_strangers_key_is_no_proof(
    log: AuditLog, workspace: WorkspaceId, other: WorkspaceId, tamper: Tamperer, home: Path
) -> None:
    """Who verifies from elsewhere, or lost the home, learns that these signatures prove nothing."""
    await _resigned_by_another_key(tamper, workspace, other)
    (home / "audit" / "heads" / f"{workspace}.json").unlink()
    found = await log.verify(workspace)
    assert (found.broken, found.signed) == (None, None)
    assert found.indeterminate is not None
    assert found.unvouched[0] in found.indeterminate
    assert (await log.verify(workspace, trusted=found.unvouched)).indeterminate is None


async def test_nothing_is_signed_that_contradicts_what_was_signed(
    database: Database, log: AuditLog, workspace: WorkspaceId, other: WorkspaceId, tamper: Tamperer
) -> None:
    """Otherwise a forger would only have to wait for the next signature."""
    await _forged_with_its_signatures_gone(tamper, workspace, other)
    await record(database, workspace)
    with pytest.raises(AuditBrokenError, match="not the one that was signed"):
        await log.signer.sign(workspace)
    with pytest.raises(AuditBrokenError):
        await log.signer.rotate()
    await record(database, other)
    assert await log.signer.sign_all() == 1, "the other tenants' chains are signed all the same"
    assert (await log.verify(other)).unsigned == 0


async def test_a_note_that_was_edited_is_found(log: AuditLog, workspace: WorkspaceId, home: Path) -> None:
    note = home / "audit" / "heads" / f"{workspace}.json"
    text = note.read_text()
    note.write_text(text.replace('"seq":8', '"seq":7'))
    broken = (await log.verify(workspace)).broken
    assert broken is not None
    assert broken.kind is BreakKind.SIGNATURE
    note.write_text("{}")
    with pytest.raises(AuditKeyError):
        await log.verify(workspace)


async def test_times_of_signed_heads_never_go_back(
    database: Database, log: AuditLog, workspace: WorkspaceId, home: Path, tamper: Tamperer
) -> None:
    key = KeyFolder(home / "keys").current()
    assert key is not None
    await record(database, workspace)
    (row,) = await tamper.rows("SELECT hash FROM audit_records WHERE seq = 9")
    old = signed_head(key, workspace, 9, row[0], "2020-01-01T00:00:00.000000Z")
    await tamper.run(
        "INSERT INTO audit_checkpoints (workspace_id, seq, key_id, hash, at, signature) VALUES "
        f"({workspace}, 9, '{key.id}', '{row[0]}', '{old.at}', '{old.signature}')"
    )
    broken = (await log.verify(workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.TIME, 9)


# --- keys -------------------------------------------------------------------------------------------------------------


async def test_the_key_is_its_owners_alone(log: AuditLog, home: Path) -> None:
    del log
    file = home / "keys" / "audit.ed25519"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["open", "empty", "other", "folder"])
async def test_a_key_that_cannot_be_used_is_said_and_not_replaced(
    database: Database, log: AuditLog, workspace: WorkspaceId, home: Path, damage: str
) -> None:
    file = home / "keys" / "audit.ed25519"
    if damage == "open":
        file.chmod(0o644)
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_text("" if damage == "empty" else "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")
    await record(database, workspace)
    with pytest.raises(AuditKeyError):
        await log.signer.sign_all()
    with pytest.raises(AuditKeyError):
        await log_of(home, database).begin()


async def test_a_rotation_is_recorded_in_every_chain_and_old_signatures_still_count(
    database: Database, log: AuditLog, workspace: WorkspaceId, other: WorkspaceId, home: Path
) -> None:
    first = await log.signer.key()
    done = await log.signer.rotate()
    assert (done.previous, (await log.signer.key()).id) == (first.id, done.current)
    await record(database, workspace)
    await log.signer.sign_all()
    for one, last in ((workspace, 10), (other, 7)):
        found = await log.verify(one)
        assert (found.broken, found.unvouched, found.unsigned) == (None, (), 0)
        assert found.head.seq == last
        async with database.reading() as session:
            lines = [line async for line in audit.export(session, one)]
        assert b"audit.key_rotated" in lines[last - 2 if one == workspace else last - 1]
    again = log_of(home, database)
    assert (await again.signer.key()).id == done.current, "another process of this home takes the new key"
    assert len(await log.keys()) == 2


async def test_a_retired_key_signs_nothing_any_more(
    database: Database, log: AuditLog, workspace: WorkspaceId, tamper: Tamperer
) -> None:
    """Whoever found the old key in a backup cannot sign for the time after it was retired."""
    old = await log.signer.key()
    await log.signer.rotate()
    await record(database, workspace)
    (row,) = await tamper.rows(f"SELECT hash FROM audit_records WHERE workspace_id = {workspace} AND seq = 10")
    late = signed_head(old, workspace, 10, row[0], time_text(utcnow()))
    await tamper.run(
        "INSERT INTO audit_checkpoints (workspace_id, seq, key_id, hash, at, signature) VALUES "
        f"({workspace}, 10, '{old.id}', '{row[0]}', '{late.at}', '{late.signature}')"
    )
    broken = (await log.verify(workspace)).broken
    assert broken is not None
    assert (broken.kind, broken.seq) == (BreakKind.SIGNATURE, 10)


@pytest.mark.parametrize("column", ["signature_of_previous", "own_signature", "added_at", "previous_id"])
async def test_an_edited_rotation_is_found_or_counts_for_nothing(
    log: AuditLog, workspace: WorkspaceId, tamper: Tamperer, column: str
) -> None:
    done = await log.signer.rotate()
    await tamper.run(
        f"UPDATE audit_keys SET {column} = NULL WHERE id = '{done.current}'"
        if column == "previous_id"
        else f"UPDATE audit_keys SET {column} = '0' WHERE id = '{done.current}'"
    )
    broken = (await log.verify(workspace)).broken
    assert broken is not None
    assert broken.kind is BreakKind.SIGNATURE


@pytest.mark.parametrize("committed", [False, True])
async def test_an_interrupted_rotation_either_holds_or_is_forgotten(
    database: Database, log: AuditLog, workspace: WorkspaceId, home: Path, committed: bool
) -> None:
    """Killed before or after the commit; the new key's file waits in both cases."""
    keys = KeyFolder(home / "keys")
    before = keys.current()
    assert before is not None
    if committed:
        pem = (home / "keys" / "audit.ed25519").read_bytes()
        done = await log.signer.rotate()
        (home / "keys" / "audit.ed25519").rename(home / "keys" / "audit.ed25519.next")
        descriptor = os.open(home / "keys" / "audit.ed25519", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, pem)
        os.close(descriptor)
        wanted = done.current
    else:
        keys.stage()
        wanted = before.id
    again = log_of(home, database)
    await record(database, workspace)
    assert await again.signer.sign_all() == 1
    assert (await again.signer.key()).id == wanted
    assert keys.waiting() is None
    found = await again.verify(workspace)
    assert (found.broken, found.indeterminate, found.unsigned) == (None, None, 0)


async def test_homes_on_one_database_sign_with_keys_of_their_own(
    database: Database, log: AuditLog, workspace: WorkspaceId, tmp_path: Path
) -> None:
    second = log_of(tmp_path / "second", database)
    await second.begin()
    assert await second.signer.sign_all() == 1
    assert await log.signer.sign_all() == 1
    for one, foreign in ((log, second), (second, log)):
        found = await one.verify(workspace)
        assert (found.broken, found.indeterminate, found.unsigned) == (None, None, 0)
        assert found.unvouched == ((await foreign.signer.key()).id,)
        assert found.checkpoints == 5


async def test_many_that_sign_and_append_at_once_make_one_sound_chain(
    database: Database, database_url: str, log: AuditLog, workspace: WorkspaceId, home: Path, tmp_path: Path
) -> None:
    other = await open_database(database_url)
    signers = [log, log_of(home, other), log_of(tmp_path / "second", other)]
    await signers[2].begin()

    async def live(one: AuditLog, handle: Database) -> None:
        for _ in range(8):
            await record(handle, workspace)
            await one.signer.sign(workspace)

    handles = (database, other, other)
    await asyncio.gather(*(live(one, handle) for one, handle in zip(signers, handles, strict=True)))
    for one in signers:
        found = await one.verify(workspace)
        assert found.broken is None
        assert found.head.seq == 9 + 24
    await other.close()


_FIRST_START = """
import asyncio, sys
from pathlib import Path
from skillyard.governance.audit.keys import KeyFolder
print(KeyFolder(Path(sys.argv[1])).current_or_new().id)
"""


def test_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FIRST_START, str(tmp_path / "keys")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate(timeout=60)[0] for process in running}
    assert len(said) == 1
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["audit.ed25519"]


async def test_a_workspace_that_does_not_exist_is_not_signed(log: AuditLog) -> None:
    with pytest.raises(NotFoundError):
        await log.signer.sign(WorkspaceId(404))
    with pytest.raises(NotFoundError):
        await log.verify(WorkspaceId(404))
