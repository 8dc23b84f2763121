"""Installing: fetch, parse, resolve, scan, store. A fact about a skill version in a workspace; no agent is in it.

Reads like the first half of the project's sentence. Nothing is stored before everything is known, and what is stored
is stored in one transaction: a version is installed whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from skillyard.database import Database, Session
from skillyard.governance import audit, epoch, rule_store
from skillyard.governance.administrators import Authority, on_behalf, recheck
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.closure import ClosureStanding, evaluate_closure
from skillyard.governance.decision import Reason, SkillState
from skillyard.governance.judge import judged
from skillyard.governance.report import Evidence, Report, Verdict
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.waivers import store as waiver_store
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import bundle_stops, store
from skillyard.runtime.errors import (
    AlreadyInstalledError,
    DecisionRefusedError,
    ReportRefusedError,
    VersionExistsError,
)
from skillyard.runtime.events import EventBus, SkillInstalled, SkillRefused
from skillyard.runtime.install_room import require_room_to_install
from skillyard.runtime.stages import resolve, staged
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.runtime.values import Installation, InstalledVersion, SkillRef
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.resolver import Resolver
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.lock import Lock, Target, closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem, ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.times import utcnow

FETCHING = "fetching the skill"
READING = "reading its files"
RESOLVING = "resolving its packages"
SCANNING = "scanning skill and packages"
"""The steps of preparing, as progress tells them."""

KnownLocks = Callable[[Skill], Awaitable[tuple[Lock, ...] | None]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything known about a skill before it is stored."""

    skill: Skill
    locks: tuple[Lock, ...]
    report: Report
    origin: str
    commit: str | None
    locks_known: bool = False
    """Whether the locks were there already, and nothing was resolved."""


class Installer:
    """Prepares and stores versions. Holds no state of its own."""

    def __init__(
        self,
        *,
        database: Database,
        bundles: BundleStore,
        resolvers: Mapping[Ecosystem, Resolver],
        target: Target,
        scanners: tuple[Scanner, ...],
        missing: tuple[Evidence, ...],
        policy: ScanPolicy,
        events: EventBus,
        staging: Path,
        lease: str,
    ) -> None:
        """``missing`` is the evidence of scanner plug-ins that did not load: it makes every verdict INDETERMINATE."""
        self._database = database
        self._bundles = bundles
        self._resolvers = resolvers
        self._target = target
        self._scanners = scanners
        self._missing = missing
        self._policy = policy
        self._events = events
        self._staging = staging
        self._lease = lease

    async def prepare(
        self,
        source: Source,
        *,
        mode: ParseMode,
        known_locks: KnownLocks | None = None,
        resolve_anew: bool = True,
        on_progress: ProgressSink = silent,
    ) -> Prepared:
        """Fetch, parse, resolve and scan; the bundle is kept, nothing else. Any refusal is an error with its place.

        ``known_locks`` may answer with locks that fit, which are then not resolved again unless the scan blocks them;
        without ``resolve_anew`` not even then, because there is no index to ask.
        """
        async with staged(self._staging, self._lease) as folder:
            on_progress(Progress(FETCHING, 0, 4))
            fetched = await source.fetch(folder)
            on_progress(Progress(READING, 1, 4))
            skill = await asyncio.to_thread(parse_skill, fetched.folder, mode)
            await asyncio.to_thread(self._bundles.put, fetched.folder, skill.bundle)
            on_progress(Progress(RESOLVING, 2, 4))
            known = await known_locks(skill) if known_locks else None
            locks = await self.resolve(skill, on_progress) if known is None else known
            on_progress(Progress(SCANNING, 3, 4))
            report = await self.scan(skill, locks)
            if known and resolve_anew and report.verdict is Verdict.BLOCK:
                # What was locked is known to be bad by now; another release may be better.
                on_progress(Progress(RESOLVING, 2, 4))
                known, locks = None, await self.resolve(skill, on_progress)
                on_progress(Progress(SCANNING, 3, 4))
                report = await self.scan(skill, locks)
            on_progress(Progress(f"scanned: {report.verdict.name}", 4, 4))
            return Prepared(skill, locks, report, fetched.origin, fetched.commit, known is not None)

    async def resolve(self, skill: Skill, on_progress: ProgressSink = silent) -> tuple[Lock, ...]:
        """One lock for each ecosystem the skill declares packages of; a skill without packages has none."""
        return await resolve(skill, self._resolvers, self._target, on_progress)

    async def scan(self, skill: Skill, locks: tuple[Lock, ...]) -> Report:
        """A fresh report on a stored bundle and its locks."""
        target = ScanTarget(skill=skill, locks=locks, folder=self._bundles.path(skill.bundle.digest))
        return await scan(target, self._scanners, policy=self._policy, now=utcnow(), missing=self._missing)

    async def install(
        self, prepared: Prepared, *, workspace: WorkspaceId, publisher: str, by: Authority, upgrade: bool
    ) -> Installation:
        """Store a prepared version. A first version gets the pointer; an upgrade leaves the pointer to ``swap``.

        Raises ``ReportRefusedError`` for a verdict that never installs, ``DecisionRefusedError`` for a banned package,
        ``VersionExistsError`` and ``AlreadyInstalledError`` for what contradicts the stored.
        """
        ref = SkillRef(publisher, prepared.skill.name, prepared.skill.version)
        await self._refuse_bad_report(prepared, ref, workspace, by)
        actor = by.actor
        async with self._database.transaction() as session:
            await recheck(session, by)
            await _refuse_stopped(session, workspace, prepared.skill)
            rules = await rule_store.rules_about(session, workspace, prepared.locks)
            standing = evaluate_closure(prepared.locks, rules, utcnow())
            _refuse_banned(standing)
            state = SkillState.HELD if standing.unapproved else SkillState.ACTIVE
            parent, existing = await _stored(session, workspace, ref, prepared, upgrade=upgrade)
            created = existing is None or existing.state is SkillState.REMOVED
            if created:
                await require_room_to_install(session, workspace, prepared.skill.bundle, parent)
            if existing is None:
                parent, row = await store.add_version(
                    session,
                    workspace=workspace,
                    publisher=publisher,
                    skill=prepared.skill,
                    locks=prepared.locks,
                    report=prepared.report,
                    state=state,
                    origin=prepared.origin,
                    commit=prepared.commit,
                    actor=actor,
                )
            else:
                assert parent is not None, "a version has a skill"  # noqa: S101 - invariant of the store
                row = existing
                if created:
                    await store.revive(
                        session,
                        row,
                        skill=prepared.skill,
                        locks=prepared.locks,
                        report=prepared.report,
                        state=state,
                        origin=prepared.origin,
                        commit=prepared.commit,
                        actor=actor,
                    )
            if parent.active_version_id is None and not upgrade:
                await store.move_pointer(session, parent, SkillVersionId(row.id), actor)
            stored = store.installed(parent, row)
            waivers = await waiver_store.not_revoked(session, workspace)
            version = replace(stored, report=judged(stored.report, self._policy, utcnow(), waivers=waivers))
            if created:
                await epoch.bump(session)
                await audit.append(session, _installed_record(workspace, by, version, prepared))
            active = parent.active_version_id == row.id
        if created:
            self._events.publish(SkillInstalled(workspace, str(ref), ref.version or "", version.state.value))
        packages = tuple(item.package for item in standing.unapproved)
        return Installation(version=version, created=created, active=active, unapproved=packages)

    async def _refuse_bad_report(
        self, prepared: Prepared, ref: SkillRef, workspace: WorkspaceId, by: Authority
    ) -> None:
        async with self._database.reading() as session:
            waivers = await waiver_store.not_revoked(session, workspace)
        report = judged(prepared.report, self._policy, utcnow(), waivers=waivers)
        if report.verdict < Verdict.INDETERMINATE:
            return
        found = {"bundle": report.bundle_digest, "verdict": report.verdict.name, "reasons": report.reasons}
        facts = {**found, **on_behalf(by)}
        async with self._database.transaction() as session:
            record = AuditRecord(workspace, utcnow(), by.actor, Action.SKILL_INSTALL_REFUSED, str(ref), facts)
            await audit.append(session, record)
        self._events.publish(
            SkillRefused(workspace, str(ref), prepared.skill.version, report.verdict.name, report.reasons[0])
        )
        raise ReportRefusedError(report)


async def _stored(
    session: Session, workspace: WorkspaceId, ref: SkillRef, prepared: Prepared, *, upgrade: bool
) -> tuple[SkillRow | None, SkillVersionRow | None]:
    """What is stored of this skill and this version already; raises where that contradicts the request."""
    parent = await store.find_skill(session, workspace, ref)
    existing = await store.find_version(session, workspace, ref)
    digest = prepared.skill.bundle.digest
    if existing is not None and existing.bundle_digest != digest:
        raise VersionExistsError(
            f"{ref} is installed already, with other content ({existing.bundle_digest}, not {digest}); "
            "a version never changes: give it a new version"
        )
    other = parent is not None and parent.active_version_id is not None
    if other and (existing is None or existing.state is SkillState.REMOVED) and not upgrade:
        raise AlreadyInstalledError(f"another version of {ref.publisher}/{ref.name} is installed; use upgrade")
    return parent, existing


async def _refuse_stopped(session: Session, workspace: WorkspaceId, skill: Skill) -> None:
    stop = await bundle_stops.standing(session, workspace, skill.bundle.digest)
    if stop is not None:
        text = f"this very content is {stop.state.value} in a marketplace ({stop.source}): {stop.reason}"
        raise DecisionRefusedError((Reason("bundle_stopped", text),), held=False)


def _refuse_banned(standing: ClosureStanding) -> None:
    reasons = tuple(
        Reason(
            "banned_package",
            f"{item.package} is banned: {item.rule.reason if item.rule else 'by a rule'}",
            item.package,
        )
        for item in standing.banned
    )
    if reasons:
        raise DecisionRefusedError(reasons, held=False)


def _installed_record(
    workspace: WorkspaceId, by: Authority, version: InstalledVersion, prepared: Prepared
) -> AuditRecord:
    facts = {
        "bundle": prepared.skill.bundle.digest,
        "lock": closure_digest(prepared.locks),
        "verdict": version.report.verdict.name,
        "state": version.state.value,
        "origin": prepared.origin,
        "commit": prepared.commit,
        **on_behalf(by),
    }
    return AuditRecord(workspace, utcnow(), by.actor, Action.SKILL_INSTALLED, str(version.ref), facts)
