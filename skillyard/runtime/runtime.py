"""The runtime as one value, and the composition root that makes it from settings.

``create_runtime`` is the only place that knows which implementation serves which seam. The methods here only pass on:
each use case lives in a module of its own, named after it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from skillyard.database import Database, listen, migrate, open_database
from skillyard.errors import NotFoundError
from skillyard.governance import tokens
from skillyard.governance.administrators import Authority
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.approval_terms import ApprovalTerms
from skillyard.governance.decision import Agent, Allow
from skillyard.governance.identity import Principal
from skillyard.governance.policy import Policy
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime import files, lapses, rescan, waiting, webhooks
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.advisory_updates import AdvisoryUpdates
from skillyard.runtime.agents import Agents
from skillyard.runtime.approve import Approver
from skillyard.runtime.audit_log import AuditLog
from skillyard.runtime.cancel import Canceller
from skillyard.runtime.decide import Decider
from skillyard.runtime.endings import Endings
from skillyard.runtime.enforce import Enforcer
from skillyard.runtime.events import EventBus
from skillyard.runtime.follow import RuleFollower
from skillyard.runtime.install import Installer, KnownLocks, Prepared
from skillyard.runtime.instance import Lease, home_id, take_lease
from skillyard.runtime.invocations import InvocationSummary, get_invocation
from skillyard.runtime.invoke import Invoker
from skillyard.runtime.kept_locks import active_locks
from skillyard.runtime.lapses import Lapses
from skillyard.runtime.ledger import PoolLimits
from skillyard.runtime.listing import Listing
from skillyard.runtime.open_calls import OnAdmitted, OpenCalls, unheard
from skillyard.runtime.packages import Packages
from skillyard.runtime.pins import Pins
from skillyard.runtime.pool import Pool
from skillyard.runtime.quarantine import Quarantine
from skillyard.runtime.quotas import QuotaBook
from skillyard.runtime.rescan import Rescanner
from skillyard.runtime.review import Reviewer
from skillyard.runtime.rule_impact import Foresight
from skillyard.runtime.seams import Seams, load_seams
from skillyard.runtime.start import Starter
from skillyard.runtime.storage_room import StorageRoom
from skillyard.runtime.supervision import Supervision
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
from skillyard.runtime.waiting import OnHeld, WaitingRoom, unheld
from skillyard.runtime.waivers import Waivers
from skillyard.runtime.warm import ActiveVersions
from skillyard.runtime.watch import Chore, Watch
from skillyard.runtime.webhooks import Webhooks
from skillyard.runtime.workspaces import Workspaces
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.sandbox.sandbox import OutputSink, discard
from skillyard.settings import Settings
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.lock import Lock
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.times import utcnow

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
        database = await open_database(settings.database, readers=settings.database_readers)
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
        self.audit = AuditLog(settings=settings, database=database)
        self.decider = Decider(policy=policy)
        enforcer = self.enforcer = Enforcer(views=self.views, decider=self.decider, pool=self.pool, events=self.events)
        self.waivers = Waivers(database=database, views=self.views, enforcer=enforcer)
        self.workspaces = Workspaces(database=database, enforcer=enforcer)
        self.quotas = QuotaBook(database=database, pool=self.pool, defaults=settings, enforcer=enforcer)
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
        self._writer = AdmissionWriter(open_journal(database.location, instance=lease.id))
        self._endings = Endings(
            writer=self._writer, events=self.events, keep_files=timedelta(days=settings.artefact_retention_days)
        )
        self.calls = OpenCalls()
        self.agents = Agents(database=database, calls=self.calls)
        self.supervision = Supervision(settings=settings, database=database, calls=self.calls, home_id=instance)
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
        follower = RuleFollower(views=self.views)
        self.approver = Approver(
            database=database,
            views=self.views,
            decider=self.decider,
            enforcer=enforcer,
            starter=self.starter,
            follower=follower,
            terms=ApprovalTerms.from_settings(settings, second_person=policy.second_person),
        )
        self.packages = Packages(
            database=database,
            views=self.views,
            follower=follower,
            enforcer=enforcer,
            foresight=Foresight(views=self.views, policy=policy),
            terms=self.approver.terms,
        )
        self._listing = Listing(database=database, views=self.views, policy=policy.scan)
        self.reviewer = Reviewer(database=database, views=self.views, terms=self.approver.terms, policy=policy.scan)
        self.webhooks = Webhooks(database=database, settings=settings, lease=lease.id)
        self._lapses = Lapses(database=database, terms=self.approver.terms)
        self.waiting = WaitingRoom(
            database=database,
            longest=settings.approval_wait_max,
            most_per_workspace=settings.max_waiting_for_approval,
            require_lease=self.upkeep.tenure.require,
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
            approver=self.approver,
            writer=self._writer,
            pool=self.pool,
            starter=self.starter,
            bundles=self.bundles,
            artefacts=self._artefacts,
            staged_as=staging / lease.id,
            endings=self._endings,
            calls=self.calls,
            recorder=self.supervision.recorder,
            waiting=self.waiting,
            storage=StorageRoom(database=database),
        )
        self.rescanner = Rescanner(
            settings=settings,
            database=database,
            installer=self._installer,
            enforcer=enforcer,
            policy=policy.scan,
            events=self.events,
            lease=lease.id,
        )
        self.advisories = AdvisoryUpdates(settings=settings, rescanner=self.rescanner)
        self.quarantine = Quarantine(database=database, views=self.views, policy=policy.scan, events=self.events)
        self._watch = Watch(
            database=database,
            notices=listen(database.location),
            views=self.views,
            enforcer=enforcer,
            endings=self._endings,
            chores=(
                *self.upkeep.chores,
                *self.audit.chores,
                *self.supervision.chores,
                *self.advisories.chores,
                Chore("cancelling", _CANCEL_PERIOD, self._canceller.look, at_notices=True),
                Chore("waking_held_calls", waiting.LOOK_SECONDS, self.waiting.look, at_notices=True),
                Chore("rescanning", rescan.LOOK_SECONDS, self.rescanner.look),
                Chore("ending_requests", lapses.LOOK_SECONDS, self._lapses.look),
                Chore("delivering_webhooks", webhooks.LOOK_SECONDS, self.webhooks.look),
                Chore("forgetting_deliveries", webhooks.FORGET_SECONDS, self.webhooks.forget),
            ),
        )

    async def start(self, *, first_person: bool = True) -> None:
        """Make the first person where there is none, clean up after dead processes, begin to take calls."""
        self.first_token = None
        if first_person:
            async with self.database.transaction() as session:
                self.first_token = await tokens.first_start(session, utcnow())
        await self.audit.begin()
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
            last_first.push_async_callback(self.audit.end)
            last_first.push_async_callback(self._writer.close)
            last_first.push_async_callback(self._endings.retry)
            # The pool is closed by then, so that calls which nobody waits for have ended, or are about to.
            last_first.push_async_callback(self.calls.close)
            for worker in (self._swapper, self.pool, self.waiting, self.webhooks, self.approver, self._watch):
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
        resolve_anew: bool = True,
        on_progress: ProgressSink = silent,
    ) -> Prepared:
        """Fetch, parse, resolve and scan without installing; see ``Installer.prepare``."""
        return await self._installer.prepare(
            source, mode=mode, known_locks=known_locks, resolve_anew=resolve_anew, on_progress=on_progress
        )

    async def install(
        self,
        source: Source,
        *,
        workspace: WorkspaceId,
        publisher: str,
        actor: Authority,
        mode: ParseMode = ParseMode.LENIENT,
        on_progress: ProgressSink = silent,
    ) -> Installation:
        """Install a skill; see ``install.Installer``."""
        prepared = await self.prepare(source, mode=mode, on_progress=on_progress)
        return await self.install_prepared(
            prepared, workspace=workspace, publisher=publisher, actor=actor, upgrade=False
        )

    async def install_prepared(
        self, prepared: Prepared, *, workspace: WorkspaceId, publisher: str, actor: Authority, upgrade: bool
    ) -> Installation:
        """Store what ``prepare`` made."""
        return await self._installer.install(
            prepared, workspace=workspace, publisher=publisher, by=actor, upgrade=upgrade
        )

    async def upgrade(
        self,
        source: Source,
        *,
        workspace: WorkspaceId,
        publisher: str,
        actor: Authority,
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
        return await self._swapper.activate(installed.version.ref, workspace=workspace, by=actor)

    async def activate(
        self, ref: SkillRef, *, workspace: WorkspaceId, actor: Authority, on_progress: ProgressSink = silent
    ) -> Swap:
        """Move the pointer to an installed version."""
        return await self._swapper.activate(ref, workspace=workspace, by=actor, on_progress=on_progress)

    async def rollback(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Authority) -> Swap:
        """Move the pointer back to the version before, or to the one that ``ref`` names."""
        return await self._swapper.rollback(ref, workspace=workspace, by=actor)

    async def uninstall(self, ref: SkillRef, *, workspace: WorkspaceId, actor: Authority, force: bool = False) -> None:
        """Remove one version, or a whole skill; ``force`` also where agents are pinned to it."""
        await self._swapper.uninstall(ref, workspace=workspace, by=actor, force=force)

    async def skills(self, workspace: WorkspaceId, *, after: int = 0, limit: int = 100) -> tuple[SkillSummary, ...]:
        """Installed skills in the order of their ids, beginning behind ``after``."""
        return await self._listing.skills(workspace, after=after, limit=limit)

    async def version(self, workspace: WorkspaceId, ref: SkillRef) -> InstalledVersion:
        """One installed version; raises ``NotFoundError``."""
        return await self._listing.version(workspace, ref)

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
        self,
        request: InvokeRequest,
        on_output: OutputSink = discard,
        on_admitted: OnAdmitted = unheard,
        on_held: OnHeld = unheld,
    ) -> Invocation:
        """Run one call; see ``invoke.Invoker``. Raises ``LeaseLapsedError`` where others may have ended our calls."""
        self.upkeep.tenure.require()
        return await self._invoker.invoke(request, on_output, on_admitted, on_held)

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
