"""When the work of the marketplace is done, and that it is done once.

Each process has a schedule of all jobs; which of them runs one is decided by its claim in the database. Every second a
process looks at what is configured, whose claims are nobody's any more, and what waits to go up; in between it is told
by its live channels. A trigger during a run leads to one more run, however many come.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from skillyard.database import Database
from skillyard.errors import SkillyardError
from skillyard.marketplace_sync.errors import RemoteUnavailableError
from skillyard.marketplace_sync.jobs import store
from skillyard.marketplace_sync.jobs.runner import Runner, RunTooLongError
from skillyard.marketplace_sync.jobs.schedule import Schedule
from skillyard.marketplace_sync.jobs.values import Busy, Followed, Job, JobId, JobKey, JobState, NotDue, Run, RunTrigger
from skillyard.marketplace_sync.live.client import LiveChannels, Pace
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteId, RemoteMarket, RemoteState
from skillyard.settings import Settings
from skillyard.times import utcnow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_LOOK_SECONDS = 1.0
_LOST_SIGHT_SECONDS = 30.0
"""Who could not look for so long does not keep up."""
_TIDY_SECONDS = 3600.0
_BUSY_SECONDS = 0.25
"""How long somebody who has to run after another process's run waits between two looks at it."""
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 3600.0
_log = structlog.get_logger("skillyard.jobs")


@dataclass(frozen=True, slots=True)
class _Wish:
    """What those want who wait for a flight together. ``due`` is to run only if the time has come; ``wanted`` only if
    the mirror is not there already."""

    due: bool
    wanted: int | None

    def joined_by(self, other: _Wish) -> _Wish:
        """Who comes by the schedule adds nothing; anybody else lets it fly, whether its time has come or not."""
        if other.due:
            return self
        known = None if self.wanted is None or other.wanted is None else max(self.wanted, other.wanted)
        return _Wish(due=False, wanted=known)


class Jobs:
    """The recurring work of one process. Begun by ``start``, ended by ``close``; ``orders`` has what people do."""

    def __init__(
        self,
        *,
        database: Database,
        settings: Settings,
        lease: str,
        metrics: SyncMetrics,
        find: Callable[[RemoteId], Awaitable[RemoteMarket]],
        client: Callable[[RemoteMarket], Remote],
        follow: Callable[[RemoteMarket], Awaitable[DataclassInstance]],
        send: Callable[[RemoteMarket], Awaitable[DataclassInstance]],
        update_advisories: Callable[[], Awaitable[DataclassInstance]],
        tidy: Callable[[], Awaitable[object]],
        cut_short: Callable[[RemoteId, SkillyardError], Awaitable[object]],
    ) -> None:
        """``follow``, ``send`` and ``update_advisories`` are the work; ``tidy`` forgets what is over, once an hour;
        ``cut_short`` is told of a remote whose following was ended because it took too long."""
        self._database = database
        self._settings = settings
        self._lease = lease
        self._metrics = metrics
        self._find = find
        self._client = client
        self._follow = follow
        self._send = send
        self._update_advisories = update_advisories
        self._tidy = tidy
        self._cut_short = cut_short
        self._tidied: float | None = None
        self._hold = timedelta(seconds=settings.lease_ttl)
        self._runner = Runner(
            database=database,
            work={Job.CATALOGUE: self._catalogue, Job.UPLOADS: self._uploads, Job.ADVISORIES: self._advisories},
            hold=self._hold,
            longest=settings.sync_run_timeout,
            keep=settings.sync_runs_kept,
        )
        self._schedule = Schedule(self._due)
        self.live = LiveChannels(
            connect=self._connect,
            on_news=self.news,
            metrics=metrics,
            pace=Pace(
                most=settings.sync_live_backoff,
                failures=settings.sync_live_failures,
                rest=settings.sync_live_rest,
            ),
        )
        self._looking: asyncio.Task[None] | None = None
        self._closed = False
        self._remotes: Mapping[RemoteId, Followed] = {}
        self._states: Mapping[JobKey, JobState] = {}
        self._watched: dict[JobId, tuple[datetime, float]] = {}
        """The claim of each job as last seen, and for how many seconds it was watched without being renewed."""
        self._looked: float | None = None
        self._kept_up = float("-inf")
        """When all that was looked at was last seen to its end, by ``time.monotonic``."""
        self._asked: dict[RemoteId, datetime | None] = {}
        """When each remote's channel was last asked for by hand, as this process has seen it."""
        self._waiting: dict[JobKey, asyncio.Task[None]] = {}
        self._running: dict[JobKey, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wishes: dict[JobKey, _Wish] = {}
        self._failed: dict[JobKey, int] = {}
        self._not_before: dict[JobKey, float] = {}
        self._left_alone: dict[JobKey, float] = {}
        """Until when a remote asked this process for nothing, however often its turn comes meanwhile."""

    @property
    def running(self) -> bool:
        """Whether this process keeps up with remotes by itself: it looked lately, and could."""
        looking = self._looking is not None and not self._looking.done() and self._schedule.running
        return looking and time.monotonic() - self._kept_up < _LOST_SIGHT_SECONDS

    async def start(self) -> None:
        """Begin what recurs."""
        self._schedule.start()
        self._kept_up = time.monotonic()
        self._looking = asyncio.create_task(self._look_on())

    async def close(self) -> None:
        """End everything: nothing begins any more, runs under way are cancelled and recorded. Idempotent."""
        self._closed = True
        self._schedule.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.live.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cut_off(self._lease)
        # The scheduler ends in a step of the loop of its own.
        await asyncio.sleep(0)

    # Being told

    def news(self, remote: RemoteId, seq: int | None) -> None:
        """A remote may have something new: up to a number, or of which nothing is known."""
        key = JobKey(Job.CATALOGUE, remote)
        if self._is_wanted(key):
            self._begin(key, RunTrigger.LIVE, wanted=seq)

    def carry_out(self, run: Run) -> None:
        """Do what was claimed already, for somebody who asked for it."""
        task = self._track(self._carry_out(run))
        self._running[run.key] = task

    def period(self, key: JobKey, seconds: float | None, *, failing: bool = False) -> timedelta:
        """How often a job is run as things stand. ``seconds`` is a period of its own."""
        settings = self._settings
        match key.job:
            case Job.ADVISORIES:
                return timedelta(hours=settings.advisories_update_hours)
            case _ if seconds is not None:
                return timedelta(seconds=seconds)
            case Job.UPLOADS:
                return timedelta(seconds=settings.sync_upload_period)
            case Job.CATALOGUE:
                live = key.remote is not None and self.live.is_open(key.remote) and not failing
                return timedelta(seconds=settings.sync_period if live else settings.sync_period_not_live)

    @property
    def hold(self) -> timedelta:
        return self._hold

    def unrenewed(self, job: JobId) -> datetime | None:
        """The claim of a job, where it was watched for too long without being renewed."""
        seen = self._watched.get(job)
        return None if seen is None or seen[1] <= self._hold.total_seconds() else seen[0]

    # Looking

    async def _look_on(self) -> None:
        failing: str | None = None
        while True:
            try:
                await self.look()
                failing = None
            except Exception as error:  # noqa: BLE001 - who ends at a failure would let everything after it pass
                if failing != str(error):
                    _log.error("sync_look_failed", error=repr(error))
                failing = str(error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Bring schedule and channels in line with what is configured, and begin what waits."""
        now = utcnow()
        async with self._database.reading() as session:
            remotes = await store.followed(session)
            states = await store.states(session)
            open_ = [one.id for one in remotes if one.state is RemoteState.ENABLED and Job.UPLOADS in one.jobs]
            uploads = await store.with_due_uploads(session, open_, now)
            orphaned = await store.orphaned(session)
        for gone in self._remotes.keys() - {one.id for one in remotes}:
            self._metrics.gone(self._remotes[gone].label)
        for followed in remotes:
            if followed.id not in self._remotes:
                self._metrics.known(followed.label)
        self._remotes = {one.id: one for one in remotes}
        self._states = states
        self._watch_claims()
        unrenewed = {job: seen for job in self._watched if (seen := self.unrenewed(job)) is not None}
        if orphaned or unrenewed:
            async with self._database.transaction() as session:
                freed = await store.sweep(session, unrenewed, at=now)
            _log.warning("sync_claims_freed", jobs=freed)
        self._arrange(now)
        self.live.want(one for one in remotes if one.channel_wanted)
        self._reconnect_asked()
        for remote in uploads:
            if self._is_wanted(key := JobKey(Job.UPLOADS, remote)):
                self._begin(key, RunTrigger.SCHEDULE)
        clock = time.monotonic()
        if self._tidied is None or clock - self._tidied > _TIDY_SECONDS:
            self._tidied = clock
            await self._tidy()
        self._kept_up = clock

    def _is_wanted(self, key: JobKey) -> bool:
        """Whether it may be begun by itself: neither its remote nor the job itself is told to rest."""
        followed = None if key.remote is None else self._remotes.get(key.remote)
        state = self._states.get(key)
        return followed is not None and followed.state is RemoteState.ENABLED and not (state and state.paused)

    def _arrange(self, now: datetime) -> None:
        wanted = []
        for remote in self._remotes.values():
            if remote.state is not RemoteState.ENABLED:
                continue
            for job in remote.jobs:
                key = JobKey(job, remote.id)
                state = self._states.get(key)
                if state is not None and state.paused:
                    continue
                wanted.append(key)
                period = self.period(key, None if state is None else state.seconds)
                at = now if state is None or state.next_at is None else state.next_at
                # Further away than a period: the period is shorter now, or another clock was wrong.
                jitter = period * self._settings.sync_jitter
                self._schedule.put(key, now if at > now + period else at, period=period, jitter=jitter)
        self._schedule.drop_all_but(frozenset(wanted))

    def _watch_claims(self) -> None:
        """Only time in which somebody looked counts: a process that stood still has seen nothing."""
        clock = asyncio.get_running_loop().time()
        watched = 0.0 if self._looked is None else min(clock - self._looked, 5 * _LOOK_SECONDS)
        self._looked = clock
        before, self._watched = self._watched, {}
        for state in self._states.values():
            if state.claimed_until is None:
                continue
            seen = before.get(state.id)
            same = seen is not None and seen[0] == state.claimed_until
            self._watched[state.id] = (state.claimed_until, seen[1] + watched if same and seen else 0.0)

    def _reconnect_asked(self) -> None:
        for state in self._states.values():
            remote = state.key.remote
            if state.key.job is not Job.CATALOGUE or remote is None:
                continue
            if remote in self._asked and self._asked[remote] != state.live_asked_at:
                self.live.reconnect(remote)
            self._asked[remote] = state.live_asked_at
        for remote in self._remotes:
            self._asked.setdefault(remote, None)

    # Running

    async def _due(self, key: JobKey) -> None:
        """An entry of the schedule fired. What follows is not waited for: it is ended by ``close``, in its own way."""
        self._begin(key, RunTrigger.SCHEDULE, due=True)

    def _begin(self, key: JobKey, trigger: RunTrigger, *, due: bool = False, wanted: int | None = None) -> None:
        """Let a flight wait for its turn, unless one does: all who come meanwhile are on board."""
        if self._closed or key.remote is None or key.remote not in self._remotes:
            return
        wish = _Wish(due=due, wanted=wanted)
        if key in self._waiting:
            self._wishes[key] = self._wishes[key].joined_by(wish)
            return
        if due and key in self._running:
            return
        self._wishes[key] = wish
        self._waiting[key] = self._track(self._fly(key, self._remotes[key.remote], trigger))

    async def _fly(self, key: JobKey, remote: Followed, trigger: RunTrigger) -> None:
        try:
            run = await self._turn(key, remote, trigger)
            if run is None:
                return
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - this is one
            self._running[key] = task
        finally:
            del self._waiting[key]
        await self._carry_out(run)

    async def _turn(self, key: JobKey, remote: Followed, trigger: RunTrigger) -> Run | None:
        """The claim, once it is to be had; ``None`` where there is nothing to do. Whoever came on board while an answer
        was waited for is not answered by it: then it is asked for again."""
        clock = asyncio.get_running_loop().time
        while True:
            if (running := self._running.get(key)) is not None:
                await asyncio.wait((running,))
            wish = self._wishes[key]
            if wish.due and self._left_alone.get(key, 0.0) > clock():
                return None
            if not wish.due and (pause := self._not_before.get(key, 0.0) - clock()) > 0:
                await asyncio.sleep(pause)
            if not self._is_wanted(key):
                # An operator may have said so while this waited for its turn.
                return None
            if wish.wanted is not None and await self._is_there(remote.id, wish.wanted):
                if self._wishes[key] == wish:
                    return None
                continue
            state = self._states.get(key)
            period = self.period(key, None if state is None else state.seconds)
            at = utcnow()
            async with self._database.transaction() as session:
                outcome = await store.claim(
                    session,
                    key,
                    remote.workspace,
                    by=self._lease,
                    trigger=trigger,
                    at=at,
                    hold=self._hold,
                    period=period if wish.due else None,
                    next_at=at + period,
                    unrenewed=None if state is None else self.unrenewed(state.id),
                )
            match outcome:
                case Run():
                    return outcome
                case Busy() if not self._wishes[key].due:
                    await self._ended_elsewhere(key)
                case NotDue() if self._wishes[key] != wish:
                    pass
                case NotDue() | Busy():
                    return None

    async def _is_there(self, remote: RemoteId, seq: int) -> bool:
        """Whether nothing is left to be read up to a number: the mirror is there, or its remote is gone."""
        async with self._database.reading() as session:
            mirrored = await store.mirrored(session, remote)
        return mirrored is None or mirrored >= seq

    async def _ended_elsewhere(self, key: JobKey) -> None:
        """Wait until another process's run gives up its claim; who looks is in nobody's way. A claim that is nobody's
        any more is given up by ``look``."""
        while True:
            await asyncio.sleep(_BUSY_SECONDS)
            async with self._database.reading() as session:
                if not await store.claimed(session, key):
                    return

    async def _carry_out(self, run: Run) -> None:
        key = run.key
        try:
            error = await self._runner.run(run, lambda error: self._next_at(key, error))
        finally:
            if self._running.get(key) is asyncio.current_task():
                del self._running[key]
        failed = self._failed[key] = 0 if error is None else self._failed.get(key, 0) + 1
        pause = 0.0 if error is None else random.uniform(0, min(_LONGEST_PAUSE, 2.0**failed))  # noqa: S311 - spreads load
        now = asyncio.get_running_loop().time()
        if isinstance(error, RemoteUnavailableError) and error.retry_after is not None:
            pause = max(pause, min(error.retry_after, _LONGEST_RETRY_AFTER))
            self._left_alone[key] = now + pause
        else:
            self._left_alone.pop(key, None)
        self._not_before[key] = now + pause
        if isinstance(error, RunTooLongError) and key.job is Job.CATALOGUE and key.remote is not None:
            await self._cut_short(key.remote, error)

    def _next_at(self, key: JobKey, error: SkillyardError | None) -> datetime | None:
        if key.remote is None:
            return None
        state = self._states.get(key)
        period = self.period(key, None if state is None else state.seconds, failing=error is not None)
        if isinstance(error, RemoteUnavailableError) and error.retry_after is not None:
            period = max(period, timedelta(seconds=min(error.retry_after, _LONGEST_RETRY_AFTER)))
        return utcnow() + period

    def _track(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("sync_job_broke", error=repr(error))

    # The work

    async def _catalogue(self, remote: RemoteId | None) -> DataclassInstance:
        return await self._follow(await self._market(remote))

    async def _uploads(self, remote: RemoteId | None) -> DataclassInstance:
        return await self._send(await self._market(remote))

    async def _advisories(self, remote: RemoteId | None) -> DataclassInstance:
        assert remote is None  # noqa: S101 - the instance's own job has none
        return await self._update_advisories()

    async def _market(self, remote: RemoteId | None) -> RemoteMarket:
        assert remote is not None  # noqa: S101 - the other jobs are not of remotes
        return await self._find(remote)

    async def _connect(self, remote: RemoteId) -> Remote:
        return self._client(await self._find(remote))
