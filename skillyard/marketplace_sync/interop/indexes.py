"""The indexes that others read, made from what search lists, and the archives that they name.

Neither format has pages, so an index holds the ``MOST`` skills that are installed most; each publisher has one of
their own. Names in one index are unique, as the format wants: of two skills of one name the first one here has it, and
the other is in its publisher's index.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson
import structlog

from skillyard.database import Database
from skillyard.errors import MachineError, NotFoundError
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import VersionDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.hub.hub import Hub
from skillyard.marketplace_sync.interop import archive
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Listing, Query, Sort
from skillyard.skills.skill import Bundle

MOST = 1000
SCHEMA = "https://schemas.agentskills.io/discovery/0.2.0/schema.json"
ARCHIVES = "/.well-known/agent-skills"

_PAGE = 100
_KEPT_INDEXES = 64
_KEPT_DIGESTS = 20_000
_log = structlog.get_logger("skillyard.marketplace")


@dataclass(frozen=True, slots=True)
class Offered:
    """A skill as an index offers it: its latest version as an archive with a digest."""

    listing: Listing
    digest: str
    path: str


class Indexes:
    """Both indexes. What was made is kept until the catalogue changes."""

    def __init__(self, *, database: Database, search: SearchIndex, hub: Hub, name: str) -> None:
        """``name`` is what the marketplace calls itself."""
        self._database = database
        self._search = search
        self._hub = hub
        self._name = name
        self._one_at_a_time = asyncio.Lock()
        self._made: OrderedDict[tuple[object, str | None], tuple[Offered, ...]] = OrderedDict()
        self._digests: OrderedDict[str, str] = OrderedDict()

    async def well_known(self, publisher: str | None = None) -> bytes:
        """The index of Agent Skills discovery, version 0.2.0, as JSON; of one publisher, where one is named."""
        skills = [
            {
                "name": one.listing.name,
                "type": "archive",
                "description": one.listing.description,
                "url": one.path,
                "digest": f"sha256:{one.digest}",
            }
            for one in await self._offered(publisher)
        ]
        return orjson.dumps({"$schema": SCHEMA, "skills": skills})

    async def claude(self, origin: str) -> bytes:
        """A Claude-style ``marketplace.json``. ``origin`` is where this server is, for addresses are absolute there."""
        plugins = [
            {
                "name": one.listing.name,
                "description": one.listing.description,
                "version": one.listing.version,
                "author": {"name": one.listing.publisher},
                "keywords": list(one.listing.labelled("topic")),
                "strict": False,
                "skills": ["./"],
                "source": {"source": "archive", "url": f"{origin}{one.path}", "sha256": one.digest},
            }
            for one in await self._offered(None)
        ]
        return orjson.dumps({"name": self._name, "owner": {"name": self._name}, "plugins": plugins})

    async def archive(self, key: str, digest: str) -> Iterator[bytes]:
        """A version's archive. Raises ``NotFoundError`` unless it may be installed and is what the digest names."""
        folder, bundle = await self._hub.files.folder(key)
        if await self._digest(folder, bundle) != digest:
            raise NotFoundError(f"there is no archive of {key} with this digest")
        return archive.chunks(folder, bundle)

    async def _offered(self, publisher: str | None) -> tuple[Offered, ...]:
        async with self._one_at_a_time:
            async with self._database.reading() as session:
                state = await store.own_state(session)
            key = (state, publisher)
            if key not in self._made:
                self._made[key] = await self._make(publisher)
                while len(self._made) > _KEPT_INDEXES:
                    self._made.popitem(last=False)
            return self._made[key]

    async def _make(self, publisher: str | None) -> tuple[Offered, ...]:
        listings: dict[str, Listing] = {}
        cursor: str | None = None
        for _ in range(MOST // _PAGE):
            query = Query(publisher=publisher, sort=Sort.INSTALLS, limit=_PAGE, cursor=cursor, facets=False)
            page = await self._search.search([self._hub.catalogue], query)
            for one in page.items:
                if one.name not in listings or one.id < listings[one.name].id:
                    listings[one.name] = one
            cursor = page.next_cursor
            if cursor is None:
                break
        offered = [await self._offer(one) for one in listings.values()]
        return tuple(one for one in offered if one is not None)

    async def _offer(self, listing: Listing) -> Offered | None:
        key = f"{listing.key}@{listing.version}"
        try:
            async with self._database.reading() as session:
                entry = await store.get(session, self._hub.catalogue, EntryId(EntryKind.VERSION, key))
            if entry is None or entry.document is None:
                return None  # taken away since the page was read
            digest = self._digests.get(read_document(VersionDocument, entry.document).bundle)
            if digest is None:
                digest = await self._digest(*await self._hub.files.folder(key))
        except NotFoundError:
            return None
        except MachineError as error:
            _log.warning("version_not_offered", version=key, reason=str(error))
            return None
        version = quote(str(listing.version), safe="")
        return Offered(listing, digest, f"{ARCHIVES}/{listing.key}/{version}/{digest}.tar.gz")

    async def _digest(self, folder: Path, bundle: Bundle) -> str:
        known = self._digests.get(bundle.digest)
        if known is None:
            known = self._digests[bundle.digest] = await asyncio.to_thread(archive.digest, folder, bundle)
            while len(self._digests) > _KEPT_DIGESTS:
                self._digests.popitem(last=False)
        return known
