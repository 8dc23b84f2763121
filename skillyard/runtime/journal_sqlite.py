"""The durable writer's transactions on SQLite: a thread that groups them, and the event loop for a call that is alone.

Waiting for the disk dominates, so one thread takes whatever is waiting, applies it in one transaction, and answers all
of it at once. A call that is alone has nobody to share a commit with: handing it to a thread and back costs more than
its transaction, so that is done on the event loop, as long as the disk is quick (ADR 0020).

Each transaction passes the gate that changes of rules and other processes pass as well (``database.turns``): without it
a writer that begins anew at once would keep everybody else out for as long as it has work.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from skillyard.database import BUSY_SECONDS, LOOK_SECONDS, Gate, is_locked
from skillyard.runtime.batch_sqlite import EPOCH, SqliteBatch
from skillyard.runtime.journal import MAX_BATCH, AdmissionFailedError, Answer, Operation, failure

_SLOW_SECONDS = 0.005
_MISTRUST = 20.0
"""A transaction on the event loop that took longer than so many seconds is the last one there for this many times as
long as it took: however slow the disk, the loop stands still for a twentieth of the time at most."""
_CHECKPOINT_EVERY = 64
"""Transactions on the event loop after which the thread is asked for a checkpoint: that may take the disk long."""


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]  # typed by the overloads of ``AdmissionWriter``


class _Checkpoint:
    """Asks the thread for a checkpoint; nobody waits for it."""


_CHECKPOINT: Final = _Checkpoint()


@dataclass(frozen=True, slots=True)
class _Answered:
    future: asyncio.Future[Any]
    value: Answer


class SqliteJournal:
    """A ``Journal`` on an SQLite file. Owns the thread and two connections."""

    def __init__(self, path: Path, *, instance: str) -> None:
        self._path = path
        self._instance = instance
        self._jobs: queue.SimpleQueue[_Job | _Checkpoint | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._here: _Connection | None = None
        """What is written on the event loop itself."""
        self._trusted_from = 0.0
        self._since_checkpoint = 0

    @property
    def waiting(self) -> int:
        return self._waiting

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name="skillyard-admission", daemon=True)
        self._thread.start()
        await opened
        try:
            self._here = _Connection(self._path, self._instance, checkpoints=False)
        except (sqlite3.Error, OSError) as error:
            raise self._cannot_open(error) from error

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            # Answers are handed to the loop before the thread ends, so they are all given when the join returns.
            await asyncio.to_thread(thread.join)
        here, self._here = self._here, None
        if here is not None:
            here.close()

    def at_once(self, operation: Operation) -> Answer | None:
        began = time.monotonic()
        if self._here is None or self._waiting or began < self._trusted_from:
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
        return answer

    def put(self, operation: Operation) -> asyncio.Future[Any]:
        job = _Job(operation, self._loop.create_future())
        self._waiting += 1
        self._jobs.put(job)
        return job.future

    def _answer(self, answers: list[_Answered]) -> None:
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

    def _cannot_open(self, error: Exception) -> AdmissionFailedError:
        return AdmissionFailedError(f"the database {self._path} cannot be opened: {error}")

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, opened: asyncio.Future[None]) -> None:
        try:
            connection = _Connection(self._path, self._instance, checkpoints=True)
        except (sqlite3.Error, OSError) as error:
            self._loop.call_soon_threadsafe(opened.set_exception, self._cannot_open(error))
            return
        self._loop.call_soon_threadsafe(opened.set_result, None)
        with contextlib.closing(connection):
            while jobs := self._take():
                wanted = [job for job in jobs if isinstance(job, _Job)]
                if wanted:
                    answers = connection.apply([job.operation for job in wanted])
                    self._loop.call_soon_threadsafe(
                        self._answer,
                        [_Answered(job.future, answer) for job, answer in zip(wanted, answers, strict=True)],
                    )
                if len(wanted) < len(jobs):
                    connection.checkpoint()
                    self._loop.call_soon_threadsafe(self._checkpointed)

    def _take(self) -> list[_Job | _Checkpoint]:
        """Waits for a job, and takes all that wait with it; empty once the writer is closed and nothing waits."""
        jobs: list[_Job | _Checkpoint] = []
        try:
            while len(jobs) < MAX_BATCH:
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


class _Connection:
    """Batches of operations as transactions on one connection, opened again after a failure. For one thread."""

    def __init__(self, path: Path, instance: str, *, checkpoints: bool) -> None:
        """``checkpoints`` is whether a commit makes one when it is time to.

        Raises ``sqlite3.Error`` and ``OSError``.
        """
        self._path = path
        self._instance = instance
        self._checkpoints = checkpoints
        self._connection: sqlite3.Connection | None = self._open()
        try:
            self._gate = Gate(path)
        except OSError:
            self._connection.close()
            raise

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
        try:
            for pragma in ("foreign_keys = ON", "synchronous = FULL", "trusted_schema = OFF"):
                connection.execute(f"PRAGMA {pragma}")
            if not self._checkpoints:
                connection.execute("PRAGMA wal_autocheckpoint = 0")
            # Reads what every admission needs, so that a file that is none of ours is refused at the start.
            connection.execute(EPOCH).fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        self._drop()
        self._gate.close()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(self, operations: Sequence[Operation]) -> list[Answer]:
        """All operations in one durable transaction; one that fails by itself leaves the others alone."""
        try:
            return self._commit(self._begin(), operations)
        except Exception as error:  # noqa: BLE001 - callers wait: whatever it is, each must hear it, and the next batch run
            # Closing rolls back whatever is open, and is the one way that works whatever state the failure left.
            self._drop()
            return [failure(error) for _ in operations]

    def try_one(self, operation: Operation) -> Answer | None:
        """One operation, as ``apply`` does it; ``None``, with nothing done, where no transaction can begin now."""
        try:
            connection = self._begin_now()
        except sqlite3.Error:
            self._drop()
            return None
        if connection is None:
            return None
        try:
            return self._commit(connection, (operation,))[0]
        except Exception as error:  # noqa: BLE001 - as in ``apply``
            self._drop()
            return failure(error)

    def checkpoint(self) -> None:
        """Move what was committed into the database file, as far as nobody has to be waited for.

        What fails here fails nobody's commit, and is tried again at the next one.
        """
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _begin(self) -> sqlite3.Connection:
        """In turn with everybody else who writes."""
        give_up = time.monotonic() + BUSY_SECONDS
        self._gate.enter()
        try:
            connection = self._opened()
            while not _try_begin(connection):
                if time.monotonic() > give_up:
                    raise AdmissionFailedError(f"others have written to the database for {BUSY_SECONDS:g} s")
                time.sleep(LOOK_SECONDS)
            return connection
        finally:
            self._gate.leave()

    def _begin_now(self) -> sqlite3.Connection | None:
        """``None`` where somebody else writes, or is next."""
        if not self._gate.try_enter():
            return None
        try:
            connection = self._opened()
            return connection if _try_begin(connection) else None
        finally:
            self._gate.leave()

    def _opened(self) -> sqlite3.Connection:
        self._connection = self._connection or self._open()
        return self._connection

    def _commit(self, connection: sqlite3.Connection, operations: Sequence[Operation]) -> list[Answer]:
        answers = SqliteBatch(connection, self._instance).apply(operations)
        connection.execute("COMMIT")
        return answers


def _try_begin(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_locked(error):
            return False
        raise
    return True
