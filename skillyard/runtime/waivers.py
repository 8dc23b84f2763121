"""Waivers, joined to skills: what one would cover here, and what ending one stops."""

from __future__ import annotations

from collections.abc import Iterable

from skillyard.database import Database
from skillyard.governance.administrators import Administrator
from skillyard.governance.judge import as_scanned
from skillyard.governance.report import Finding
from skillyard.governance.waivers import store
from skillyard.governance.waivers.waiver import Waiver, WaiverDraft, WaiverError, is_about, why_not_waivable
from skillyard.ids import WaiverId, WorkspaceId
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import Views
from skillyard.times import utcnow


class Waivers:
    """Each change is one transaction that raises the rules epoch: no call is admitted on what was decided before it."""

    def __init__(self, *, database: Database, views: Views, enforcer: Enforcer) -> None:
        self._database = database
        self._views = views
        self._enforcer = enforcer

    async def add(self, draft: WaiverDraft, *, by: Administrator, owner: str | None = None) -> Waiver:
        """Let a finding be until a day. It need not be there yet: a waiver may be given before an install.

        Raises ``WaiverError`` where installed versions have it and none of them as something that is ever waived.
        """
        view = await self._views.current(by.workspace)
        _require_waivable(draft, view.versions.values())
        async with self._database.transaction() as session:
            return await store.add(session, draft, by=by, at=utcnow(), owner=owner)

    async def revoke(self, waiver: WaiverId, *, by: Administrator) -> Waiver:
        """End a waiver. What it let run and nothing else does is stopped, after the commit."""
        async with self._database.transaction() as session:
            revoked = await store.revoke(session, waiver, by=by, at=utcnow())
        await self._enforcer.enforce(by.workspace)
        return revoked

    async def list(self, workspace: WorkspaceId, *, after: int, limit: int, ended: bool) -> tuple[Waiver, ...]:
        """Waivers of a workspace in the order they were given; those that ran out or were revoked too, if ``ended``."""
        async with self._database.reading() as session:
            return await store.list_waivers(session, workspace, after=after, limit=limit, ended=ended, now=utcnow())


def _require_waivable(draft: WaiverDraft, versions: Iterable[InstalledVersion]) -> None:
    found = [one for version in versions for one in version.report.findings if is_about(draft, one)]
    refusals = [why for why in map(_why_not, found) if why is not None]
    if found and len(refusals) == len(found):
        raise WaiverError(refusals[0], field="advisory" if draft.rule is None else "rule")


def _why_not(finding: Finding) -> str | None:
    return why_not_waivable(as_scanned(finding))
