"""The one durable writer of calls: admissions, their ends, and refusals, grouped into few durable commits.

A call is admitted by the transaction that inserts its invocation and its audit record and finds the rules epoch as
the decision saw it. Every caller is answered after its transaction is on disk, never before. Waiting for the disk
dominates, so one thread takes whatever is waiting, applies it in one transaction, and answers all of it at once. A
call that is alone has nobody to share a commit with: handing it to a thread and back costs more than its transaction,
so that is done on the event loop, as long as the disk is quick (ADR 0020).
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, overload

from skillyard.database import utcnow
from skillyard.governance.audit import AuditRecord, Head
from skillyard.ids import InvocationId
from skillyard.runtime.errors import RuntimeRefusalError, ShuttingDownError
from skillyard.runtime.journal import (
    Admission,
    AdmissionFailedError,
    Admitted,
    Answer,
    Ending,
    Journal,
    Operation,
    StaleEpoch,
)
from skillyard.sandbox.outcome import Outcome, OutcomeState

MAX_WAITING = 4096
"""Most admissions and refusals that may wait for the disk at once; more are refused."""

_MAX_BATCH = 256
_SLOW_SECONDS = 0.005
_MISTRUST = 20.0
"""A transaction on the event loop that took longer than so many seconds is the last one there for this many times as
long as it took: however slow the disk, the loop stands still for a twentieth of the time at most."""
_CHECKPOINT_EVERY = 64
"""Transactions on the event loop after which the thread is asked for a checkpoint: that may take the disk long."""


class AdmissionOverloadError(RuntimeRefusalError):
    """Too many calls wait for the database already."""

    code = "admission_overload"


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]  # typed by the overloads of ``_submit``


class _Checkpoint:
    """Asks the thread for a checkpoint; nobody waits for it."""


_CHECKPOINT: Final = _Checkpoint()


@dataclass(frozen=True, slots=True)
class _Answer:
    future: asyncio.Future[Any]
    value: Answer


class AdmissionWriter:
    """Owns the thread and the connection. Use it from one event loop, between ``start`` and ``close``."""

    def __init__(self, *, path: Path, instance: str, max_waiting: int = MAX_WAITING) -> None:
        self._path = path
        self._instance = instance
        self._max_waiting = max_waiting
        self._jobs: queue.SimpleQueue[_Job | _Checkpoint | None] = queue.SimpleQueue()
        self._waiting = 0
        self._refusing: str | None = "the writer of admissions was not started"
        self._thread: threading.Thread | None = None
        self._here: Journal | None = None
        """What is written on the event loop itself."""
        self._trusted_from = 0.0
        self._since_checkpoint = 0
        self._open = 0
        """Calls that were admitted here and have not ended."""

    async def start(self) -> None:
        """Opens the connection. Raises ``AdmissionFailedError`` if the database cannot be opened for writing."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="skillyard-admission", daemon=True)
        self._thread.start()
        await opened
        self._here = Journal(self._path, self._instance, patient=False)
        self._refusing = None

    async def close(self) -> None:
        """Takes no more, writes and answers what waits, closes the connection. Closing twice does nothing."""
        if self._refusing is None:
            self._refusing = "the writer of admissions is closed"
            self._jobs.put(None)
        if self._thread is not None:
            # Answers are handed to the loop before the thread ends, so they are all given when the join returns.
            await asyncio.to_thread(self._thread.join)
        if self._here is not None:
            self._here.close()

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
        """The answer to an operation that nobody could share a commit with; ``None`` where it is one for the thread.

        Raises what the operation came to, as the thread's answer would.
        """
        began = time.monotonic()
        if self._here is None or self._refusing or self._waiting or self._open or began < self._trusted_from:
            return None
        answer = self._here.try_one(operation)
        took = time.monotonic() - began
        if answer is None or took > _SLOW_SECONDS:
            self._trusted_from = began + took * _MISTRUST
        self._since_checkpoint += 1
        if self._since_checkpoint >= _CHECKPOINT_EVERY:
            self._since_checkpoint = 0
            # It counts as waiting: a checkpoint beside which others write never reaches the end of the log.
            self._waiting += 1
            self._jobs.put(_CHECKPOINT)
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
        if self._waiting >= self._max_waiting and not isinstance(operation, Ending):
            raise AdmissionOverloadError(f"{self._waiting} calls wait for the database already; try again later")
        job = _Job(operation, self._loop.create_future())
        self._waiting += 1
        self._jobs.put(job)
        return job.future

    def _abandon(self, admission: Admission, done: asyncio.Future[Admitted | StaleEpoch]) -> None:
        admitted = done.exception() is None and isinstance(done.result(), Admitted)
        if admitted and self._refusing is None:
            reason = "the caller went away before the call started"
            ending = Ending(admission.invocation, Outcome(OutcomeState.CANCELLED, reason=reason), utcnow())
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

    def _checkpointed(self) -> None:
        self._waiting -= 1

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            journal = Journal(self._path, self._instance, patient=True)
        except sqlite3.Error as error:
            failure = AdmissionFailedError(f"the database {self._path} cannot be opened: {error}")
            self._loop.call_soon_threadsafe(opened.set_exception, failure)
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
        while jobs := self._take():
            wanted = [job for job in jobs if isinstance(job, _Job)]
            if wanted:
                answers = journal.apply([job.operation for job in wanted])
                self._loop.call_soon_threadsafe(
                    self._answer, [_Answer(job.future, answer) for job, answer in zip(wanted, answers, strict=True)]
                )
            if len(wanted) < len(jobs):
                journal.checkpoint()
                self._loop.call_soon_threadsafe(self._checkpointed)
        journal.close()

    def _take(self) -> list[_Job | _Checkpoint]:
        """Waits for a job, and takes all that wait with it; empty once the writer is closed and nothing waits."""
        jobs: list[_Job | _Checkpoint] = []
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
