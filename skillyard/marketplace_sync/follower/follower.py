"""Following remotes: the use cases of this room over one runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from skillyard.errors import NotFoundError, SkillyardError
from skillyard.governance import workspaces
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue import store as entries_of
from skillyard.marketplace_sync.catalogue.store import Projection
from skillyard.marketplace_sync.follower import store
from skillyard.marketplace_sync.follower.address import parse_remote_address
from skillyard.marketplace_sync.follower.choice import choose
from skillyard.marketplace_sync.follower.offline import Offline
from skillyard.marketplace_sync.follower.run import Run
from skillyard.marketplace_sync.follower.signers import Signers
from skillyard.marketplace_sync.follower.source import RemoteSource
from skillyard.marketplace_sync.follower.taking import EntryListener
from skillyard.marketplace_sync.follower.values import MirrorPhase, MirrorState, SetAsideItem, SyncReport
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import Remote, RemoteId, RemoteMarket
from skillyard.marketplace_sync.remotes.remotes import Remotes
from skillyard.marketplace_sync.revocations import enforce
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import SkillRef
from skillyard.skills.skill import Bundle
from skillyard.times import utcnow


class Follower:
    """Keeps mirrors of remotes. Holds no state of its own: runs of several processes do not disturb one another."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        remotes: Remotes,
        projection: Projection,
        listener: EntryListener,
        metrics: SyncMetrics,
    ) -> None:
        self._runtime = runtime
        self._database = runtime.database
        self._oldest = timedelta(hours=runtime.settings.marketplace_mirror_hours)
        self._remotes = remotes
        self._projection = projection
        self._listener = listener
        self._metrics = metrics
        self.signers = Signers(database=runtime.database)
        self.offline = Offline(runtime=runtime)

    async def sync(self, remote: RemoteMarket) -> SyncReport:
        """Read a remote to its head. Raises ``RemoteError`` and its kinds, ``FeedTrustError`` among them; what was
        applied until then stays, and how the run ended is recorded either way."""
        begun = time.monotonic()
        label = await self._label(remote)
        client: Remote | None = None
        try:
            client = self._remotes.client(remote)
            run = Run(
                remote,
                client,
                database=self._database,
                projection=self._projection,
                listener=self._listener,
                on_stopped=self._enforce,
            )
            report = await run.to_the_head()
        except Exception as error:
            # Whatever it is, the run failed, and who looks at the remote has to see that.
            self._metrics.sync_ended(label, time.monotonic() - begun, at=None)
            shown = str(error) if isinstance(error, SkillyardError) else f"something went wrong: {type(error).__name__}"
            await self._remotes.record(remote, error=shown)
            await self._settle(remote)
            raise
        finally:
            if client is not None:
                await client.close()
        await self._remotes.record(remote, error=None)
        self._metrics.sync_ended(label, time.monotonic() - begun, at=time.time())
        for _ in range(run.tally.ahead):
            self._metrics.stamp_clamped(label)
        return report

    async def cut_short(self, remote: RemoteId, error: SkillyardError) -> None:
        """A run was ended from outside, because it took longer than runs may: it failed like any other."""
        try:
            market = await self._remotes.find(remote)
        except NotFoundError:
            return
        self._metrics.sync_ended(await self._label(market), self._runtime.settings.sync_run_timeout, at=None)
        await self._remotes.record(market, error=str(error))
        await self._settle(market)

    async def _settle(self, remote: RemoteMarket) -> None:
        """What a run took before it failed is searched as fast as anything."""
        async with self._database.transaction() as session:
            await self._projection.settled(session, remote.catalogue)

    async def forget(self) -> None:
        """Deletions of mirrors that are older than they are kept: whoever follows is told of them once."""
        before = utcnow() - timedelta(days=self._runtime.settings.marketplace_tombstone_days)
        async with self._database.reading() as session:
            markets = await remote_store.list_remotes(session, None)
        for market in markets:
            async with self._database.transaction() as session:
                mirror = await store.mirror_of(session, market.id)
                # While everything is read again, nothing but what was read tells what is gone.
                if mirror is not None and mirror.phase is MirrorPhase.FEED:
                    catalogue = await entries_of.find(session, market.catalogue)
                    await entries_of.purge(session, catalogue, deleted_before=before)

    async def mirror(self, workspace: WorkspaceId, name: str) -> MirrorState:
        """How fresh a mirror is, and what is in it. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            remote = await remote_store.get(session, workspace, name)
            mirror = await store.mirror_of(session, remote.id)
            catalogue = await entries_of.find(session, remote.catalogue)
            counts, without = await store.live_counts(session, remote.catalogue)
            believed = None if mirror is None else mirror.believed
            return MirrorState(
                remote=remote.name,
                phase=None if mirror is None else mirror.phase,
                feed_id=catalogue.feed_id,
                epoch=catalogue.epoch,
                seq=catalogue.seq,
                head_seq=None if believed is None else believed.seq,
                live=catalogue.live,
                counts=counts,
                without_document=without,
                set_aside=await store.count_set_aside(session, remote.id),
                words=await store.count_words(session, remote.id),
                as_of=None if believed is None else believed.issued_at,
                checked_at=None if mirror is None else mirror.checked_at,
                succeeded_at=remote.succeeded_at,
            )

    async def set_aside(
        self, workspace: WorkspaceId, name: str, *, after: int = 0, limit: int = 100
    ) -> tuple[SetAsideItem, ...]:
        """What of a remote could not be taken, and why. Raises ``NotFoundError``."""
        async with self._database.reading() as session:
            remote = await remote_store.get(session, workspace, name)
            return await store.set_aside_page(session, remote.id, after=after, limit=limit)

    async def source(self, workspace: WorkspaceId, text: str) -> tuple[RemoteSource, str]:
        """What is to be installed, by an address (``follower.address``), and the publisher that it is kept under.

        The mirror says what is meant and whether it may be installed, and the publisher's signature is checked, before
        anything is fetched. Raises ``InputError``, ``NotFoundError``, ``NotInstallableError``, ``SignerError``.
        """
        address = parse_remote_address(text)
        async with self._database.reading() as session:
            choice = await choose(session, workspace, address, oldest=self._oldest)
            known = await store.installed_bundles(session, workspace, SkillRef(choice.publisher, choice.name))
        await self.signers.require(choice)
        here = await asyncio.to_thread(self._files_here, known)
        return RemoteSource(choice, connect=self._remotes.client, here=here), choice.publisher

    def _files_here(self, known: Sequence[Bundle]) -> dict[str, Path]:
        """Files of versions that are installed here, by SHA-256. What they hold is checked when the whole is."""
        bundles = self._runtime.bundles
        return {
            file.sha256: bundles.path(bundle.digest) / file.path
            for bundle in known
            if bundles.has(bundle.digest)
            for file in bundle.files
        }

    async def _enforce(self, stopped: Stopped) -> None:
        await enforce(self._runtime, stopped.versions)

    async def _label(self, remote: RemoteMarket) -> str:
        async with self._database.reading() as session:
            workspace = await workspaces.get(session, remote.workspace)
        return f"{workspace.name}/{remote.name}"
