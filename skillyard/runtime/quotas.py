"""Quotas of workspaces: changed by operators, shown with what is used of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from skillyard.database import Database, Session
from skillyard.governance import epoch, quota_store, workspaces
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit import Action
from skillyard.governance.identity import Workspace
from skillyard.governance.quotas import CallSpan, Quota, Quotas
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.runtime import usage
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.ledger import PoolLimits, caps_of
from skillyard.runtime.pool import Pool
from skillyard.settings import Settings
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One quota: what is in use now, and the limit that applies, if one does."""

    quota: Quota
    used: int
    limit: int | None
    own: bool
    """Whether the limit is the workspace's own; otherwise the server's settings give it."""
    resets_at: datetime | None = None
    """When counting begins anew, for what is counted by time."""


@dataclass(frozen=True, slots=True)
class WorkspaceUse:
    workspace: Workspace
    at: datetime
    quotas: tuple[QuotaUse, ...]
    """Every quota there is, in one order."""


class QuotaBook:
    """Reads and changes. What a change means for sandboxes that run is done before it answers, as far as this process
    goes; others learn of it by the epoch."""

    def __init__(self, *, database: Database, pool: Pool, defaults: Settings, enforcer: Enforcer) -> None:
        self._database = database
        self._pool = pool
        self._defaults = PoolLimits.from_settings(defaults).workspace
        self._enforcer = enforcer

    async def change(
        self, workspace: WorkspaceId, wanted: Mapping[Quota, int | None], *, by: Administrator
    ) -> WorkspaceUse:
        """Set the named quotas, or take them away with ``None``; the others stay as they are.

        Raises ``NotFoundError``, ``OperatorRoleError``, ``InputError`` for a limit that cannot be. A limit below what
        is in use takes nothing away but idle sandboxes: it lets nothing more in.
        """
        async with self._database.transaction() as session:
            await workspaces.require_instance_operator(session, by)
            await workspaces.get(session, workspace)
            before = await quota_store.load(session, workspace)
            after = before.changed(wanted)
            if after != before:
                await self._replace(session, workspace, before, after, by)
        await self._enforcer.enforce(workspace)
        return await self.use(workspace)

    async def use(self, workspace: WorkspaceId) -> WorkspaceUse:
        """Raises ``NotFoundError``."""
        now = utcnow()
        async with self._database.reading() as session:
            found = await workspaces.get(session, workspace)
            quotas = await quota_store.load(session, workspace)
            used: dict[Quota, int] = {
                Quota.CONCURRENT_CALLS: await usage.open_calls(session, workspace),
                Quota.STORAGE: await usage.storage_in_use(session, workspace),
                Quota.AGENTS: await quota_store.agents_in_use(session, workspace),
                Quota.SKILLS: await usage.skills_in_use(session, workspace),
            }
            for span in CallSpan:
                used[span.quota] = await usage.calls_counted(session, workspace, span, now)
        pooled = self._pool.status(workspace).now
        used[Quota.SANDBOXES] = pooled.idle + pooled.busy + pooled.starting + pooled.stopping
        used[Quota.SANDBOX_MEMORY] = pooled.memory_bytes
        return WorkspaceUse(found, now, tuple(self._use(quota, used[quota], quotas, now) for quota in Quota))

    def _use(self, quota: Quota, used: int, quotas: Quotas, now: datetime) -> QuotaUse:
        caps = caps_of(self._defaults, quotas)
        defaults = {
            Quota.CONCURRENT_CALLS: caps.calls,
            Quota.SANDBOXES: caps.sandboxes,
            Quota.SANDBOX_MEMORY: caps.memory_bytes,
        }
        own = quotas.of(quota)
        resets = next((span.start(span.number(now) + 1) for span in CallSpan if span.quota is quota), None)
        return QuotaUse(quota, used, defaults.get(quota) if own is None else own, own is not None, resets)

    async def _replace(
        self, session: Session, workspace: WorkspaceId, before: Quotas, after: Quotas, by: Administrator
    ) -> None:
        now = utcnow()
        counted = {span: await usage.calls_counted(session, workspace, span, now) for span in CallSpan}
        await quota_store.replace(session, workspace, after, counted=counted, at=now)
        changed: dict[str, JsonValue] = {
            quota.value: {"from": before.of(quota), "to": after.of(quota)}
            for quota in Quota
            if before.of(quota) != after.of(quota)
        }
        await workspaces.record_both(
            session, workspace, Action.WORKSPACE_QUOTAS_CHANGED, {"changed": changed}, by=by, at=now
        )
        await epoch.bump(session)
