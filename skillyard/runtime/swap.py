"""Hot swap: start the new version beside the old, check it, move the pointer, drain the old.

A broken version never takes the pointer, and rolling back is the same move. Calls that were admitted to the old
version end there; calls that were decided but not yet admitted find a new rules epoch, and decide again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import approval_lapses, audit, epoch
from skillyard.governance.administrators import Authority, on_behalf, recheck
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Allow, SkillState
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.decide import Decider
from skillyard.runtime.errors import DecisionRefusedError, NothingToRollBackError, VersionStoppedError
from skillyard.runtime.events import EventBus, PointerMoved
from skillyard.runtime.pins import release_pins
from skillyard.runtime.pool import Pool
from skillyard.runtime.slots import Claim
from skillyard.runtime.start import Starter
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef, Swap
from skillyard.runtime.views import View, Views
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.errors import HealthError, StartError
from skillyard.sandbox.sandbox import RunningSandbox
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.swap")

STARTING = "starting the new version beside the old"
CHECKING = "checking its entries"
MOVING = "moving the pointer"
"""The steps of a swap, as progress tells them."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A pointer's move from ``old`` to a version, both as ``view`` has them."""

    version: InstalledVersion
    view: View
    old: SkillVersionId | None
    by: Authority
    action: Action

    @property
    def old_version(self) -> str | None:
        found = self.view.versions.get(self.old) if self.old is not None else None
        return found.version if found is not None else None


class Swapper:
    """Moves pointers. Draining goes on in tasks that ``close`` waits for."""

    def __init__(
        self,
        *,
        database: Database,
        views: Views,
        decider: Decider,
        pool: Pool,
        starter: Starter,
        events: EventBus,
        drain_seconds: float,
    ) -> None:
        self._database = database
        self._views = views
        self._decider = decider
        self._pool = pool
        self._starter = starter
        self._events = events
        self._drain_seconds = drain_seconds
        self._drains: dict[SkillVersionId, asyncio.Task[None]] = {}
        self._moves: set[asyncio.Task[None]] = set()

    async def activate(
        self,
        ref: SkillRef,
        *,
        workspace: WorkspaceId,
        by: Authority,
        action: Action = Action.SKILL_UPGRADED,
        on_progress: ProgressSink = silent,
    ) -> Swap:
        """Make the pointer name an installed version, if it starts and passes its check.

        A version that only lacks an approval gives a ``Swap`` that did not move and says so. Raises
        ``NotFoundError``, ``DecisionRefusedError``, ``VersionStoppedError``, ``HealthError``, ``StartError`` or
        ``ConflictError``; the pointer then stays.
        """
        view = await self._views.current(workspace)
        version = view.find(ref)
        old = view.pointers.get((ref.publisher, ref.name))
        if old == version.id:
            return Swap(version.ref, old=version.version, new=version.version, moved=False, reason="it is active")
        old_version = view.versions[old].version if old is not None and old in view.versions else None
        try:
            allow = self._decider.allowed_at_all(view, version)
        except DecisionRefusedError as refusal:
            await self._record_refusal(version, by, str(refusal))
            if refusal.held:
                return Swap(version.ref, old=old_version, new=version.version, moved=False, reason=str(refusal))
            raise
        move = _Move(version, view, old=old, by=by, action=action)
        with self._pool.claim(version.place, allow.granted) as claim:
            await self._check_and_move(move, allow, claim, on_progress)
        return Swap(version.ref, old=old_version, new=version.version, moved=True)

    async def rollback(self, ref: SkillRef, *, workspace: WorkspaceId, by: Authority) -> Swap:
        """The same move, to the named version, or to the one that was active before the present one.

        Twice in a row is there and back again. Raises ``NothingToRollBackError`` and what ``activate`` raises.
        """
        target = ref if ref.version is not None else await self._previous(ref, workspace)
        return await self.activate(target, workspace=workspace, by=by, action=Action.SKILL_ROLLED_BACK)

    async def uninstall(self, ref: SkillRef, *, workspace: WorkspaceId, by: Authority, force: bool = False) -> None:
        """Remove one version, or all of a skill where none is named; its calls end first, its records stay.

        Raises ``VersionPinnedError`` where agents are pinned to what is to go, unless ``force`` ends their pins.
        """
        actor = by.actor
        async with self._database.transaction() as session:
            await recheck(session, by)
            skill = await store.find_skill(session, workspace, ref)
            rows = await self._removable(session, workspace, ref, skill)
            if skill is None or not rows:
                raise NotFoundError(f"{ref} is not installed")
            active = skill.active_version_id
            named = ref.version is not None and active == rows[0].id
            if named and len(await store.versions_of(session, skill)) > 1:
                raise ConflictError(f"{ref} is active; upgrade or roll back first, or remove the whole skill")
            if active in [row.id for row in rows]:
                await store.move_pointer(session, skill, None, actor)
            await release_pins(session, skill, rows, actor, force=force)
            for row in rows:
                await store.set_state(session, SkillVersionId(row.id), SkillState.REMOVED)
                subject = f"{skill.publisher}/{skill.name}@{row.version}"
                record = AuditRecord(workspace, utcnow(), actor, Action.SKILL_REMOVED, subject, on_behalf(by))
                await audit.append(session, record)
            removed = [SkillVersionId(row.id) for row in rows]
            why = "Withdrawn: the version was removed."
            await approval_lapses.withdraw(session, workspace, removed, by=actor, reason=why, at=utcnow())
            await epoch.bump(session)
        for row in rows:
            self._drain(SkillVersionId(row.id))

    async def close(self) -> None:
        while pending := {*self._drains.values(), *self._moves}:
            await asyncio.gather(*pending, return_exceptions=True)

    async def _previous(self, ref: SkillRef, workspace: WorkspaceId) -> SkillRef:
        async with self._database.reading() as session:
            skill = await store.find_skill(session, workspace, ref)
            if skill is None:
                raise NotFoundError(f"{ref} is not installed")
            row = await store.previous_version(session, skill)
            if row is None:
                raise NothingToRollBackError(f"{ref.publisher}/{ref.name} has no earlier version that is installed")
            return SkillRef(ref.publisher, ref.name, row.version)

    async def _removable(
        self, session: Session, workspace: WorkspaceId, ref: SkillRef, skill: SkillRow | None
    ) -> tuple[SkillVersionRow, ...]:
        if ref.version is not None:
            return (await store.need_version(session, workspace, ref),)
        return () if skill is None else await store.versions_of(session, skill)

    async def _check_and_move(self, move: _Move, allow: Allow, claim: Claim, on_progress: ProgressSink) -> None:
        """Start, check, move. The sandbox that passed is warm for the first call, one that did not is stopped."""
        if not move.version.skill.entries:
            on_progress(Progress(MOVING, 2, 3))
            await self._moved(move)
            return

        async def start() -> RunningSandbox:
            return await self._starter.start(move.version, allow, on_progress)

        on_progress(Progress(STARTING, 0, 3))
        try:
            async with self._pool.lease(claim, start) as sandbox:
                try:
                    on_progress(Progress(CHECKING, 1, 3))
                    await sandbox.check(move.version.skill.entries)
                    on_progress(Progress(MOVING, 2, 3))
                    await self._moved(move)
                except BaseException:
                    await asyncio.shield(sandbox.stop())
                    raise
        except (HealthError, StartError, DecisionRefusedError, VersionStoppedError) as error:
            # Stopped in the middle of its check, by a ban for one, it looks like a version that fails it.
            refusal = error if claim.stopped is None else claim.stopped
            await self._record_refusal(move.version, move.by, str(refusal))
            raise refusal from (None if refusal is error else error)

    async def _moved(self, move: _Move) -> None:
        """The move and what follows from it, also where the caller leaves in the middle."""
        task = asyncio.create_task(self._move(move))
        self._moves.add(task)
        task.add_done_callback(self._moves.discard)
        await asyncio.shield(task)

    async def _move(self, move: _Move) -> None:
        version = move.version
        async with self._database.transaction() as session:
            await recheck(session, move.by)
            # Nobody else commits while this transaction is open, so what the view says holds until it is committed.
            view = await self._views.current(version.workspace)
            now = view.find(version.ref)
            self._decider.allowed_at_all(view, now)
            skill = await store.find_skill(session, version.workspace, version.ref)
            if skill is None or skill.active_version_id != move.old or now.place != version.place:
                raise ConflictError(f"{version.ref} or its pointer was changed by somebody else meanwhile; look again")
            await store.move_pointer(session, skill, version.id, move.by.actor)
            await epoch.bump(session)
            facts = {"from_version_id": move.old, "to_version_id": version.id, **on_behalf(move.by)}
            record = AuditRecord(version.workspace, utcnow(), move.by.actor, move.action, str(version.ref), facts)
            await audit.append(session, record)
        if (drain := self._drains.get(version.id)) is not None:
            drain.cancel()
        if move.old is not None:
            self._drain(move.old)
        name = f"{version.publisher}/{version.name}"
        self._events.publish(PointerMoved(version.workspace, name, old=move.old_version, new=version.version))

    async def _record_refusal(self, version: InstalledVersion, by: Authority, reason: str) -> None:
        async with self._database.transaction() as session:
            record = AuditRecord(
                version.workspace,
                utcnow(),
                by.actor,
                Action.SKILL_UPGRADE_REFUSED,
                str(version.ref),
                {"reason": reason[:2000], **on_behalf(by)},
            )
            await audit.append(session, record)

    def _drain(self, version: SkillVersionId) -> None:
        if (earlier := self._drains.get(version)) is not None:
            # Its calls are among those that the new drain waits for.
            earlier.cancel()
        task = asyncio.create_task(self._retire(version))
        self._drains[version] = task
        task.add_done_callback(lambda done: self._drained(version, done))

    def _drained(self, version: SkillVersionId, done: asyncio.Task[None]) -> None:
        if self._drains.get(version) is done:
            del self._drains[version]
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("drain_failed", version=version, error=str(error))

    async def _retire(self, version: SkillVersionId) -> None:
        reason = f"the version was replaced or removed, and the call did not end within {self._drain_seconds:g} s"
        if not await self._pool.retire(version, timeout=self._drain_seconds, reason=reason):
            _log.warning("drain_timed_out", version=version, seconds=self._drain_seconds)
