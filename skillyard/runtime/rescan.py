"""New advisories and installed skills: match every lock again, and quarantine what is now known bad."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from skillyard.database import Database, utcnow
from skillyard.errors import SkillyardError
from skillyard.governance import audit, epoch
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, unobserved
from skillyard.governance.advisories.update import NotUpdated, Updated, update
from skillyard.governance.audit import Action, AuditRecord, JsonValue
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.report import Report, Verdict
from skillyard.runtime import store
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.install import Installer
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.settings import Settings

_RUNNABLE = (SkillState.HELD, SkillState.ACTIVE)
_TOGETHER = 25
"""Reports stored in one transaction: few epochs for many versions, and the first known bad does not wait for long."""

_log = structlog.get_logger("skillyard.rescan")


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
        """A fresh report for every installed version of every workspace; how many, and which are quarantined now.

        A version that cannot be scanned keeps its report and does not keep the others from theirs; its error is raised
        in the end.
        """
        async with self._database.reading() as session:
            versions = [store.installed(skill, row) for skill, row in await store.live_versions(session)]
        quarantined: list[SkillRef] = []
        failures: list[SkillyardError] = []
        for start in range(0, len(versions), _TOGETHER):
            reports: list[tuple[InstalledVersion, Report]] = []
            for version in versions[start : start + _TOGETHER]:
                try:
                    reports.append((version, await self._installer.scan(version.skill, version.locks)))
                except SkillyardError as error:
                    _log.error("not_rescanned", skill=str(version.ref), error=str(error))
                    failures.append(error)
            quarantined += await self._store(reports)
        for workspace in {version.workspace for version in versions}:
            await self._enforcer.enforce(workspace)
        if failures:
            raise failures[0]
        return len(versions), tuple(quarantined)

    async def _store(self, reports: list[tuple[InstalledVersion, Report]]) -> list[SkillRef]:
        """Reports in one transaction, raising the epoch once, so that calls do not decide anew for each of them."""
        bad: list[InstalledVersion] = []
        async with self._database.transaction() as session:
            for version, report in reports:
                state = await store.state_of(session, version.id, version.lock_digest)
                if state is None:
                    # Removed, or installed again with other packages, while it was scanned: this report is not its.
                    continue
                await store.set_report(session, version.id, report)
                if report.verdict is Verdict.BLOCK and state in _RUNNABLE:
                    await store.set_state(session, version.id, SkillState.QUARANTINED)
                    await audit.append(session, _record(version, report))
                    bad.append(version)
            await epoch.bump(session)
        for workspace in {version.workspace for version in bad}:
            await self._enforcer.enforce(workspace)
        return [version.ref for version in bad]


def _record(version: InstalledVersion, report: Report) -> AuditRecord:
    facts: dict[str, JsonValue] = {"version": version.id, "reasons": report.reasons}
    return AuditRecord(version.workspace, utcnow(), SYSTEM, Action.SKILL_QUARANTINED, str(version.ref), facts)
