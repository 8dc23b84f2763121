"""The hub as one value: what this instance publishes, to its own people and to whoever follows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import PersonPrincipal
from skillyard.governance.report import Report
from skillyard.marketplace_sync import revocations
from skillyard.marketplace_sync.catalogue.documents import Deprecation, ModerationState, SkillDocument, checked
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry
from skillyard.marketplace_sync.catalogue.store import Projection
from skillyard.marketplace_sync.hub.archives import Archives
from skillyard.marketplace_sync.hub.categories import Categories
from skillyard.marketplace_sync.hub.edits import Edits
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.incoming import Incoming
from skillyard.marketplace_sync.hub.latest import Latest
from skillyard.marketplace_sync.hub.listing import Listing
from skillyard.marketplace_sync.hub.moderation import Moderated, Moderation
from skillyard.marketplace_sync.hub.namespaces import Namespaces
from skillyard.marketplace_sync.hub.publish import Publishing
from skillyard.marketplace_sync.hub.push import Push
from skillyard.marketplace_sync.hub.ratings import Ratings
from skillyard.marketplace_sync.hub.tokens import InstanceTokens
from skillyard.marketplace_sync.hub.values import Sender
from skillyard.marketplace_sync.hub.versions import VersionFiles
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.runtime.runtime import Runtime
from skillyard.skills.bundle_store import BundleStore


def unheard() -> None:
    """The null listener."""


class Hub:
    """Use cases of the hub. ``files``, ``archives``, ``namespaces``, ``categories`` and ``tokens`` are parts with their
    own."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        search: Projection,
        metrics: SyncMetrics,
        on_change: Callable[[], None] = unheard,
    ) -> None:
        """``on_change`` is called when the catalogue was changed by this process."""
        settings, database = runtime.settings, runtime.database
        self._runtime = runtime
        self._ground = Ground(database=database, projection=search, on_change=on_change)
        folder = settings.home / "marketplace"
        self._incoming = Incoming(
            folder / "incoming",
            keep_seconds=settings.marketplace_incoming_hours * 3600,
            most_bytes=settings.marketplace_incoming_max_mib * 2**20,
        )
        self.files = VersionFiles(
            database=database,
            ground=self._ground,
            bundles=BundleStore(folder / "bundles"),
            incoming=self._incoming,
        )
        self.archives = Archives(database=database, files=self.files)
        self.namespaces = Namespaces(database=database, ground=self._ground)
        self.categories = Categories(database=database, ground=self._ground)
        self.tokens = InstanceTokens(database=database)
        latest = Latest(ground=self._ground, files=self.files)
        self._moderation = Moderation(runtime=runtime, ground=self._ground, latest=latest)
        self._edits = Edits(ground=self._ground, latest=latest)
        self._ratings = Ratings(ground=self._ground, metrics=metrics)
        self._push = Push(
            database=database,
            ground=self._ground,
            publishing=Publishing(
                runtime=runtime,
                ground=self._ground,
                files=self.files,
                listing=Listing(ground=self._ground, latest=latest),
            ),
            edits=self._edits,
            ratings=self._ratings,
            moderation=self._moderation,
        )
        self.push = self._push.take

    async def begin(self) -> None:
        """Make the own catalogue where there is none, forget uploads whose time is over."""
        await self._ground.begin()
        await asyncio.to_thread(self._incoming.sweep, time.time())

    @property
    def catalogue(self) -> CatalogueId:
        """The own one."""
        return self._ground.id

    # Files that come ahead of a publication

    async def begun(self, sha256: str, *, sender: Sender) -> tuple[int, bool]:
        """How many bytes of a file came so far, and whether that is all of it."""
        return await asyncio.to_thread(self._incoming.begun, sha256, workspace=sender.workspace, sender=sender.id)

    async def receive(
        self, sha256: str, chunks: AsyncIterator[bytes], *, sender: Sender, offset: int = 0, size: int | None = None
    ) -> bool:
        """Keep a file for a publication; see ``Incoming.take``. For those who may publish somewhere."""
        async with self._runtime.database.reading() as session:
            await self._ground.require_publisher(session, sender)
        return await self._incoming.take(
            sha256, chunks, workspace=sender.workspace, sender=sender.id, offset=offset, size=size
        )

    # What publishers say

    async def edit(self, sender: Sender, key: str, wanted: SkillDocument, *, base_rev: int) -> Entry:
        """See ``Edits.replace``."""
        async with self._runtime.database.transaction() as session:
            entry, _ = await self._edits.replace(session, sender, key, wanted, base_rev=base_rev)
        return entry

    async def set_channel(self, sender: Sender, key: str, channel: str, number: str | None) -> Entry:
        """Move a channel to a version; without one, take the channel away."""

        def edit(before: SkillDocument) -> SkillDocument:
            channels = {name: at for name, at in before.channels.items() if name != channel}
            if number is not None:
                channels[channel] = number
            return checked(SkillDocument, {**before.model_dump(), "channels": channels})

        async with self._runtime.database.transaction() as session:
            entry, _ = await self._edits.change(session, sender, key, edit)
        return entry

    async def deprecate(self, sender: Sender, key: str, word: Deprecation | None) -> Entry:
        """Say that a skill should not be used any more; ``None`` takes that back."""
        async with self._runtime.database.transaction() as session:
            entry, _ = await self._edits.change(
                session, sender, key, lambda before: before.model_copy(update={"deprecated": word})
            )
        return entry

    async def report(self, key: str) -> Report:
        """The report that a version was published with. Raises ``NotFoundError``."""
        async with self._runtime.database.reading() as session:
            return await self.files.report(session, key)

    async def say(self, sender: Sender, key: str, state: ModerationState, reason: str) -> Moderated:
        """A publisher yanks or deletes what is theirs, or takes a yank back; see ``Moderation.by_publisher``."""
        async with self._runtime.database.transaction() as session:
            said = await self._moderation.by_publisher(session, sender, key, state, reason)
        await revocations.enforce(self._runtime, said.stopped)
        return said

    async def moderate(self, key: str, state: ModerationState, reason: str, *, by: Administrator) -> Moderated:
        """See ``Moderation.moderate``."""
        return await self._moderation.moderate(key, state, reason, by=by)

    async def words(
        self, *, after: str, limit: int, state: ModerationState | None
    ) -> tuple[tuple[Entry, ...], str | None]:
        """Moderation entries by key, beginning behind ``after``; see ``Moderation.page``."""
        async with self._runtime.database.reading() as session:
            return await self._moderation.page(session, after=after, limit=limit, state=state)

    # What people of this hub think of a skill

    async def rate(self, person: PersonPrincipal, skill: str, stars: int, review: str) -> Entry:
        """See ``Ratings.rate``."""
        async with self._runtime.database.transaction() as session:
            return await self._ratings.rate(session, person, skill, stars, review)

    async def take_back(self, person: PersonPrincipal, skill: str) -> None:
        async with self._runtime.database.transaction() as session:
            await self._ratings.take_back(session, person, skill)

    async def strike(self, key: str, reason: str, *, by: Administrator) -> None:
        async with self._runtime.database.transaction() as session:
            await self._ratings.strike(session, key, reason, by=by)

    async def lift(self, key: str, reason: str, *, by: Administrator) -> None:
        """See ``Ratings.lift``."""
        async with self._runtime.database.transaction() as session:
            await self._ratings.lift(session, key, reason, by=by)
