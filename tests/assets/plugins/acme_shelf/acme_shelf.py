"""A protocol of a third party: marketplaces that it speaks to have one skill each, named after their host."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

from skillyard.marketplace_sync.catalogue.documents import SkillDocument, moment
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.remotes.remote import ChangePage, Remote, RemoteMarket
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace, MemoryRemote
from skillyard.settings import Settings


class Shelf(MemoryRemote):
    def __init__(self, market: MemoryMarketplace, host: str) -> None:
        super().__init__(market)
        self._skill = Change(
            EntryId(EntryKind.SKILL, f"shelf/at-{host.replace('.', '-')}"),
            SkillDocument(description="Stands on a shelf.", updated_at=moment(datetime(2026, 1, 1, tzinfo=UTC))).text,
        )

    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> ChangePage:
        await self._market.write(self._skill)
        return await super().changes(cursor, limit=limit, wait=wait)


class Opener:
    def __init__(self) -> None:
        self._markets: dict[str, MemoryMarketplace] = {}

    def open(self, market: RemoteMarket) -> Remote:
        host = urlsplit(market.url).hostname or ""
        return Shelf(self._markets.setdefault(host, MemoryMarketplace()), host)

    async def close(self) -> None:
        self._markets.clear()


def create_opener(settings: Settings) -> Opener:
    assert isinstance(settings, Settings)
    return Opener()
