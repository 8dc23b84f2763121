"""Workspaces as operators manage them. What a suspension means for what runs is done before it answers."""

from __future__ import annotations

from skillyard.database import Database
from skillyard.governance import workspaces
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Workspace
from skillyard.governance.workspaces import Founded
from skillyard.ids import WorkspaceId
from skillyard.runtime.enforce import Enforcer
from skillyard.times import utcnow


class Workspaces:
    """Every change raises the epoch, so that other processes follow as they do after a ban."""

    def __init__(self, *, database: Database, enforcer: Enforcer) -> None:
        self._database = database
        self._enforcer = enforcer

    async def add(self, name: str, *, admin: str, by: Administrator) -> Founded:
        """A new workspace with its first admin, and that person's token."""
        async with self._database.transaction() as session:
            return await workspaces.add(session, name, admin=admin, by=by, at=utcnow())

    async def get(self, workspace: WorkspaceId) -> Workspace:
        """Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            return await workspaces.get(session, workspace)

    async def page(self, *, after: int = 0, limit: int) -> tuple[Workspace, ...]:
        async with self._database.reading() as session:
            return await workspaces.page(session, after=after, limit=limit)

    async def suspend(self, workspace: WorkspaceId, *, reason: str, by: Administrator) -> Workspace:
        """No call is admitted from the commit on; returns once this process has stopped the workspace's sandboxes."""
        async with self._database.transaction() as session:
            changed = await workspaces.suspend(session, workspace, reason=reason, by=by, at=utcnow())
        await self._enforcer.enforce(workspace)
        return changed

    async def resume(self, workspace: WorkspaceId, *, reason: str, by: Administrator) -> Workspace:
        async with self._database.transaction() as session:
            return await workspaces.resume(session, workspace, reason=reason, by=by, at=utcnow())
