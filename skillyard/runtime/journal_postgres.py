"""The durable writer's transactions on PostgreSQL: one connection, on which a task writes whatever waits, together.

Many processes write side by side; within one, grouping is what makes it quick, because every statement is a way to the
server and back. A server can go away between a commit and its answer. Then nobody knows whether the commit happened,
so its transaction's number is kept and asked about on the next connection; who waits is answered by what came out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from skillyard.database import BUSY_SECONDS, DatabaseUnavailableError, Location, is_machine_error
from skillyard.database.postgres import connect
from skillyard.runtime.batch_postgres import PostgresBatch
from skillyard.runtime.journal import (
    MAX_BATCH,
    Admission,
    AdmissionFailedError,
    Answer,
    Ending,
    Operation,
    failure,
)
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.journal")

_SETTLE_SECONDS = 10.0
"""How long who waits for a commit whose answer was lost waits for the truth about it."""
_SETTLE_LOOK_SECONDS = 0.02
_ROLLED_BACK = frozenset({"40001", "40P01"})
"""What the server rolled back for others' sake (serialization failure, deadlock) and says to try again."""

_HOW_ENDED: Final = "SELECT pg_xact_status($1::text::xid8)"
_DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Unsure:
    """A transaction whose commit was asked for and never answered, with what it wrote."""

    transaction: str
    operations: tuple[Operation, ...]


class _CommitUnknownError(Exception):
    """The connection broke between a commit and its answer."""

    def __init__(self, unsure: _Unsure, answers: list[Answer]) -> None:
        self.unsure = unsure
        self.answers = answers
        super().__init__("the connection broke while the transaction was being committed")


class PostgresJournal:
    """A ``Journal`` on a PostgreSQL server. Owns one connection, opened again after a failure, and a task."""

    def __init__(self, location: Location, *, instance: str) -> None:
        self._location = location
        self._instance = instance
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        self._jobs: deque[_Job] = deque()
        self._writing = 0
        self._work = asyncio.Event()
        self._closing = False
        self._unsure: list[_Unsure] = []
        """Those that nobody waits for any more; their calls must not stay open."""

    @property
    def waiting(self) -> int:
        return len(self._jobs) + self._writing

    async def start(self) -> None:
        try:
            await self._connected()
        except (*_DRIVER_ERRORS, DatabaseUnavailableError) as error:
            raise AdmissionFailedError(f"the database cannot be opened: {error}") from error
        self._task = asyncio.create_task(self._run(), name="skillyard-admission")

    def at_once(self, operation: Operation) -> Answer | None:  # noqa: ARG002 - the server is always a way off
        return None

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        job = _Job(operation, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._work.set()
        return job.future

    async def close(self) -> None:
        self._closing = True
        self._work.set()
        task, self._task = self._task, None
        if task is not None:
            await task
        await self._hang_up()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            if not self._jobs:
                if self._closing:
                    return
                self._work.clear()
                continue
            jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_BATCH))]
            self._writing = len(jobs)
            try:
                answers = await self._apply(tuple(job.operation for job in jobs))
            except Exception as error:  # noqa: BLE001 - callers wait: whatever it is, each must hear it, and the next batch run
                await self._hang_up()
                answers = [failure(error) for _ in jobs]
            self._writing = 0
            for job, answer in zip(jobs, answers, strict=True):
                _tell(job.future, answer)

    async def _apply(self, operations: tuple[Operation, ...]) -> list[Answer]:
        """All operations in one durable transaction; one that fails by itself leaves the others alone."""
        try:
            await self._connected()
        except (*_DRIVER_ERRORS, DatabaseUnavailableError) as error:
            # Who waits behind these would wait as long for the same.
            waiting, self._jobs = self._jobs, deque()
            for job in waiting:
                _tell(job.future, failure(error))
            raise
        await self._end_unsure()
        try:
            return await self._transaction(operations)
        except _CommitUnknownError as error:
            return await self._find_out(error)

    async def _transaction(self, operations: tuple[Operation, ...]) -> list[Answer]:
        try:
            batch = await self._begin(operations)
            answers = await batch.together(operations)
        except (asyncpg.PostgresError, AdmissionFailedError, TypeError, ValueError, OverflowError) as error:
            if is_machine_error(error) and getattr(error, "sqlstate", None) not in _ROLLED_BACK:
                raise
            # Somebody's fault, or one that another try heals: each operation by itself shows whose it is.
            await self._connection.execute("ROLLBACK")
            batch = await self._begin(operations)
            answers = await batch.one_by_one(operations)
        await self._commit(batch, operations, answers)
        return answers

    async def _begin(self, operations: tuple[Operation, ...]) -> PostgresBatch:
        try:
            return await PostgresBatch.begin(self._connection, self._instance, operations)
        except _DRIVER_ERRORS as error:
            if not (self._connection.is_closed() or isinstance(error, OSError)):
                raise
            # A connection that broke while it stood idle shows only now, with nothing done: once more on a new one.
            await self._hang_up()
            await self._connected()
            return await PostgresBatch.begin(self._connection, self._instance, operations)

    async def _commit(self, batch: PostgresBatch, operations: tuple[Operation, ...], answers: list[Answer]) -> None:
        try:
            said = await self._connection.execute("COMMIT")
        except _DRIVER_ERRORS as error:
            await self._hang_up()
            if batch.transaction is None:
                raise
            raise _CommitUnknownError(_Unsure(batch.transaction, operations), answers) from error
        if said != "COMMIT":
            raise AdmissionFailedError(f"the database answered {said} to a commit")

    # After a lost answer

    async def _find_out(self, lost: _CommitUnknownError) -> list[Answer]:
        committed = await self._settle(lost.unsure)
        if committed:
            return lost.answers
        if committed is None:
            self._unsure.append(lost.unsure)
            _log.error("commit_unknown", transaction=lost.unsure.transaction, operations=len(lost.unsure.operations))
        return [failure(lost) for _ in lost.answers]

    async def _settle(self, unsure: _Unsure) -> bool | None:
        """Whether the transaction was committed; ``None`` where the server did not say in time."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                while True:
                    try:
                        await self._connected()
                        said = await self._connection.fetchval(_HOW_ENDED, unsure.transaction)
                    except asyncpg.InvalidParameterValueError:
                        return False  # The server has never heard of it: it is another's copy, from before.
                    except (*_DRIVER_ERRORS, DatabaseUnavailableError):
                        await self._hang_up()
                        said = "in progress"
                    if said != "in progress":
                        return bool(said == "committed")
                    await asyncio.sleep(_SETTLE_LOOK_SECONDS)
        except TimeoutError:
            await self._hang_up()
            return None

    async def _end_unsure(self) -> None:
        """End the calls that were admitted without anybody hearing of it: they never started."""
        for unsure in tuple(self._unsure):
            committed = await self._settle(unsure)
            if committed is None:
                return
            self._unsure.remove(unsure)
            admissions = [operation for operation in unsure.operations if isinstance(operation, Admission)]
            if committed and admissions:
                reason = "the database was lost while the call was being admitted; it did not start"
                cancelled = Outcome(OutcomeState.CANCELLED, reason=reason)
                endings = tuple(Ending(admission.invocation, cancelled, utcnow()) for admission in admissions)
                await self._transaction(endings)

    # The connection

    async def _connected(self) -> None:
        if self._connection is not None and self._connection.is_closed():
            self._connection = None
        if self._connection is None:
            self._connection = await connect(self._location, purpose="admitting", answer_seconds=2 * BUSY_SECONDS)

    async def _hang_up(self) -> None:
        """Let go of the connection without waiting for the server: it rolls back what was open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _tell(future: asyncio.Future[Any], answer: Answer) -> None:
    if future.done():
        return
    if isinstance(answer, BaseException):
        future.set_exception(answer)
    else:
        future.set_result(answer)
