"""The author's loop on their own machine: the same pipeline and sandbox, with the operator as the agent.

Everything happens in a workspace of its own, ``local``, under the local policy. There a skill is a folder that changes
all the time, so its version is the declared one with the bundle's digest as build metadata (SemVer 2.0.0, section 10):
every content is a version of its own, and immutable like any other.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from skillyard.database import Database
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import epoch, people
from skillyard.governance.decision import Agent, Allow, Hold, Maturity
from skillyard.governance.identity import SYSTEM, Person, PersonPrincipal, Role, TokenId
from skillyard.governance.report import Report
from skillyard.governance.requested import RequestedPackage
from skillyard.ids import BundleDigest
from skillyard.runtime import store
from skillyard.runtime.install import Prepared
from skillyard.runtime.kept_locks import fitting_locks
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest, SkillRef, Swap
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.sandbox import OutputSink, discard
from skillyard.skills.lock import Lock
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.times import utcnow

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
        """The skill as it is now, stored. Raises what ``prepare`` and ``store`` raise."""
        return await self.store(await self.prepare(source, mode=mode, on_progress=on_progress))

    async def prepare(
        self,
        source: Source,
        *,
        mode: ParseMode = ParseMode.LENIENT,
        relock: bool = False,
        on_progress: ProgressSink = silent,
    ) -> Prepared:
        """The skill as it is now, under its local version. As long as it declares the same packages it keeps its lock,
        unless ``relock`` wants what an index has now. Raises what preparing raises."""
        known = None if relock else self._known_locks
        prepared = await self._runtime.prepare(source, mode=mode, known_locks=known, on_progress=on_progress)
        return replace(prepared, skill=as_local(prepared.skill))

    async def store(self, prepared: Prepared) -> InstalledVersion:
        """Install what ``prepare`` gave, in the place of the oldest such version where there are many.

        Raises what installing raises, for one ``ReportRefusedError`` for a BLOCK.
        """
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

    async def serve(self, version: InstalledVersion, *, on_progress: ProgressSink = silent) -> Swap:
        """Let calls that name no version go to this one, if it starts and passes its check; see ``Swapper``."""
        return await self._runtime.activate(
            version.ref, workspace=version.workspace, actor=self.operator.principal, on_progress=on_progress
        )

    async def serving(self, name: str) -> InstalledVersion | None:
        """What answers calls of a skill that name no version."""
        view = await self._runtime.views.current(self.operator.person.workspace)
        try:
            return view.find(SkillRef(PUBLISHER, name))
        except NotFoundError:
            return None

    async def approve(self, version: InstalledVersion) -> tuple[RequestedPackage, ...]:
        """Give the approval that the version waits for, on the record: the packages it was for, none if for none."""
        asked = await self._runtime.approver.ask(self.operator.agent, version)
        if asked is None:
            return ()
        given = await self._runtime.approver.approve(
            asked, person=self.operator.principal, comment=_APPROVAL, fetch_ahead=False
        )
        return given.packages

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
        await self._runtime.approver.approve(
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
        """The locks of this very content, else of the newest that declares the same packages, if they were made for
        the interpreter and platform that run skills now."""
        ref = SkillRef(PUBLISHER, skill.name, as_local(skill).version)
        async with self._runtime.database.reading() as session:
            same = await store.find_version(session, self.operator.person.workspace, ref)
            newest = await store.newest_versions(session, self.operator.person.workspace, ref, limit=_KEPT)
        return fitting_locks(skill, newest if same is None else (same, *newest))

    async def _remove_old(self, newest: InstalledVersion) -> None:
        """Remove the oldest versions that may go."""
        view = await self._runtime.views.current(newest.workspace)
        versions = sorted(
            (one for one in view.versions.values() if one.skill_id == newest.skill_id),
            key=lambda one: (one.installed_at, one.id),
        )
        for version in versions[:-_KEPT]:
            # Refused for what serves calls and for what agents are pinned to; and another process may be faster.
            with contextlib.suppress(NotFoundError, ConflictError):
                await self._runtime.uninstall(version.ref, workspace=newest.workspace, actor=self.operator.principal)

    async def _with_fresh_report(self, version: InstalledVersion, prepared: Prepared) -> InstalledVersion:
        """What is stored of a version that was installed before is judged anew: a server over the same home judges by
        its own policy, and advisories may have come since."""
        if _same(version.report, prepared.report):
            return version
        async with self._runtime.database.transaction() as session:
            await store.set_report(session, version.workspace, version.id, prepared.report)
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
