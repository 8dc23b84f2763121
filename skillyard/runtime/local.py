"""The author's loop on their own machine: the same pipeline and sandbox, with the operator as the agent.

Everything happens in a workspace of its own, ``local``, under the local policy. There a skill is a folder that changes
all the time, so its version is the declared one with the bundle's digest as build metadata (SemVer 2.0.0, section 10):
every content is a version of its own, and immutable like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from skillyard.database import Database, utcnow
from skillyard.errors import NotFoundError
from skillyard.governance import epoch, people
from skillyard.governance.decision import Agent, Allow, Hold, Maturity
from skillyard.governance.identity import SYSTEM, Person, PersonPrincipal, Role, TokenId
from skillyard.governance.report import Report
from skillyard.ids import BundleDigest
from skillyard.runtime import store
from skillyard.runtime.install import Prepared
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.stored import locks_from_json
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.sandbox.sandbox import OutputSink, discard
from skillyard.skills.lock import Lock
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source

WORKSPACE = "local"
OPERATOR = "operator"
PUBLISHER = "local"

_APPROVAL = "approved on the command line by the operator of this machine"
_KEPT = 10
"""Versions of a skill that stay installed: an author edits all day, and every edit that is run is a version."""

_NO_TOKEN = TokenId(0)
"""The operator carries no token: who can start this process can read the database it writes."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts here: one person and the agent that they own, which is as mature as an agent can be."""

    person: Person
    agent: Agent

    @property
    def principal(self) -> PersonPrincipal:
        return PersonPrincipal(_NO_TOKEN, self.person)


async def ensure_operator(database: Database) -> Operator:
    """The operator of this home, made at the first use. Safe when several processes start at once."""
    async with database.transaction() as session:
        now = utcnow()
        try:
            workspace = await people.workspace_by_name(session, WORKSPACE)
        except NotFoundError:
            workspace = await people.create_workspace(session, WORKSPACE, by=SYSTEM, at=now)
            person = await people.add_person(session, workspace.id, OPERATOR, Role.ADMIN, by=SYSTEM, at=now)
            agent = await people.add_agent(
                session,
                workspace.id,
                OPERATOR,
                owner=person.id,
                maturity=Maturity.AUTONOMOUS,
                by=person.actor,
                at=now,
            )
            return Operator(person, agent)
        person = await people.person_by_name(session, workspace.id, OPERATOR)
        return Operator(person, await people.agent_by_name(session, workspace.id, OPERATOR))


class LocalWorkspace:
    """Runs skills for the operator. Give it a runtime under the local policy."""

    def __init__(self, *, runtime: Runtime, operator: Operator) -> None:
        self._runtime = runtime
        self.operator = operator

    async def install(
        self, source: Source, *, mode: ParseMode = ParseMode.LENIENT, on_progress: ProgressSink = silent
    ) -> InstalledVersion:
        """The skill as it is now, stored. What was resolved for this very content before is not resolved again.

        Raises what preparing and installing raise, for one ``ReportRefusedError`` for a BLOCK.
        """
        prepared = await self._runtime.prepare(
            source, mode=mode, known_locks=self._known_locks, on_progress=on_progress
        )
        prepared = replace(prepared, skill=as_local(prepared.skill))
        installation = await self._runtime.install_prepared(
            prepared,
            workspace=self.operator.person.workspace,
            publisher=PUBLISHER,
            actor=self.operator.principal,
            upgrade=True,
        )
        if installation.created:
            await self._remove_old(installation.version)
        return await self._with_fresh_report(installation.version, prepared)

    async def invoke(
        self,
        request: InvokeRequest,
        *,
        approve: bool,
        on_progress: ProgressSink = silent,
        on_output: OutputSink = discard,
    ) -> Invocation:
        """One call as the operator. ``approve`` gives the approval that a Hold asks for, recorded, and calls again.

        The request's skill names a version that ``install`` gave.
        """
        await self._fetch(request, on_progress)
        invocation = await self._runtime.invoke(request, on_output)
        if not approve or not isinstance(invocation.decision, Hold) or invocation.approval is None:
            return invocation
        await self._runtime.approve(
            invocation.approval, person=self.operator.principal, comment=_APPROVAL, fetch_ahead=False
        )
        await self._fetch(request, on_progress)
        return await self._runtime.invoke(request, on_output)

    async def _fetch(self, request: InvokeRequest, on_progress: ProgressSink) -> None:
        """Materialise ahead of an allowed call, which would do the same without telling how far it is."""
        view = await self._runtime.views.current(request.workspace)
        version = view.find(request.skill)
        if not isinstance(self._runtime.decider.decide(view, request.agent, version), Allow):
            return
        await self._runtime.starter.materialise(version, on_progress)
        on_progress(Progress("starting the sandbox", 0, None))

    async def _known_locks(self, skill: Skill) -> tuple[Lock, ...] | None:
        """The locks of this very content, if they were made for the interpreter and platform that run skills now."""
        local = as_local(skill)
        ref = SkillRef(PUBLISHER, local.name, local.version)
        async with self._runtime.database.reading() as session:
            row = await store.find_version(session, self.operator.person.workspace, ref)
        if row is None or row.bundle_digest != skill.bundle.digest:
            return None
        locks = locks_from_json(row.lock_json)
        return locks if all(lock.target == base_target() for lock in locks) else None

    async def _remove_old(self, newest: InstalledVersion) -> None:
        async with self._runtime.database.reading() as session:
            live = await store.live_versions(session, newest.workspace)
        versions = sorted((row.installed_at, row.version) for _, row in live if row.skill_id == newest.skill_id)
        for _, version in versions[:-_KEPT]:
            ref = SkillRef(PUBLISHER, newest.name, version)
            await self._runtime.uninstall(ref, workspace=newest.workspace, actor=self.operator.principal)

    async def _with_fresh_report(self, version: InstalledVersion, prepared: Prepared) -> InstalledVersion:
        """What is stored of a version that was installed before is judged anew: a server over the same home judges by
        its own policy, and advisories may have come since."""
        if _same(version.report, prepared.report):
            return version
        async with self._runtime.database.transaction() as session:
            await store.set_report(session, version.id, prepared.report)
            await epoch.bump(session)
        return replace(version, report=prepared.report)


def as_local(skill: Skill) -> Skill:
    """The skill under the version that its content has here: the declared one and 12 digits of the bundle's digest."""
    return replace(skill, version=local_version(skill.version, skill.bundle.digest))


def local_version(declared: str, digest: BundleDigest) -> str:
    """``1.2.0`` → ``1.2.0+0123456789ab``; build metadata that is there already is kept in front."""
    short = digest.removeprefix("sha256:")[:12]
    if declared.endswith((f"+{short}", f".{short}")):
        return declared
    return f"{declared}{'.' if '+' in declared else '+'}{short}"


def _same(one: Report, other: Report) -> bool:
    """Whether two reports say the same; when they were made does not count."""
    moment = other.made_at
    return replace(one, made_at=moment) == other
