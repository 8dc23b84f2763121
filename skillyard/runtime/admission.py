"""The one durable writer of calls: admissions, their ends, and refusals, grouped into few durable commits.

A call is admitted by the transaction that inserts its invocation and its audit record and finds the rules epoch as
the decision saw it. Every caller is answered after its transaction is on disk, never before. Waiting for the disk
dominates, so one thread takes whatever is waiting, applies it in one transaction, and answers all of it at once.

This module uses the SQLite driver directly, as the one exception to the SQLAlchemy door (see ADR 0003).
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, assert_never, overload

from skillyard.database import BUSY_SECONDS, is_machine_error, stored_time, utcnow
from skillyard.errors import ConflictError, MachineError, NotFoundError, SkillyardError
from skillyard.governance.audit import COLUMN_NAMES, Action, AuditRecord, Head, JsonValue, as_columns, seal
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import Epoch, InvocationId, SkillVersionId, WorkspaceId
from skillyard.runtime.errors import RuntimeRefusalError, ShuttingDownError
from skillyard.sandbox.outcome import Outcome, OutcomeState

MAX_WAITING = 4096
"""Most admissions and refusals that may wait for the disk at once; more are refused."""

_MAX_BATCH = 256
_REASON_CHARACTERS = 2000


class AdmissionOverloadError(RuntimeRefusalError):
    """Too many calls wait for the database already."""

    code = "admission_overload"


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
class _Ending:
    invocation: InvocationId
    outcome: Outcome
    at: datetime


_Operation = Admission | _Ending | AuditRecord


@dataclass(frozen=True, slots=True)
class _Job:
    operation: _Operation
    future: asyncio.Future[Any]  # typed by the overloads of ``_submit``


@dataclass(frozen=True, slots=True)
class _Answer:
    future: asyncio.Future[Any]
    value: Admitted | StaleEpoch | Head | BaseException


class AdmissionWriter:
    """Owns the thread and the connection. Use it from one event loop, between ``start`` and ``close``."""

    def __init__(self, *, path: Path, instance: str, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._instance = instance
        self._max_waiting = max_waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._refusing: str | None = "the writer of admissions was not started"
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Opens the connection. Raises ``AdmissionFailedError`` if the database cannot be opened for writing."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="skillyard-admission", daemon=True)
        self._thread.start()
        await opened
        self._refusing = None

    async def close(self) -> None:
        """Takes no more, writes and answers what waits, closes the connection. Closing twice does nothing."""
        if self._refusing is None:
            self._refusing = "the writer of admissions is closed"
            self._jobs.put(None)
        if self._thread is not None:
            # Answers are handed to the loop before the thread ends, so they are all given when the join returns.
            await asyncio.to_thread(self._thread.join)

    async def admit(self, admission: Admission) -> Admitted | StaleEpoch:
        """Admits a call durably, or says that its decision is out of date.

        Raises ``NotFoundError`` (no such version or caller in this workspace), ``ConflictError`` (the id is taken),
        ``AdmissionOverloadError``, ``AdmissionFailedError``. If the caller is cancelled while it waits, the call, if
        it was admitted all the same, is ended here as cancelled.
        """
        future = self._submit(admission)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: self._abandon(admission, done))
            raise

    async def finish(self, invocation: InvocationId, outcome: Outcome) -> Head:
        """Records a call's end durably. Goes through also when the caller is cancelled, and under any load.

        Raises ``NotFoundError``, ``AlreadyFinishedError`` or ``AdmissionFailedError``.
        """
        return await asyncio.shield(self._submit(_Ending(invocation, outcome, utcnow())))

    async def record(self, record: AuditRecord) -> Head:
        """Appends an audit record for what was not admitted: denied, held, refused."""
        return await asyncio.shield(self._submit(record))

    @overload
    def _submit(self, operation: Admission) -> asyncio.Future[Admitted | StaleEpoch]: ...
    @overload
    def _submit(self, operation: _Ending | AuditRecord) -> asyncio.Future[Head]: ...
    def _submit(self, operation: _Operation) -> asyncio.Future[Any]:
        if self._refusing is not None:
            raise ShuttingDownError(self._refusing)
        # An end is never refused: it is bounded by the admissions, and refusing it would leave a call open.
        if self._waiting >= self._max_waiting and not isinstance(operation, _Ending):
            raise AdmissionOverloadError(f"{self._waiting} calls wait for the database already; try again later")
        job = _Job(operation, self._loop.create_future())
        self._waiting += 1
        self._jobs.put(job)
        return job.future

    def _abandon(self, admission: Admission, done: asyncio.Future[Admitted | StaleEpoch]) -> None:
        admitted = done.exception() is None and isinstance(done.result(), Admitted)
        if admitted and self._refusing is None:
            reason = "the caller went away before the call started"
            ending = _Ending(admission.invocation, Outcome(OutcomeState.CANCELLED, reason=reason), utcnow())
            self._submit(ending)

    def _answer(self, answers: list[_Answer]) -> None:
        self._waiting -= len(answers)
        for answer in answers:
            # One that is done already must not keep the others from their answers.
            if answer.future.done():
                continue
            if isinstance(answer.value, BaseException):
                answer.future.set_exception(answer.value)
            else:
                answer.future.set_result(answer.value)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            transactions = _Transactions(self._path, self._instance)
        except sqlite3.Error as error:
            failure = AdmissionFailedError(f"the database {self._path} cannot be opened: {error}")
            self._loop.call_soon_threadsafe(opened.set_exception, failure)
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
        while jobs := self._take():
            self._loop.call_soon_threadsafe(self._answer, transactions.apply(jobs))
        transactions.close()

    def _take(self) -> list[_Job]:
        """Waits for a job, and takes all that wait with it; empty once the writer is closed and nothing waits."""
        jobs: list[_Job] = []
        try:
            while len(jobs) < _MAX_BATCH:
                job = self._jobs.get(block=not jobs)
                if job is None:
                    # Nothing is submitted behind the end mark; leave it for the next round if jobs came first.
                    if jobs:
                        self._jobs.put(None)
                    return jobs
                jobs.append(job)
        except queue.Empty:
            pass
        return jobs


class _Transactions:
    """Batches of jobs as transactions on one connection, in one thread."""

    def __init__(self, path: Path, instance: str) -> None:
        self._path = path
        self._instance = instance
        self._connection: sqlite3.Connection | None = self._open()

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
        try:
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
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

    def apply(self, jobs: list[_Job]) -> list[_Answer]:
        """All jobs in one durable transaction; a job that fails by itself leaves the others alone."""
        try:
            connection = self._connection = self._connection or self._open()
            connection.execute("BEGIN IMMEDIATE")
            answers = _Batch(connection, self._instance).apply(jobs)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - callers wait: whatever it is, each must hear it, and the next batch run
            # Closing rolls back whatever is open, and is the one way that works whatever state the failure left.
            self.close()
            return [_Answer(job.future, _failure(error)) for job in jobs]
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


class _Batch:
    """One open transaction: the epoch as it stands in it, and the chains' heads as they grow."""

    def __init__(self, connection: sqlite3.Connection, instance: str) -> None:
        self._connection = connection
        self._instance = instance
        self._heads: dict[int, Head] = {}
        (self._epoch,) = connection.execute(_EPOCH).fetchone()

    def apply(self, jobs: list[_Job]) -> list[_Answer]:
        answers = [_Answer(job.future, self._one(job.operation)) for job in jobs]
        for workspace, head in self._heads.items():
            self._connection.execute(_MOVE_HEAD, (head.seq, head.hash, workspace))
        return answers

    def _one(self, operation: _Operation) -> Admitted | StaleEpoch | Head | SkillyardError:
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

    def _write(self, operation: _Operation) -> Admitted | StaleEpoch | Head | SkillyardError:
        match operation:
            case Admission():
                return self._admit(operation)
            case _Ending():
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

    def _finish(self, ending: _Ending) -> Head:
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
        subject = _subject(ending.invocation)
        return self._append(AuditRecord(workspace, ending.at, caller, Action.INVOCATION_FINISHED, subject, facts))

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
