"""The runtime as one value, and the composition root that makes it from settings.

``create_runtime`` is the only place that knows which implementation serves which seam. The methods here only pass on:
each use case lives in a module of its own, named after it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from skillyard.database import Database, migrate, open_database, utcnow
from skillyard.errors import NotFoundError
from skillyard.governance import audit, tokens
from skillyard.governance.advisories.source import AdvisorySource, OnProgress, unobserved
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.audit import Verification
from skillyard.governance.decision import Agent, Allow, Hold, Maturity, PackageRule
from skillyard.governance.identity import PersonPrincipal, Principal
from skillyard.governance.policy import Policy
from skillyard.governance.requested import ApprovalRequest
from skillyard.governance.rules import RuleDraft
from skillyard.ids import ApprovalId, InvocationId, RuleId, WorkspaceId
from skillyard.runtime import files, store
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.approve import Approver
from skillyard.runtime.cancel import Canceller
from skillyard.runtime.decide import Decider
from skillyard.runtime.endings import Endings
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.events import EventBus
from skillyard.runtime.install import Installer, KnownLocks, Prepared
from skillyard.runtime.instance import Lease, home_id, take_lease
from skillyard.runtime.invocations import InvocationSummary, get_invocation
from skillyard.runtime.invoke import Invoker
from skillyard.runtime.journal import StaleEpoch
from skillyard.runtime.kept_locks import active_locks
from skillyard.runtime.ledger import PoolLimits
from skillyard.runtime.open_calls import OnAdmitted, OpenCalls, unheard
from skillyard.runtime.pins import Pins
from skillyard.runtime.pool import Pool
from skillyard.runtime.rescan import Rescanned, Rescanner
from skillyard.runtime.seams import Seams, load_seams
from skillyard.runtime.start import Starter
from skillyard.runtime.swap import Swapper
from skillyard.runtime.upkeep import Upkeep
from skillyard.runtime.values import (
    Installation,
    InstalledVersion,
    Invocation,
    InvokeRequest,
    SkillRef,
    SkillSummary,
    Swap,
)
from skillyard.runtime.views import Views
from skillyard.runtime.warm import ActiveVersions
from skillyard.runtime.watch import Chore, Watch
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.sandbox.sandbox import OutputSink, discard
from skillyard.settings import Settings
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.lock import Lock
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Ecosystem, ParseMode, Skill
from skillyard.skills.source import Source

_CANCEL_PERIOD = 0.5
"""Seconds between two looks at what other processes were asked to cancel."""


async def create_runtime(settings: Settings, *, policy: Policy | None = None, first_person: bool = True) -> Runtime:
    """A started runtime over the home folder of ``settings``: schema up to date, leftovers gone, ready for calls.

    ``policy`` is the server's by default. ``first_person`` is whether a home that was never served gets its first
    person, whose token is shown once: for those who can show it. Raises ``DatabaseUnavailableError`` and its kin; a
    missing engine or a plug-in that does not load is logged loudly and refuses only what needs it.
    """
    await asyncio.to_thread(settings.home.mkdir, parents=True, exist_ok=True)
    await migrate(settings.database)
    await ensure_index(settings.home, now=utcnow())
    lease = take_lease(settings.home)
    try:
        seams = await asyncio.to_thread(load_seams, settings)
        database = await open_database(settings.database)
    except BaseException:
        lease.release()
        raise
    runtime = Runtime(settings, policy or Policy.from_settings(settings), database, seams, lease)
    try:
        await runtime.start(first_person=first_person)
    except BaseException:
        await runtime.close()
        raise
    return runtime


class Runtime:
    """All use cases. Made by ``create_runtime``, ended by ``close``; also an asynchronous context manager."""

    first_token: str | None
    """The first person's token, made at the first start ever and shown once; ``None`` at every other start."""

    def __init__(self, settings: Settings, policy: Policy, database: Database, seams: Seams, lease: Lease) -> None:
        self.settings = settings
        self.database = database
        self.seams = seams
        self.policy = policy
        self.engine = Engine(address=settings.docker_host)
        self._lease = lease
        self._closed = False
        self.events = EventBus(seams.event_sinks)
        self.bundles = BundleStore(settings.home / "bundles")
        self._artefacts = settings.home / "artefacts"
        staging = settings.home / "staging"
        instance = home_id(settings.home)
        self.pool = Pool(limits=PoolLimits.from_settings(settings))
        self.views = Views(database=database)
        self.pins = Pins(database=database)
        self.decider = Decider(policy=policy)
        enforcer = Enforcer(views=self.views, decider=self.decider, pool=self.pool, events=self.events)
        self.upkeep = Upkeep(
            settings=settings,
            instance=instance,
            lease=lease,
            database=database,
            engine=self.engine,
            bundles=self.bundles,
            environments=seams.environments,
            pool=self.pool,
        )
        self.starter = Starter(
            bundles=self.bundles,
            environments=seams.environments,
            sandbox=seams.sandbox,
            reconciler=self.upkeep.reconciler,
            started=self.upkeep.started,
            instance=instance,
            lease=lease.id,
        )
        self.pool.keep_warm(
            ActiveVersions(count=settings.min_warm, views=self.views, decider=self.decider, starter=self.starter)
        )
        self._writer = AdmissionWriter(path=database.path, instance=lease.id)
        self._endings = Endings(
            writer=self._writer, events=self.events, keep_files=timedelta(days=settings.artefact_retention_days)
        )
        self.calls = OpenCalls()
        self._canceller = Canceller(database=database, calls=self.calls, instance=lease.id)
        self._installer = Installer(
            database=database,
            bundles=self.bundles,
            resolvers=seams.resolvers,
            target=base_target(),
            scanners=seams.scanners,
            missing=seams.missing_scanners,
            policy=policy.scan,
            events=self.events,
            staging=staging,
            lease=lease.id,
        )
        self._approver = Approver(
            database=database,
            views=self.views,
            decider=self.decider,
            enforcer=enforcer,
            starter=self.starter,
            require_second_person=policy.second_person,
        )
        self._swapper = Swapper(
            database=database,
            views=self.views,
            decider=self.decider,
            pool=self.pool,
            starter=self.starter,
            events=self.events,
            drain_seconds=settings.drain_timeout,
        )
        self._invoker = Invoker(
            views=self.views,
            decider=self.decider,
            approver=self._approver,
            writer=self._writer,
            pool=self.pool,
            starter=self.starter,
            bundles=self.bundles,
            artefacts=self._artefacts,
            staged_as=staging / lease.id,
            endings=self._endings,
            calls=self.calls,
        )
        self._rescanner = Rescanner(settings=settings, database=database, installer=self._installer, enforcer=enforcer)
        self._watch = Watch(
            database=database,
            views=self.views,
            enforcer=enforcer,
            endings=self._endings,
            chores=(
                *self.upkeep.chores,
                Chore("cancelling", _CANCEL_PERIOD, self._canceller.look),
            ),
        )

    async def start(self, *, first_person: bool = True) -> None:
        """Make the first person where there is none, clean up after dead processes, begin to take calls."""
        self.first_token = None
        if first_person:
            async with self.database.transaction() as session:
                self.first_token = await tokens.first_start(session, utcnow())
        await self.upkeep.begin()
        await self._writer.start()
        self._watch.start()

    async def close(self) -> None:
        """Stop everything that was started: sandboxes first, so that calls in them end and are recorded. Idempotent.

        Whatever fails on the way, the rest is closed all the same; the failure is raised in the end.
        """
        if self._closed:
            return
        self._closed = True
        async with AsyncExitStack() as last_first:
            last_first.callback(self._lease.release)
            for holder in (self.engine, self.seams.environments, self.seams.sandbox, self.database):
                last_first.push_async_callback(holder.close)
            last_first.push_async_callback(self.upkeep.end)
            last_first.push_async_callback(self._writer.close)
            last_first.push_async_callback(self._endings.retry)
            # The pool is closed by then, so that calls which nobody waits for have ended, or are about to.
            last_first.push_async_callback(self.calls.close)
            for worker in (self._swapper, self.pool, self._approver, self._watch):
                last_first.push_async_callback(worker.close)

    async def __aenter__(self) -> Runtime:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Owning

    @property
    def lease(self) -> str:
        """What this process's containers, folders and calls are labelled with."""
        return self._lease.id

    # Installing and swapping

    async def prepare(
        self,
        source: Source,
        *,
        mode: ParseMode = ParseMode.LENIENT,
        known_locks: KnownLocks | None = None,
        on_progress: ProgressSink = silent,
    ) -> Prepared:
        """Fetch, parse, resolve and scan without installing."""
        return await self._installer.prepare(source, mode=mode, known_locks=known_locks, on_progress=on_progress)

    async def install(
        self,
        source: Source,
        *,
        workspace: WorkspaceId,
        publisher: str,
        actor: Principal,
        mode: ParseMode = ParseMode.LENIENT,
        on_progress: ProgressSink = silent,
    ) -> Installation:
        """Install a skill; see ``install.Installer``."""
        prepared = await self.prepare(source, mode=mode, on_progress=on_progress)
        return await self.install_prepared(
            prepared, workspace=workspace, publisher=publisher, actor=actor, upgrade=False
        )

    async def install_prepared(
        self, prepared: Prepared, *, workspace: WorkspaceId, publisher: str, actor: Principal, upgrade: bool
    ) -> Installation:
        """Store what ``prepare`` made."""
        return await self._installer.install(
            prepared, workspace=workspace, publisher=publisher, actor=actor.actor, upgrade=upgrade
        )

    async def upgrade(
        self,
        source: Source,
        *,
        workspace: WorkspaceId,
        publisher: str,
        actor: Principal,
        mode: ParseMode = ParseMode.LENIENT,
        relock: bool = False,
        on_progress: ProgressSink = silent,
    ) -> Swap:
        """Install a new version beside the old and move the pointer to it, if it passes its check.

        It keeps the lock of the active version where both declare the same packages, unless ``relock`` resolves anew.
        """

        async def known(skill: Skill) -> tuple[Lock, ...] | None:
            return await active_locks(self.database, workspace, publisher, skill)

        kept = None if relock else known
        prepared = await self.prepare(source, mode=mode, known_locks=kept, on_progress=on_progress)
        ref = SkillRef(publisher, prepared.skill.name)
        await self.version(workspace, ref)
        installed = await self.install_prepared(
            prepared, workspace=workspace, publisher=publisher, actor=actor, upgrade=True
        )
        return await self._swapper.activate(installed.version.ref, workspace=workspace, actor=actor.actor)

    async def activate(
        self, ref: SkillRef, *, workspace: WorkspaceId, actor: Principal, on_progress: ProgressSink = silent
    ) -> Swap:
        """Move the pointer to an installed version."""
        return await self._swapper.activate(ref, workspace=workspace, actor=actor.actor, on_progress=on_progress)

    async def rollback(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Principal) -> Swap:
        """Move the pointer back to the version before, or to the one that ``ref`` names."""
        return await self._swapper.rollback(ref, workspace=workspace, actor=actor.actor)

    async def uninstall(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Principal, force: bool = False) -> None:
        """Remove one version, or a whole skill; ``force`` also where agents are pinned to it."""
        await self._swapper.uninstall(ref, workspace=workspace, actor=actor.actor, force=force)

    async def skills(self, workspace: WorkspaceId, *, after: int = 0, limit: int = 100) -> tuple[SkillSummary, ...]:
        """Installed skills in the order of their ids, beginning behind ``after``."""
        async with self.database.reading() as session:
            return await store.summaries(session, workspace, after=after, limit=limit)

    async def version(self, workspace: WorkspaceId, ref: SkillRef) -> InstalledVersion:
        """One installed version; raises ``NotFoundError``."""
        return (await self.views.current(workspace)).find(ref)

    # Calling

    @property
    def uploads(self) -> Path:
        """Where input of calls lies on its way in: folders named after the lease of the process that took it."""
        return self.settings.home / "uploads"

    async def granted(self, ref: SkillRef, agent: Agent) -> Granted | None:
        """What a call would be granted as things stand; ``None`` where it would not run."""
        view = await self.views.latest(agent.workspace)
        try:
            decision = self.decider.decide(view, agent.id, view.find_for(agent.id, ref))
        except NotFoundError:
            return None
        return decision.granted if isinstance(decision, Allow) else None

    async def invoke(
        self, request: InvokeRequest, on_output: OutputSink = discard, on_admitted: OnAdmitted = unheard
    ) -> Invocation:
        """Run one call; see ``invoke.Invoker``. Raises ``LeaseLapsedError`` where others may have ended our calls."""
        self.upkeep.tenure.require()
        return await self._invoker.invoke(request, on_output, on_admitted)

    async def cancel(self, invocation: InvocationId, *, principal: Principal) -> InvocationSummary:
        """End a call before its time; see ``cancel.Canceller``."""
        return await self._canceller.cancel(invocation, principal)

    async def artefact(
        self, workspace: WorkspaceId, invocation: InvocationId, path: str
    ) -> tuple[files.CallFile, Path]:
        """A file that a call left, and where it is kept.

        Raises ``NotFoundError``, also for a call of another workspace, and ``ArtefactExpiredError``.
        """
        async with self.database.reading() as session:
            await get_invocation(session, workspace, invocation)
            file = await files.call_file(session, workspace, invocation, path)
        return file, await files.location_of(file, self._artefacts / invocation)

    # Governing

    async def request_approval(self, agent: Agent, version: InstalledVersion) -> ApprovalId | None:
        """The request for what keeps an agent from calling a version; ``None`` where no approval is what it lacks."""
        while True:
            view = await self.views.current(version.workspace)
            hold = self.decider.decide(view, agent.id, version)
            if not isinstance(hold, Hold):
                return None
            asked = await self._approver.request(agent, version, hold, seen=view.epoch)
            if not isinstance(asked, StaleEpoch):
                return asked

    async def approve(
        self,
        approval: ApprovalId,
        *,
        person: PersonPrincipal,
        min_maturity: Maturity | None = None,
        comment: str | None = None,
        expires_at: datetime | None = None,
        fetch_ahead: bool = True,
    ) -> ApprovalRequest:
        """Approve the whole lock that a request is about."""
        return await self._approver.approve(
            approval,
            workspace=person.workspace,
            by=person.person.id,
            min_maturity=min_maturity,
            comment=comment,
            expires_at=expires_at,
            fetch_ahead=fetch_ahead,
        )

    async def deny(
        self, approval: ApprovalId, *, person: PersonPrincipal, comment: str | None = None
    ) -> ApprovalRequest:
        return await self._approver.deny(approval, workspace=person.workspace, by=person.person.id, comment=comment)

    async def revoke_approval(self, approval: ApprovalId, *, person: PersonPrincipal, reason: str) -> ApprovalRequest:
        return await self._approver.revoke(approval, workspace=person.workspace, by=person.person.id, reason=reason)

    async def add_rule(self, draft: RuleDraft, *, person: PersonPrincipal) -> PackageRule:
        """Approve or ban packages by name and specifier; a ban stops running sandboxes that hold them."""
        return await self._approver.add_rule(draft, workspace=person.workspace, by=person.person.id)

    async def revoke_rule(self, rule: RuleId, *, person: PersonPrincipal) -> PackageRule:
        return await self._approver.revoke_rule(rule, workspace=person.workspace, by=person.person.id)

    async def unban(
        self, ecosystem: Ecosystem, name: str, *, person: PersonPrincipal, specifier: str | None = None
    ) -> tuple[PackageRule, ...]:
        return await self._approver.unban(
            ecosystem, name, specifier=specifier, workspace=person.workspace, by=person.person.id
        )

    async def update_advisories(
        self, source: AdvisorySource, *, replace: bool = False, on_progress: OnProgress = unobserved
    ) -> Rescanned:
        """Bring in new advisories and rescan every installed version."""
        return await self._rescanner.update(source, replace=replace, on_progress=on_progress)

    async def verify_audit(self, workspace: WorkspaceId) -> Verification:
        """Check the workspace's whole audit chain."""
        async with self.database.reading() as session:
            return await audit.verify(session, workspace)
