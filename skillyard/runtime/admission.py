"""The one durable writer of calls: admissions, their ends, and refusals, grouped into few durable commits.

A call is admitted by the transaction that inserts its invocation and its audit record and finds the rules epoch as
the decision saw it. Every caller is answered after its transaction is on disk, never before. How transactions are
made is the ``Journal``'s matter, one for each database engine; who may hand it what, how much of it, and what becomes
of a call whose caller leaves meanwhile, is said here.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, overload

from skillyard.database import Kind, Location
from skillyard.governance.audit import AuditRecord, Head
from skillyard.ids import InvocationId
from skillyard.runtime.errors import RuntimeRefusalError, ShuttingDownError
from skillyard.runtime.journal import Admission, Admitted, Ending, Journal, Operation, StaleEpoch
from skillyard.runtime.journal_postgres import PostgresJournal
from skillyard.runtime.journal_sqlite import SqliteJournal
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.times import utcnow

MAX_WAITING = 4096
"""Most admissions and refusals that may wait for the disk at once; more are refused."""


class AdmissionOverloadError(RuntimeRefusalError):
    """Too many calls wait for the database already."""

    code = "admission_overload"


def open_journal(location: Location, *, instance: str) -> Journal:
    """The journal of a database; ``instance`` is under what its calls are admitted. ``start`` opens it."""
    if location.kind is Kind.POSTGRESQL:
        return PostgresJournal(location, instance=instance)
    return SqliteJournal(location.path, instance=instance)


class AdmissionWriter:
    """Owns a journal. Use it from one event loop, between ``start`` and ``close``."""

    def __init__(self, journal: Journal, *, max_waiting: int = MAX_WAITING) -> None:
        self._journal = journal
        self._max_waiting = max_waiting
        self._refusing: str | None = "the writer of admissions was not started"
        self._open = 0
        """Calls that were admitted here and have not ended."""

    async def start(self) -> None:
        """Raises ``AdmissionFailedError`` if the database cannot be opened for writing."""
        await self._journal.start()
        self._refusing = None

    async def close(self) -> None:
        """Takes no more, writes and answers what waits. Closing twice does nothing."""
        if self._refusing is None:
            self._refusing = "the writer of admissions is closed"
        await self._journal.close()

    async def admit(self, admission: Admission) -> Admitted | StaleEpoch:
        """Admits a call durably, or says that its decision is out of date.

        Raises ``NotFoundError`` (no such version or caller in this workspace), ``ConflictError`` (the id is taken),
        ``AdmissionOverloadError``, ``AdmissionFailedError``. If the caller is cancelled while it waits, the call, if
        it was admitted all the same, is ended here as cancelled.
        """
        answer = self._at_once(admission)
        if answer is None:
            future = self._submit(admission)
            try:
                answer = await asyncio.shield(future)
            except asyncio.CancelledError:
                future.add_done_callback(lambda done: self._abandon(admission, done))
                raise
        if isinstance(answer, Admitted):
            self._open += 1
        return answer

    async def finish(self, invocation: InvocationId, outcome: Outcome, *, files_until: datetime | None = None) -> Head:
        """Records a call's end durably, with the files it left, which are kept until ``files_until``.

        Goes through also when the caller is cancelled, and under any load.

        Raises ``NotFoundError``, ``AlreadyFinishedError`` or ``AdmissionFailedError``.
        """
        ending = Ending(invocation, outcome, utcnow(), files_until)
        self._open = max(0, self._open - 1)
        head = self._at_once(ending)
        return head if head is not None else await asyncio.shield(self._submit(ending))

    async def record(self, record: AuditRecord) -> Head:
        """Appends an audit record for what was not admitted: denied, held, refused."""
        head = self._at_once(record)
        return head if head is not None else await asyncio.shield(self._submit(record))

    @overload
    def _at_once(self, operation: Admission) -> Admitted | StaleEpoch | None: ...
    @overload
    def _at_once(self, operation: Ending | AuditRecord) -> Head | None: ...
    def _at_once(self, operation: Operation) -> Any:
        """The answer to an operation that nobody could share a commit with; ``None`` where it is one for the queue.

        Raises what the operation came to, as the queue's answer would.
        """
        if self._refusing or self._open:
            return None
        answer = self._journal.at_once(operation)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @overload
    def _submit(self, operation: Admission) -> asyncio.Future[Admitted | StaleEpoch]: ...
    @overload
    def _submit(self, operation: Ending | AuditRecord) -> asyncio.Future[Head]: ...
    def _submit(self, operation: Operation) -> asyncio.Future[Any]:
        if self._refusing is not None:
            raise ShuttingDownError(self._refusing)
        # An end is never refused: it is bounded by the admissions, and refusing it would leave a call open.
        waiting = self._journal.waiting
        if waiting >= self._max_waiting and not isinstance(operation, Ending):
            raise AdmissionOverloadError(f"{waiting} calls wait for the database already; try again later")
        return self._journal.put(operation)

    def _abandon(self, admission: Admission, done: asyncio.Future[Admitted | StaleEpoch]) -> None:
        admitted = done.exception() is None and isinstance(done.result(), Admitted)
        if admitted and self._refusing is None:
            reason = "the caller went away before the call started"
            ending = Ending(admission.invocation, Outcome(OutcomeState.CANCELLED, reason=reason), utcnow())
            self._submit(ending)
