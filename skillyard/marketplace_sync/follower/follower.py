"""Following remotes: the use cases of this room over one runtime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from skillyard.errors import SkillyardError
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
from skillyard.marketplace_sync.follower.values import MirrorState, SetAsideItem, SyncReport
from skillyard.marketplace_sync.follower.words import Stopped
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.remotes.remotes import Remotes
from skillyard.marketplace_sync.revocations import enforce
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.values import SkillRef
from skillyard.skills.skill import Bundle


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
        client = self._remotes.client(remote)
        try:
            run = Run(
                remote.id,
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
            raise
        finally:
            await client.close()
        await self._remotes.record(remote, error=None)
        self._metrics.sync_ended(label, time.monotonic() - begun, at=time.time())
        for _ in range(run.tally.ahead):
            self._metrics.stamp_clamped(label)
        return report

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
            choice = await choose(session, workspace, address)
            known = await store.installed_bundles(session, workspace, SkillRef(choice.publisher, choice.name))
        await self.signers.require(choice)
        here = await asyncio.to_thread(self._files_here, known)
        return RemoteSource(choice, remotes=self._remotes, here=here), choice.publisher

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
        await enforce(self._runtime, stopped.versions, reason=stopped.reason)

    async def _label(self, remote: RemoteMarket) -> str:
        async with self._database.reading() as session:
            workspace = await workspaces.get(session, remote.workspace)
        return f"{workspace.name}/{remote.name}"
