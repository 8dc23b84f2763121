"""Approval requests as an admin has to see them: who asks, for what, what is new in it, what was found, who may decide.

Everything is looked up when it is shown, by the rules and the clock as they are then: a request may be about a package
that was banned since, and an approval that was given may have run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from skillyard.database import Database, Session
from skillyard.errors import InputError
from skillyard.governance import approval_store, people
from skillyard.governance.approval_store import Filter
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.closure import evaluate_closure
from skillyard.governance.decision import Agent, ApprovalState, PackageRule, RuleState
from skillyard.governance.identity import Person
from skillyard.governance.judge import judged
from skillyard.governance.report import Finding, PackageRef, Report
from skillyard.governance.requested import ApprovalRequest, RequestedPackage
from skillyard.governance.rule_groups import EMPTY_GROUP
from skillyard.governance.rules import canonical_name
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import AgentId, ApprovalId, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.runtime.views import View, Views
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class ReviewedPackage:
    """A package that a request asks for. ``approved_as`` are the specifiers approved of the same name, if any are: then
    it is not new but changed. ``other_files`` is whether this very version is approved, with other artefacts."""

    asked: RequestedPackage
    approved_as: tuple[str, ...]
    other_files: bool
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Banned:
    """A package of the lock that is banned: while it is, approving is refused."""

    package: PackageRef
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """A request with all that whoever decides needs to know.

    ``request.state`` is by the clock. ``report`` is what is kept of the version's scan; ``None`` where it is not
    installed any more. ``findings`` are those that are about none of the packages asked for. ``answer_by`` is when a
    waiting request expires. ``approvers`` are those who may approve it.
    """

    request: ApprovalRequest
    agent: Agent | None
    person: Person | None
    owner: Person
    decider: Person | None
    packages: tuple[ReviewedPackage, ...]
    report: Report | None
    findings: tuple[Finding, ...]
    banned: tuple[Banned, ...]
    waiting: timedelta
    """How long it waits, or waited until it was decided."""
    answer_by: datetime | None
    approvers: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """What of a queue is wanted, in the words of people."""

    state: ApprovalState | None = None
    agent: AgentId | None = None
    skill: str | None = None
    package: str | None = None
    older_than: timedelta | None = None


class Reviewer:
    """Reads; changes nothing."""

    def __init__(self, *, database: Database, views: Views, terms: ApprovalTerms, policy: ScanPolicy) -> None:
        self._database = database
        self._views = views
        self._terms = terms
        self._policy = policy

    async def one(self, workspace: WorkspaceId, approval: ApprovalId) -> Review:
        """One request. Raises ``NotFoundError``, also for another workspace's."""
        view = await self._views.current(workspace)
        async with self._database.reading() as session:
            request = await approval_store.get(session, workspace, approval)
            (reviewed,) = await self._reviewed(session, view, (request,))
        return reviewed

    async def queue(
        self, workspace: WorkspaceId, wanted: QueueFilter, *, after: int = 0, limit: int = 100
    ) -> tuple[Review, ...]:
        """Requests by id, the longest waiting first; ``after`` is the last id of the page before."""
        now = utcnow()
        view = await self._views.current(workspace)
        async with self._database.reading() as session:
            which = await _filter(session, workspace, wanted, now)
            if which is None:
                return ()
            found = await approval_store.list_requests(
                session, workspace, wanted=which, now=now, open_for=self._terms.open_for, after=after, limit=limit
            )
            return await self._reviewed(session, view, found)

    async def _reviewed(
        self, session: Session, view: View, requests: tuple[ApprovalRequest, ...]
    ) -> tuple[Review, ...]:
        now = utcnow()
        persons = await _persons(session, view.workspace, requests)
        admins = await people.administrators(session, view.workspace)
        versions = {request.skill_version_id for request in requests} & view.versions.keys()
        # Of a page of large locks this takes tens of milliseconds: not on the event loop.
        banned = await asyncio.to_thread(_banned, view, versions, now)
        return tuple(self._review(view, request, persons, admins, banned, now) for request in requests)

    def _review(  # noqa: PLR0917 - what was looked up for a whole page, and what it is looked up for
        self,
        view: View,
        request: ApprovalRequest,
        persons: Mapping[PersonId, Person],
        admins: tuple[Person, ...],
        banned: Mapping[SkillVersionId, tuple[Banned, ...]],
        now: datetime,
    ) -> Review:
        state = request.state_at(now, open_for=self._terms.open_for)
        version = view.versions.get(request.skill_version_id)
        # A version that was installed again with other packages is not what was asked about.
        if version is not None and version.lock_digest != request.lock_digest:
            version = None
        if version is not None:
            report = judged(version.report, self._policy, now, waivers=view.rules.waivers)
            version = replace(version, report=report)
        agent = None if request.requested_by_agent is None else view.agents.get(request.requested_by_agent)
        pending = state is ApprovalState.PENDING
        return Review(
            request=_with_state(request, state),
            agent=agent,
            person=None if request.requested_by_person is None else persons.get(request.requested_by_person),
            owner=persons[request.requesting_owner],
            decider=None if request.decided_by is None else persons.get(request.decided_by),
            packages=tuple(_package(package, view, version, now) for package in request.packages),
            report=None if version is None else version.report,
            findings=() if version is None else _others(version.report, request.packages),
            banned=banned.get(request.skill_version_id, ()) if pending else (),
            waiting=(request.decided_at or now) - request.created_at,
            answer_by=request.created_at + self._terms.open_for if pending else None,
            approvers=self._approvers(request, agent, admins) if pending else (),
        )

    def _approvers(
        self, request: ApprovalRequest, agent: Agent | None, admins: tuple[Person, ...]
    ) -> tuple[Person, ...]:
        if not self._terms.second_person:
            return admins
        owners = {request.requesting_owner} | ({agent.owner} if agent is not None else set())
        return tuple(admin for admin in admins if admin.id not in owners)


async def _filter(session: Session, workspace: WorkspaceId, wanted: QueueFilter, now: datetime) -> Filter | None:
    """The same question in keys; ``None`` where what it names is not there, so that nothing can match."""
    skill: SkillId | None = None
    version: SkillVersionId | None = None
    if wanted.skill is not None:
        ref = SkillRef.parse(wanted.skill)
        row = await store.find_skill(session, workspace, ref)
        if row is None:
            return None
        skill = SkillId(row.id)
        if ref.version is not None:
            found = await store.find_version(session, workspace, ref)
            if found is None:
                return None
            version = SkillVersionId(found.id)
    before = None if wanted.older_than is None else now - wanted.older_than
    packages = () if wanted.package is None else _names(wanted.package)
    return Filter(wanted.state, wanted.agent, skill, version, packages, before)


def _names(text: str) -> tuple[tuple[Ecosystem, str], ...]:
    """What a person means by a name: ``npm:left-pad`` that of one ecosystem, ``left-pad`` that of any."""
    prefix, colon, rest = text.partition(":")
    if not colon:
        return tuple((ecosystem, canonical_name(ecosystem, text)) for ecosystem in Ecosystem)
    if prefix not in set(Ecosystem):
        raise InputError(f"{prefix!r} is no ecosystem; use {', '.join(Ecosystem)}", field="package")
    return ((Ecosystem(prefix), canonical_name(Ecosystem(prefix), rest)),)


async def _persons(
    session: Session, workspace: WorkspaceId, requests: Iterable[ApprovalRequest]
) -> dict[PersonId, Person]:
    wanted = {
        id_
        for request in requests
        for id_ in (request.requesting_owner, request.requested_by_person, request.decided_by)
        if id_ is not None
    }
    return await people.persons_by_id(session, workspace, wanted)


def _banned(view: View, versions: Iterable[SkillVersionId], now: datetime) -> dict[SkillVersionId, tuple[Banned, ...]]:
    found = {}
    for version in versions:
        standing = evaluate_closure(view.versions[version].locks, view.rules, now)
        found[version] = tuple(
            Banned(item.package, (item.rule.reason if item.rule is not None else None) or "no reason given")
            for item in standing.banned
        )
    return found


def _package(package: RequestedPackage, view: View, version: InstalledVersion | None, now: datetime) -> ReviewedPackage:
    rules = view.rules.by_name.get((package.ecosystem, package.name), EMPTY_GROUP).rules
    approved = [rule for rule in rules if rule.state is RuleState.APPROVED and _in_force(rule, now)]
    exact = package.version if package.ecosystem is Ecosystem.NPM else f"=={package.version}"
    findings = () if version is None else tuple(one for one in version.report.findings if one.package == package.ref)
    return ReviewedPackage(
        asked=package,
        approved_as=tuple(sorted({rule.specifier for rule in approved})),
        other_files=any(rule.specifier == exact and not set(package.hashes) <= rule.hashes for rule in approved),
        findings=findings,
    )


def _in_force(rule: PackageRule, now: datetime) -> bool:
    return rule.expires_at is None or rule.expires_at > now


def _others(report: Report, packages: tuple[RequestedPackage, ...]) -> tuple[Finding, ...]:
    refs = {package.ref for package in packages}
    return tuple(finding for finding in report.findings if finding.package not in refs)


def _with_state(request: ApprovalRequest, state: ApprovalState) -> ApprovalRequest:
    return request if request.state is state else replace(request, state=state)
