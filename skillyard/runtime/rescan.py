"""New advisories and installed skills: match every lock again, and quarantine what is now known bad."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.database import Database, utcnow
from skillyard.governance import audit, epoch
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, unobserved
from skillyard.governance.advisories.update import NotUpdated, Updated, update
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.report import Verdict
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.install import Installer
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.settings import Settings

_RUNNABLE = (SkillState.HELD, SkillState.ACTIVE)


@dataclass(frozen=True, slots=True)
class Rescanned:
    """What an update of the advisories changed. ``quarantined`` are the versions that are now known bad."""

    index: Updated | NotUpdated
    scanned: int
    quarantined: tuple[SkillRef, ...]


class Rescanner:
    """Updates the index and brings the reports of all workspaces in line with it."""

    def __init__(self, *, settings: Settings, database: Database, installer: Installer, enforcer: Enforcer) -> None:
        self._settings = settings
        self._database = database
        self._installer = installer
        self._enforcer = enforcer

    async def update(
        self, source: AdvisorySource, *, replace: bool = False, on_progress: OnProgress = unobserved
    ) -> Rescanned:
        """Bring in new records, then rescan. Raises ``AdvisorySourceError``; the index is then as it was."""
        index = await update(
            index_path(self._settings.home), source, now=utcnow(), on_progress=on_progress, replace=replace
        )
        scanned, quarantined = await self.rescan()
        return Rescanned(index, scanned, quarantined)

    async def rescan(self) -> tuple[int, tuple[SkillRef, ...]]:
        """A fresh report for every installed version of every workspace."""
        async with self._database.reading() as session:
            versions = [store.installed(skill, row) for skill, row in await store.live_versions(session)]
        quarantined = [version.ref for version in versions if await self._rescan(version)]
        for workspace in {version.workspace for version in versions}:
            await self._enforcer.enforce(workspace)
        return len(versions), tuple(quarantined)

    async def _rescan(self, version: InstalledVersion) -> bool:
        """Store the new report; true where it quarantines the version."""
        report = await self._installer.scan(version.skill, version.locks)
        bad = report.verdict is Verdict.BLOCK and version.state in _RUNNABLE
        async with self._database.transaction() as session:
            await store.set_report(session, version.id, report)
            if bad:
                await store.set_state(session, version.id, SkillState.QUARANTINED)
                record = AuditRecord(
                    WorkspaceId(version.workspace),
                    utcnow(),
                    SYSTEM,
                    Action.SKILL_QUARANTINED,
                    str(version.ref),
                    {"version": SkillVersionId(version.id), "reasons": report.reasons},
                )
                await audit.append(session, record)
            await epoch.bump(session)
        return bad
