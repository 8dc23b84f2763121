"""Quarantine: what a version that is now known bad loses, which versions are in it, and how one gets out.

Nothing gets out by itself. When an advisory is withdrawn the report of a version says so at the next rescan, and a
person looks at it and lifts the quarantine: that something was once said of a package is reason enough to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from skillyard.database import Database, Session
from skillyard.errors import ConflictError
from skillyard.governance import approval_lapses, approval_voids, audit, epoch, outbox, rule_store
from skillyard.governance.administrators import Authority, on_behalf, recheck
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.closure import evaluate_closure
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.judge import judged
from skillyard.governance.report import Finding, Report, Verdict
from skillyard.governance.scan import verdict_at
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers import store as waiver_store
from skillyard.governance.waivers.waiver import Waiver
from skillyard.governance.webhook import WebhookEvent
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.runtime import bundle_stops, store, version_marks
from skillyard.runtime.events import EventBus, QuarantineLifted
from skillyard.runtime.follow import state_under
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.runtime.views import Views
from skillyard.times import utcnow

RUNNABLE = (SkillState.HELD, SkillState.ACTIVE)
_NAMED = 20
"""Findings that a record or message names; of more it says how many there are."""


class NotQuarantinedError(ConflictError):
    """The version is in another state, so there is no quarantine to lift."""

    code = "not_quarantined"


class StillBlockedError(ConflictError):
    """What the version was quarantined for still holds: its report blocks, or nobody can tell."""

    code = "still_blocked"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version in quarantine. ``verdict`` is its report's as it counts now: below INDETERMINATE it can be lifted."""

    id: SkillVersionId
    publisher: str
    name: str
    version: str
    report: Report
    verdict: Verdict

    @property
    def can_be_lifted(self) -> bool:
        return self.verdict < Verdict.INDETERMINATE


async def quarantine(
    session: Session,
    workspace: WorkspaceId,
    version: SkillVersionId,
    ref: SkillRef,
    report: Report,
    *,
    at: datetime,
) -> None:
    """What being known bad does to a version, in the caller's transaction, which raises the epoch: its state, approvals
    that did not know of it, requests that wait for it, the record, and messages to whoever wants to be told."""
    blocking = [one for one in report.findings if one.level is Verdict.BLOCK]
    reason = blocking[0].message if blocking else report.reasons[0]
    await store.set_state(session, version, SkillState.QUARANTINED)
    packages = {one.package for one in blocking if one.package is not None}
    ended = await approval_voids.void(session, workspace, packages, reason=reason, at=at)
    why = f"Withdrawn: the version was quarantined. {reason}"
    await approval_lapses.withdraw(session, workspace, [version], by=SYSTEM, reason=why, at=at)
    facts: dict[str, JsonValue] = {
        "version": version,
        "reasons": [reason, *(one.message for one in blocking[1:_NAMED])],
        "ended_rules": [rule.id for rule in ended],
    }
    record = AuditRecord(workspace, at, SYSTEM, Action.SKILL_QUARANTINED, str(ref), facts)
    await audit.append(session, record)
    told: dict[str, JsonValue] = {
        "workspace": workspace,
        "skill": str(ref),
        "version": version,
        "findings": [_told(one) for one in blocking[:_NAMED]],
        "findings_in_all": len(blocking),
        "ended_rules": [rule.id for rule in ended],
    }
    await outbox.announce(session, workspace, WebhookEvent.SKILL_QUARANTINED, told, at=at)


class Quarantine:
    """The quarantine of each workspace, for the people of it."""

    def __init__(self, *, database: Database, views: Views, policy: ScanPolicy, events: EventBus) -> None:
        self._database = database
        self._views = views
        self._policy = policy
        self._events = events

    async def page(self, workspace: WorkspaceId, *, after: int = 0, limit: int = 100) -> tuple[Quarantined, ...]:
        """Versions in quarantine by id, beginning behind ``after``."""
        view = await self._views.current(workspace)
        async with self._database.reading() as session:
            ids = await version_marks.in_state(session, workspace, SkillState.QUARANTINED, after=after, limit=limit)
        now = utcnow()
        found = (view.versions.get(one) for one in ids)
        return tuple(self._value(one, view.rules.waivers, now) for one in found if one is not None)

    async def lift(self, ref: SkillRef, *, workspace: WorkspaceId, by: Authority, reason: str) -> Quarantined:
        """Let a version be called again, as far as its packages are approved; what was ended for it stays ended.

        Raises ``NotFoundError``, ``NotQuarantinedError``, and ``StillBlockedError`` where its report, as it counts now,
        would not let it be installed either.
        """
        async with self._database.transaction() as session:
            await recheck(session, by)
            row = await store.need_version(session, workspace, ref)
            skill = await session.get_one(SkillRow, row.skill_id)
            version = await self._as_it_counts(session, skill, row)
            if version.state is not SkillState.QUARANTINED:
                raise NotQuarantinedError(f"{version.ref} is {version.state.value}, not in quarantine")
            waivers = await waiver_store.not_revoked(session, workspace)
            found = self._value(version, waivers, utcnow())
            if not found.can_be_lifted:
                raise StillBlockedError(f"{version.ref} stays in quarantine: {found.report.reasons[0]}")
            stop = await bundle_stops.standing(session, workspace, version.skill.bundle.digest)
            if stop is not None:
                raise StillBlockedError(
                    f"{version.ref} stays in quarantine: {stop.source} says it is {stop.state.value}: {stop.reason}"
                )
            rules = await rule_store.rules_about(session, workspace, version.locks)
            state = state_under(evaluate_closure(version.locks, rules, utcnow()))
            await store.set_state(session, version.id, state)
            facts: Mapping[str, JsonValue] = {
                "version": version.id,
                "reason": reason,
                "verdict": found.verdict.name,
                "state": state.value,
                **on_behalf(by),
            }
            action = Action.SKILL_QUARANTINE_LIFTED
            await audit.append(session, AuditRecord(workspace, utcnow(), by.actor, action, str(version.ref), facts))
            await epoch.bump(session)
        self._events.publish(QuarantineLifted(workspace, f"{ref.publisher}/{ref.name}", version.version))
        return found

    async def _as_it_counts(self, session: Session, skill: SkillRow, row: SkillVersionRow) -> InstalledVersion:
        """The version with its report as of the data that it was last found to hold for."""
        mark = await version_marks.mark_of(session, WorkspaceId(row.workspace_id), SkillVersionId(row.id))
        return version_marks.as_marked(store.installed(skill, row), mark)

    def _value(self, version: InstalledVersion, waivers: Sequence[Waiver], now: datetime) -> Quarantined:
        report = judged(version.report, self._policy, now, waivers=waivers)
        verdict = verdict_at(version.report, self._policy, now, waivers=waivers)
        return Quarantined(version.id, version.publisher, version.name, version.version, report, verdict)


def _told(finding: Finding) -> dict[str, JsonValue]:
    package = finding.package
    return {
        "rule": finding.rule,
        "advisory": finding.advisory,
        "severity": finding.severity.value,
        "package": None if package is None else package.name,
        "package_version": None if package is None else package.version,
        "message": finding.message,
    }
