"""One run, from its claim to its record: renewed while it goes on, ended by its limit, by its process, or by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from skillyard.database import Database
from skillyard.errors import SkillyardError
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.values import Job, Run, RunState
from skillyard.marketplace_sync.remotes.remote import RemoteId
from skillyard.times import utcnow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Work = Callable[[RemoteId | None], Awaitable[DataclassInstance]]
    """What a job does; what it returns counts what it did."""

RECORD_SECONDS = 2.0
"""How long a run that is cut off may take to be recorded; then it is lost, which others record."""
_log = structlog.get_logger("skillyard.jobs")


class RunTooLongError(SkillyardError):
    """A run was ended because it took longer than runs may."""

    code = "run_too_long"


class ClaimLostError(SkillyardError):
    """A run was ended because its claim could not be renewed: another process may run the same by now."""

    code = "claim_lost"


class Runner:
    """Carries out runs that were claimed. Keeps nothing."""

    def __init__(
        self, *, database: Database, work: Mapping[Job, Work], hold: timedelta, longest: float, keep: int
    ) -> None:
        """``hold`` is how long a claim counts that nobody renews; ``longest`` is a run's limit in seconds; ``keep`` is
        how many runs of a job are remembered."""
        self._database = database
        self._work = work
        self._hold = hold
        self._longest = longest
        self._keep = keep

    async def run(self, run: Run, next_at: Callable[[SkillyardError | None], datetime | None]) -> SkillyardError | None:
        """To its record. ``next_at`` says when the next one is, by how this one ended. Returns why it failed.

        A cancelled run is recorded by ``cut_off``; anything else that is raised is recorded and logged.
        """
        counts: Mapping[str, int] = {}
        error: SkillyardError | None = None
        try:
            counts = counts_of(await self._carried_out(run))
        except SkillyardError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - a run that fails in whatever way is a run that failed
            _log.exception("sync_run_broke", job=str(run.key), run=run.id)
            error = SkillyardError(f"it broke: {type(failure).__name__}; the server's log says more")
        if error is not None:
            _log.warning("sync_run_failed", job=str(run.key), run=run.id, error=str(error))
        recording = asyncio.create_task(self._record(run, error, counts, next_at(error)))
        try:
            await asyncio.shield(recording)
        finally:
            # What is done is recorded as that, also where the process was told to stop meanwhile.
            await asyncio.wait((recording,), timeout=RECORD_SECONDS)
        return error

    async def cut_off(self, lease: str) -> None:
        """Record what this process began and did not come to record, because it stops."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                async with self._database.reading() as session:
                    found = await store.under_way(session, lease)
                for run in found:
                    await self._record(run, SkillyardError("cancelled: the server stopped"), {}, run.started_at)
        except (TimeoutError, SkillyardError) as error:
            _log.error("sync_runs_not_recorded", error=str(error))

    async def _carried_out(self, run: Run) -> DataclassInstance:
        """Work and renewal side by side: whichever fails first ends the other."""
        work = asyncio.ensure_future(self._work[run.key.job](run.key.remote))
        renewal = asyncio.create_task(self._renew(run))
        try:
            await asyncio.wait((work, renewal), timeout=self._longest, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not renewal.done():
                raise RunTooLongError(f"ended after {self._longest:g} s, the longest that a run may take")
            if not work.done():
                renewal.result()
                raise ClaimLostError("its claim was taken by another process")
            return work.result()
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.gather(work, renewal, return_exceptions=True)

    async def _renew(self, run: Run) -> None:
        """Returns when the claim is gone. Raises ``ClaimLostError`` when nobody could be asked for too long."""
        clock = asyncio.get_running_loop().time
        renewed = clock()
        while True:
            await asyncio.sleep(self._hold.total_seconds() / 4)
            asked = clock()
            try:
                async with self._database.transaction() as session:
                    if not await store.renew(session, run, until=utcnow() + self._hold):
                        return
                renewed = asked
            except SkillyardError as error:
                if clock() - renewed > self._hold.total_seconds():
                    raise ClaimLostError(f"its claim could not be renewed: {error}") from error

    async def _record(
        self, run: Run, error: SkillyardError | None, counts: Mapping[str, int], next_at: datetime | None
    ) -> None:
        try:
            async with self._database.transaction() as session:
                kept = await store.finish(
                    session,
                    run,
                    state=RunState.SUCCEEDED if error is None else RunState.FAILED,
                    counts=counts,
                    error=None if error is None else str(error),
                    at=utcnow(),
                    next_at=next_at,
                    keep=self._keep,
                )
        except SkillyardError as failure:
            # The claim is not renewed any more, so whoever watches it records the run as lost.
            _log.error("sync_run_not_recorded", job=str(run.key), run=run.id, error=str(failure))
            return
        if not kept:
            _log.warning("sync_run_was_lost", job=str(run.key), run=run.id)


def counts_of(report: DataclassInstance) -> Mapping[str, int]:
    """What of a report are whole numbers; yes and no are 1 and 0."""
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    return {name: int(value) for name, value in values.items() if isinstance(value, int)}
