"""New advisories and installed skills: match every lock again, and quarantine what is now known bad.

What is left to do is in the database: every version whose mark names older data than what is in force (``snapshots``).
So it does not matter who dies in the middle of it, and a version that is installed meanwhile has its turn as well. What
was not matched yet keeps the date that its evidence has, and calls of it are refused once that is too old.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance import epoch
from skillyard.governance.advisories.index import IndexFile, index_path
from skillyard.governance.advisories.source import OnProgress, Progress, unobserved
from skillyard.governance.judge import judged
from skillyard.governance.rematch import DataState
from skillyard.governance.report import Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers import store as waiver_store
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import rescan_work, snapshots, store, version_marks
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.events import EventBus, SkillQuarantined
from skillyard.runtime.install import Installer
from skillyard.runtime.instance import home_id
from skillyard.runtime.quarantine import RUNNABLE, quarantine
from skillyard.runtime.rescan_matching import Matched, Matcher, Stored
from skillyard.runtime.rescan_work import Unmatched
from skillyard.runtime.snapshots import Snapshot
from skillyard.runtime.values import SkillRef
from skillyard.settings import Settings
from skillyard.times import utcnow

LOOK_SECONDS: Final = 15.0
"""How often a server looks whether there is something to match."""
_READ_TOGETHER: Final = 500
"""Versions that are read and matched at once: few enough to hold, and to be renewing the claim meanwhile."""
_WRITTEN_TOGETHER: Final = 50
"""New reports in one transaction, so that others get their turns."""
_CLAIM: Final = timedelta(seconds=60)
_LONGEST_WAIT: Final = 600.0
_POLL: Final = 0.2

_log = structlog.get_logger("skillyard.rescan")


class RescanRunningError(ConflictError):
    """Another process has been matching these advisories for longer than one waits for it."""

    code = "rescan_running"


@dataclass(slots=True)
class _Run:
    """One rescan by one process."""

    matcher: Matcher
    snapshot: Snapshot
    on_progress: OnProgress
    scanned: int = 0
    moved: bool = False
    """Whether something changed that views have not been told of."""
    total: int = 0
    quarantined: list[SkillRef] = field(default_factory=list)
    failures: list[SkillyardError] = field(default_factory=list)


class Rescanner:
    """Brings the reports of all workspaces in line with the advisory index. One for each process."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        installer: Installer,
        enforcer: Enforcer,
        policy: ScanPolicy,
        events: EventBus,
        lease: str,
        hold: timedelta = _CLAIM,
    ) -> None:
        """``hold`` is how long a claim stands that nobody renews, because whoever made it is gone."""
        self._home = home_id(settings.home)
        self._index = IndexFile(index_path(settings.home))
        self._database = database
        self._installer = installer
        self._enforcer = enforcer
        self._policy = policy
        self._events = events
        self._lease = lease
        self._hold = hold
        self._turn = asyncio.Lock()
        self._told: set[tuple[SkillVersionId, str]] = set()
        self._asked = False
        """Whether this process has looked for reports that its policy asks more of."""

    async def rescan(self, *, on_progress: OnProgress = unobserved) -> tuple[int, tuple[SkillRef, ...]]:
        """Put this home's data in force, and match everything against it that was not yet; how many versions, and which
        are quarantined now.

        A version that cannot be matched keeps its report and does not keep the others from theirs; its error is raised
        in the end. Raises ``RescanRunningError`` where another process does not come to an end.
        """
        async with self._turn:
            matcher = await self._matcher()
            async with self._database.transaction() as session:
                snapshot = await snapshots.register(session, matcher.data, home=self._home, at=utcnow())
                mine = await self._claim(session, snapshot)
            run = _Run(matcher, snapshot, on_progress)
            if mine or await self._wait_for_turn(snapshot):
                await self._through(run)
        if run.failures:
            raise run.failures[0]
        return run.scanned, tuple(run.quarantined)

    async def look(self) -> None:
        """Begin, or go on with, what nobody does: after a kill, or where a version was installed meanwhile.

        Data of this home that no server knew of yet is put in force where it is newer than what is; or where that is
        this home's too, because then somebody was killed between the update and its rescan.
        """
        if not self._turn.locked():
            async with self._turn:
                await self._look()

    async def _look(self) -> None:
        matcher = await self._matcher()
        if not self._asked:
            async with self._database.transaction() as session:
                await rescan_work.ask_anew(session, self._policy)
            self._asked = True
        async with self._database.reading() as session:
            now = await snapshots.current(session)
            known = now is not None and await snapshots.is_registered(session, matcher.data.fingerprint)
            theirs = now is not None and now.data.fingerprint != matcher.data.fingerprint
            if now is not None and theirs and (known or not self._overtakes(matcher.data, now)):
                return
            if now is not None and not theirs and not await rescan_work.count_unmatched(session, now, most=1):
                return
        async with self._database.transaction() as session:
            snapshot = await snapshots.register(session, matcher.data, home=self._home, at=utcnow())
            if not await self._claim(session, snapshot):
                return
        run = _Run(matcher, snapshot, unobserved)
        await self._through(run)
        if run.failures:
            raise run.failures[0]

    def _overtakes(self, data: DataState, now: Snapshot) -> bool:
        dates = now.data.dates.items()
        if not all(one in data.dates and data.dates[one] >= date for one, date in dates):
            return False
        return now.home == self._home or any(data.dates[one] > date for one, date in dates)

    async def _enforce(self, run: _Run, bound: Iterable[WorkspaceId]) -> None:
        """Stop what may not run any more. What fails for one workspace does not keep the others from it.

        Where nothing of a workspace runs here, there is nothing to stop, and its versions need not be read for it.
        """
        for workspace in bound:
            if not self._enforcer.runs(workspace):
                continue
            try:
                await self._enforcer.enforce(workspace)
            except SkillyardError as error:
                _log.error("not_enforced", workspace=workspace, error=str(error))
                run.failures.append(error)

    async def _matcher(self) -> Matcher:
        return Matcher(await asyncio.to_thread(self._index.current), self._policy)

    async def _claim(self, session: Session, snapshot: Snapshot) -> bool:
        return await snapshots.claim(session, snapshot.id, by=self._lease, at=utcnow(), hold=self._hold)

    async def _wait_for_turn(self, snapshot: Snapshot) -> bool:
        """Until another process has done everything, then false; or until it let go or died in the middle of it."""
        give_up = time.monotonic() + _LONGEST_WAIT
        while time.monotonic() < give_up:
            await asyncio.sleep(_POLL)
            async with self._database.reading() as session:
                now = await snapshots.current(session)
                if (
                    now is None
                    or now.id != snapshot.id
                    or not await rescan_work.count_unmatched(session, snapshot, most=1)
                ):
                    return False
            async with self._database.transaction() as session:
                if await self._claim(session, snapshot):
                    return True
        raise RescanRunningError("another process is matching the advisories and does not come to an end")

    async def _through(self, run: _Run) -> None:
        """All that is left to match, in the order of ids. The claim is let go in the end, whatever happens."""
        after = 0
        try:
            async with self._database.reading() as session:
                run.total = await rescan_work.count_unmatched(session, run.snapshot)
            while batch := await self._batch(run.snapshot, after):
                matched = await asyncio.to_thread(_match, run.matcher, batch)
                if not await self._keep(run, matched, {one.stored.id: one for one in batch}):
                    break
                after = batch[-1].stored.id
                run.scanned += len(batch)
                run.on_progress(Progress("matched", run.scanned, max(run.total, run.scanned)))
        finally:
            async with self._database.transaction() as session:
                if run.moved:
                    await epoch.bump(session)
                await snapshots.release(session, run.snapshot.id, by=self._lease)
        if run.moved:
            async with self._database.reading() as session:
                bound = await rescan_work.workspaces(session)
            await self._enforce(run, bound)

    async def _batch(self, snapshot: Snapshot, after: int) -> tuple[Unmatched, ...]:
        async with self._database.reading() as session:
            return await rescan_work.unmatched(session, snapshot, after=after, limit=_READ_TOGETHER)

    async def _keep(self, run: _Run, matched: Sequence[Matched], read: Mapping[SkillVersionId, Unmatched]) -> bool:
        """Write what was found; false where somebody else took the work over."""
        for one in matched:
            if one.error is not None:
                self._failed(run, read[one.stored.id].ref, one.stored.id, one.error)
        unchanged = [one.stored for one in matched if one.report is None and one.error is None]
        async with self._database.transaction() as session:
            if not await self._claim(session, run.snapshot):
                return False
            await rescan_work.confirm(session, unchanged, run.snapshot)
        index = f"+index.{run.snapshot.data.fingerprint}"
        run.moved = run.moved or any(index not in one.report_json for one in unchanged)
        changed = [one for one in matched if one.report is not None]
        for begin in range(0, len(changed), _WRITTEN_TOGETHER):
            if not await self._rewrite(run, changed[begin : begin + _WRITTEN_TOGETHER], read):
                return False
        for one in matched:
            if one.ask_again:
                await self._ask_again(run, one.stored, read[one.stored.id].ref)
        return True

    async def _rewrite(self, run: _Run, some: Sequence[Matched], read: Mapping[SkillVersionId, Unmatched]) -> bool:
        """New reports in one transaction, raising the epoch once, so that calls do not decide anew for each of them."""
        bad: list[tuple[WorkspaceId, SkillRef, str]] = []
        async with self._database.transaction() as session:
            if not await self._claim(session, run.snapshot):
                return False
            for one in some:
                stored, report, ref = one.stored, one.report, read[one.stored.id].ref
                assert report is not None  # noqa: S101 - only those are given
                state = await rescan_work.state_if_same(session, stored)
                if state is None:
                    # Removed, or installed again, or scanned anew, while it was matched: this report is not its.
                    continue
                await store.set_report(session, stored.workspace, stored.id, report)
                await rescan_work.confirm_ids(session, [stored.id], run.snapshot)
                waivers = await waiver_store.not_revoked(session, stored.workspace)
                counts = judged(report, self._policy, utcnow(), waivers=waivers)
                if counts.verdict is Verdict.BLOCK and state in RUNNABLE:
                    await quarantine(session, stored.workspace, stored.id, ref, counts, at=utcnow())
                    bad.append((stored.workspace, ref, counts.reasons[0]))
            await epoch.bump(session)
        await self._enforce(run, {workspace for workspace, _, _ in bad})
        for workspace, ref, reason in bad:
            skill = f"{ref.publisher}/{ref.name}"
            self._events.publish(SkillQuarantined(workspace, skill, ref.version or "", reason))
        run.quarantined += [ref for _, ref, _ in bad]
        run.moved = True
        return True

    async def _ask_again(self, run: _Run, stored: Stored, ref: SkillRef) -> None:
        """The whole scan, for a version of which the data says less than before and another engine might not."""
        async with self._database.reading() as session:
            rows = await version_marks.rows_of(session, stored.workspace, [stored.id])
        for skill, row in rows:
            version = store.installed(skill, row)
            try:
                report = await self._installer.scan(version.skill, version.locks)
            except SkillyardError as error:
                self._failed(run, ref, stored.id, error)
                continue
            async with self._database.transaction() as session:
                state = await store.state_of(session, stored.id, stored.lock_digest)
                if state is not None:
                    await store.set_report(session, stored.workspace, stored.id, report)
                    await rescan_work.confirm_ids(session, [stored.id], run.snapshot)
                    await epoch.bump(session)

    def _failed(self, run: _Run, ref: SkillRef, version: SkillVersionId, error: SkillyardError) -> None:
        run.failures.append(error)
        if (version, str(error)) not in self._told:
            self._told.add((version, str(error)))
            _log.error("not_rescanned", skill=str(ref), error=str(error))


def _match(matcher: Matcher, batch: Sequence[Unmatched]) -> list[Matched]:
    now = utcnow()
    return [matcher.match(one.stored, one.lock_json, now=now) for one in batch]
