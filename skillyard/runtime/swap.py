"""Hot swap: start the new version beside the old, check it, move the pointer, drain the old.

A broken version never takes the pointer, and rolling back is the same move. Calls that were admitted to the old
version end there; calls that were decided but not yet admitted find a new rules epoch, and decide again.
"""

from __future__ import annotations

import asyncio

import structlog

from skillyard.database import Database, Session, utcnow
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import audit, epoch
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import Actor
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.decide import Decider
from skillyard.runtime.errors import DecisionRefusedError, NothingToRollBackError
from skillyard.runtime.events import EventBus, PointerMoved
from skillyard.runtime.pool import Pool
from skillyard.runtime.start import Starter
from skillyard.runtime.tables import SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef, Swap
from skillyard.runtime.views import Views
from skillyard.sandbox.errors import HealthError, StartError
from skillyard.sandbox.sandbox import RunningSandbox

_log = structlog.get_logger("skillyard.swap")


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
        self._drains: set[asyncio.Task[None]] = set()

    async def activate(
        self, ref: SkillRef, *, workspace: WorkspaceId, actor: Actor, action: Action = Action.SKILL_UPGRADED
    ) -> Swap:
        """Make the pointer name an installed version, if it starts and passes its check.

        A version that only lacks an approval gives a ``Swap`` that did not move and says so. Raises
        ``NotFoundError``, ``DecisionRefusedError``, ``HealthError`` or ``StartError``; the pointer then stays.
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
            await self._record_refusal(version, actor, str(refusal))
            if refusal.held:
                return Swap(version.ref, old=old_version, new=version.version, moved=False, reason=str(refusal))
            raise

        async def start() -> RunningSandbox:
            return await self._starter.start(version, allow)

        sandbox = None
        try:
            if version.skill.entries:
                sandbox = await start()
                await sandbox.check(version.skill.entries)
            await self._move(version, expected=old, actor=actor, action=action)
        except BaseException as error:
            if sandbox is not None:
                await asyncio.shield(sandbox.stop())
            if isinstance(error, HealthError | StartError):
                await self._record_refusal(version, actor, str(error))
            raise
        if sandbox is not None:
            self._pool.add(version.id, sandbox, start)
        await self._views.current(workspace)
        self._events.publish(
            PointerMoved(workspace, f"{ref.publisher}/{ref.name}", old=old_version, new=version.version)
        )
        if old is not None:
            self._drain(old)
        return Swap(version.ref, old=old_version, new=version.version, moved=True)

    async def rollback(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Actor) -> Swap:
        """The same move, to the version that was active before; raises ``NothingToRollBackError``."""
        async with self._database.reading() as session:
            skill = await store.find_skill(session, workspace, ref)
            if skill is None:
                raise NotFoundError(f"{ref} is not installed")
            row = await store.previous_version(session, skill)
            if row is None:
                raise NothingToRollBackError(f"{ref.publisher}/{ref.name} has no earlier version that is installed")
            target = SkillRef(ref.publisher, ref.name, row.version)
        return await self.activate(target, workspace=workspace, actor=actor, action=Action.SKILL_ROLLED_BACK)

    async def uninstall(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Actor) -> None:
        """Remove one version, or all of a skill where none is named; its calls end first, its records stay."""
        async with self._database.transaction() as session:
            skill = await store.find_skill(session, workspace, ref)
            rows = await self._removable(session, workspace, ref)
            if skill is None or not rows:
                raise NotFoundError(f"{ref} is not installed")
            active = skill.active_version_id
            if ref.version is not None and active == rows[0].id:
                others = [row for _, row in await store.live_versions(session, workspace) if row.skill_id == skill.id]
                if len(others) > 1:
                    raise ConflictError(f"{ref} is active; upgrade or roll back first, or remove the whole skill")
            if active in [row.id for row in rows]:
                await store.move_pointer(session, skill, None, actor)
            for row in rows:
                await store.set_state(session, SkillVersionId(row.id), SkillState.REMOVED)
                subject = f"{skill.publisher}/{skill.name}@{row.version}"
                record = AuditRecord(workspace, utcnow(), actor, Action.SKILL_REMOVED, subject, {})
                await audit.append(session, record)
            await epoch.bump(session)
        for row in rows:
            self._drain(SkillVersionId(row.id))

    async def close(self) -> None:
        while self._drains:
            await asyncio.gather(*self._drains, return_exceptions=True)

    async def _removable(self, session: Session, workspace: WorkspaceId, ref: SkillRef) -> tuple[SkillVersionRow, ...]:
        if ref.version is not None:
            return (await store.need_version(session, workspace, ref),)
        live = await store.live_versions(session, workspace)
        return tuple(row for skill, row in live if (skill.publisher, skill.name) == (ref.publisher, ref.name))

    async def _move(
        self, version: InstalledVersion, *, expected: SkillVersionId | None, actor: Actor, action: Action
    ) -> None:
        async with self._database.transaction() as session:
            skill = await store.find_skill(session, version.workspace, version.ref)
            row = await store.need_version(session, version.workspace, version.ref)
            if skill is None or skill.active_version_id != expected:
                raise ConflictError(f"the pointer of {version.ref} was moved by somebody else meanwhile; look again")
            if row.state not in (SkillState.ACTIVE, SkillState.HELD):
                raise ConflictError(f"{version.ref} became {row.state.value} meanwhile")
            await store.move_pointer(session, skill, version.id, actor)
            await epoch.bump(session)
            facts = {"from_version_id": expected, "to_version_id": version.id}
            await audit.append(
                session, AuditRecord(version.workspace, utcnow(), actor, action, str(version.ref), facts)
            )

    async def _record_refusal(self, version: InstalledVersion, actor: Actor, reason: str) -> None:
        async with self._database.transaction() as session:
            record = AuditRecord(
                version.workspace,
                utcnow(),
                actor,
                Action.SKILL_UPGRADE_REFUSED,
                str(version.ref),
                {"reason": reason[:2000]},
            )
            await audit.append(session, record)

    def _drain(self, version: SkillVersionId) -> None:
        task = asyncio.create_task(self._retire(version))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    async def _retire(self, version: SkillVersionId) -> None:
        if not await self._pool.retire(version, timeout=self._drain_seconds):
            _log.warning("drain_timed_out", version=version, seconds=self._drain_seconds)
