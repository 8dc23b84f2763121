"""What the writer of admissions writes: one operation each, many in one durable transaction.

A call is admitted by the transaction that inserts its invocation and its audit record and finds the rules epoch as
the decision saw it. This module uses the SQLite driver directly, as the one exception to the SQLAlchemy door (see
ADR 0003). Whoever holds a ``Journal`` uses it from one thread.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import assert_never

from skillyard.database import BUSY_SECONDS, is_machine_error, stored_time
from skillyard.errors import ConflictError, MachineError, NotFoundError, SkillyardError
from skillyard.governance.audit import COLUMN_NAMES, Action, AuditRecord, Head, JsonValue, as_columns, seal
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.sandbox.outcome import Outcome

_REASON_CHARACTERS = 2000


class AdmissionFailedError(MachineError):
    """What was asked for is not durable: the database could not take it. Nothing of it was kept."""

    code = "admission_failed"


class AlreadyFinishedError(ConflictError):
    """An invocation ended before, and ends only once."""

    code = "already_finished"


@dataclass(frozen=True, slots=True)
class Admission:
    """A call that was allowed under ``epoch``. ``actor`` is the person or agent that calls.

    ``facts`` go into the audit record beside version, entry and epoch: what the decision rested on.
    """

    invocation: InvocationId
    workspace: WorkspaceId
    actor: Actor
    skill_version: SkillVersionId
    entry: str
    epoch: Epoch
    at: datetime
    facts: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call is admitted, and on disk."""

    invocation: InvocationId


@dataclass(frozen=True, slots=True)
class StaleEpoch:
    """The rules changed after the decision; nothing was written. Decide again from what holds at ``current``."""

    current: Epoch


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an admitted call. ``files_until`` is how long what it left is kept; needed where it left anything."""

    invocation: InvocationId
    outcome: Outcome
    at: datetime
    files_until: datetime | None = None


Operation = Admission | Ending | AuditRecord
Answer = Admitted | StaleEpoch | Head | SkillyardError


class Journal:
    """Batches of operations as transactions on one connection, opened again after a failure."""

    def __init__(self, path: Path, instance: str, *, patient: bool) -> None:
        """``patient`` is whether to wait for others who write, and to checkpoint in a commit when it is time to.

        Raises ``sqlite3.Error``.
        """
        self._path = path
        self._instance = instance
        self._patient = patient
        self._connection: sqlite3.Connection | None = self._open()

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS if self._patient else 0)
        try:
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            if not self._patient:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            # Reads what every admission needs, so that a file that is none of ours is refused at the start.
            connection.execute(_EPOCH).fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """All operations in one durable transaction; one that fails by itself leaves the others alone."""
        try:
            return self._commit(self._begin(), operations)
        except Exception as error:  # noqa: BLE001 - callers wait: whatever it is, each must hear it, and the next batch run
            # Closing rolls back whatever is open, and is the one way that works whatever state the failure left.
            self.close()
            return [_failure(error) for _ in operations]

    def try_one(self, operation: Operation) -> Answer | None:
        """One operation, as ``apply`` does it; ``None``, with nothing done, where no transaction can begin now."""
        try:
            connection = self._begin()
        except sqlite3.Error:
            self.close()
            return None
        try:
            return self._commit(connection, (operation,))[0]
        except Exception as error:  # noqa: BLE001 - as in ``apply``
            self.close()
            return _failure(error)

    def checkpoint(self) -> None:
        """Move what was committed into the database file, as far as nobody has to be waited for.

        What fails here fails nobody's commit, and is tried again at the next one.
        """
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _begin(self) -> sqlite3.Connection:
        connection = self._connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        return connection

    def _commit(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> list[Answer]:
        answers = _Batch(connection, self._instance).apply(operations)
        connection.execute("COMMIT")
        return answers


_EPOCH = "SELECT epoch FROM rules_epoch WHERE id = 1"
_HEAD = "SELECT seq, hash FROM audit_heads WHERE workspace_id = ?"
_MOVE_HEAD = "UPDATE audit_heads SET seq = ?, hash = ? WHERE workspace_id = ?"
_APPEND = f"INSERT INTO audit_records ({', '.join(COLUMN_NAMES)}) VALUES ({', '.join('?' * len(COLUMN_NAMES))})"  # noqa: S608 - constants only

# Version and caller are found by their workspace, so a call cannot be admitted across tenants.
_ADMIT_AGENT = """
INSERT INTO invocations (id, workspace_id, agent_id, skill_version_id, entry, epoch, instance_id, state, started_at)
SELECT ?, v.workspace_id, caller.id, v.id, ?, ?, ?, 'accepted', ?
FROM skill_versions AS v JOIN agents AS caller ON caller.workspace_id = v.workspace_id
WHERE v.id = ? AND v.workspace_id = ? AND caller.id = ?
"""
_ADMIT = {
    ActorKind.AGENT: _ADMIT_AGENT,
    ActorKind.PERSON: _ADMIT_AGENT.replace("agent_id", "person_id").replace("agents", "persons"),
}
_CALLER = "SELECT workspace_id, agent_id, person_id, state FROM invocations WHERE id = ?"
_FINISH = """
UPDATE invocations SET state = ?, reason = ?, ended_at = ?, wall_seconds = ?, cpu_seconds = ?, peak_memory_bytes = ?,
exit_code = ? WHERE id = ?
"""

_KEEP_FILE = """
INSERT INTO invocation_files (workspace_id, invocation_id, path, sha256, size, media_type, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class _Batch:
    """One open transaction: the epoch as it stands in it, and the chains' heads as they grow."""

    def __init__(self, connection: sqlite3.Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._heads: dict[int, Head] = {}
        (self._epoch,) = connection.execute(_EPOCH).fetchone()

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        answers = [self._one(operation) for operation in operations]
        for workspace, head in self._heads.items():
            self._connection.execute(_MOVE_HEAD, (head.seq, head.hash, workspace))
        return answers

    def _one(self, operation: Operation) -> Answer:
        """The operation inside a savepoint of its own. Raises only for what concerns the whole transaction."""
        self._connection.execute("SAVEPOINT operation")
        try:
            answer = self._write(operation)
        except (SkillyardError, sqlite3.Error, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, sqlite3.Error) and is_machine_error(error):
                raise
            self._connection.execute("ROLLBACK TO operation")
            answer = _refusal(error)
        self._connection.execute("RELEASE operation")
        return answer

    def _write(self, operation: Operation) -> Answer:
        match operation:
            case Admission():
                return self._admit(operation)
            case Ending():
                return self._finish(operation)
            case AuditRecord():
                return self._append(operation)
            case _:
                assert_never(operation)

    def _admit(self, admission: Admission) -> Admitted | StaleEpoch:
        if admission.epoch != self._epoch:
            return StaleEpoch(Epoch(self._epoch))
        actor, at = admission.actor, stored_time(admission.at)
        if actor.kind is ActorKind.SYSTEM:
            raise ValueError("a call is made by a person or an agent")
        placed = (admission.skill_version, admission.workspace, actor.id)
        row = (admission.invocation, admission.entry, admission.epoch, self._instance, at, *placed)
        if self._connection.execute(_ADMIT[actor.kind], row).rowcount != 1:
            raise NotFoundError(f"{actor.kind.value} {actor.id} or skill version {admission.skill_version} is not here")
        facts: dict[str, JsonValue] = {
            **admission.facts,
            "skill_version": admission.skill_version,
            "entry": admission.entry,
            "epoch": admission.epoch,
        }
        subject = _subject(admission.invocation)
        self._append(AuditRecord(admission.workspace, admission.at, actor, Action.INVOCATION_ADMITTED, subject, facts))
        return Admitted(admission.invocation)

    def _finish(self, ending: Ending) -> Head:
        found = self._connection.execute(_CALLER, (ending.invocation,)).fetchone()
        if found is None:
            raise NotFoundError(f"invocation {ending.invocation} does not exist")
        workspace, agent, person, state = found
        if state != "accepted":
            raise AlreadyFinishedError(f"invocation {ending.invocation} ended before: {state}")
        outcome, usage, reason = ending.outcome, ending.outcome.usage, _storable(ending.outcome.reason)
        measured = (usage.wall_seconds, usage.cpu_seconds, usage.peak_memory_bytes, outcome.exit_code)
        row = (outcome.state.value, reason, stored_time(ending.at), *measured, ending.invocation)
        self._connection.execute(_FINISH, row)
        caller = Actor(ActorKind.PERSON, person) if agent is None else Actor(ActorKind.AGENT, agent)
        facts: dict[str, JsonValue] = {"state": outcome.state.value, "reason": reason, "exit_code": outcome.exit_code}
        if outcome.files or outcome.result_file is not None:
            facts["files"] = self._keep_files(ending, workspace)
        subject = _subject(ending.invocation)
        return self._append(AuditRecord(workspace, ending.at, caller, Action.INVOCATION_FINISHED, subject, facts))

    def _keep_files(self, ending: Ending, workspace: WorkspaceId) -> int:
        """A row for each file that the call left; returns how many there are."""
        if ending.files_until is None:
            raise ValueError("files are kept for a time that has an end")
        result = ending.outcome.result_file
        files = (*ending.outcome.files, *(() if result is None else (result,)))
        until = stored_time(ending.files_until)
        rows = [
            (workspace, ending.invocation, file.path, file.sha256, file.size, file.media_type, until) for file in files
        ]
        self._connection.executemany(_KEEP_FILE, rows)
        return len(rows)

    def _append(self, record: AuditRecord) -> Head:
        entry = seal(record, self._head(record.workspace))
        self._connection.execute(_APPEND, as_columns(entry))
        # The last write of every operation: if it fails, the head kept here has not moved either.
        head = self._heads[record.workspace] = Head(entry.seq, entry.hash)
        return head

    def _head(self, workspace: WorkspaceId) -> Head:
        if workspace not in self._heads:
            found = self._connection.execute(_HEAD, (workspace,)).fetchone()
            if found is None:
                raise NotFoundError(f"workspace {workspace} does not exist")
            self._heads[workspace] = Head(*found)
        return self._heads[workspace]


def _failure(error: Exception) -> AdmissionFailedError:
    failure = AdmissionFailedError(f"nothing was kept: {error}")
    failure.__cause__ = error
    return failure


def _refusal(error: Exception) -> SkillyardError:
    if isinstance(error, SkillyardError):
        return error
    if isinstance(error, sqlite3.IntegrityError):
        refusal: SkillyardError = ConflictError(f"contradicts what is stored: {error}")
    else:
        refusal = AdmissionFailedError(f"this cannot be stored: {error}")
    refusal.__cause__ = error
    return refusal


def _subject(invocation: InvocationId) -> str:
    return f"invocation/{invocation}"


def _storable(reason: str | None) -> str | None:
    """A skill's own words may be part of a reason: cut to a length, and made text that UTF-8 can carry."""
    if reason is None:
        return None
    text = reason.encode("utf-8", "replace").decode()
    return text if len(text) <= _REASON_CHARACTERS else text[: _REASON_CHARACTERS - 1] + "…"
