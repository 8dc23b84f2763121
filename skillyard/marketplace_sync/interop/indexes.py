"""The indexes that others read, made from what search lists, and the digests of the archives that they name.

Neither format has pages, so an index holds the ``MOST`` skills that are installed most; each publisher has one of
their own. Names in one index are unique, as the format wants: of two skills of one name the first one here has it, and
the other is in its publisher's index.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import quote

import orjson
import structlog

from skillyard.database import Database
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.hub.hub import Hub
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Listing, Query, Sort
from skillyard.settings import Settings

MOST = 1000
SCHEMA = "https://schemas.agentskills.io/discovery/0.2.0/schema.json"
ARCHIVES = "/.well-known/agent-skills"

_PAGE = 100
_KEPT_INDEXES = 64
_MISSING_SECONDS = 60.0
_TOLD = 10
_log = structlog.get_logger("skillyard.marketplace")


@dataclass(frozen=True, slots=True)
class Offered:
    """A skill as an index offers it: its latest version as an archive with a digest."""

    listing: Listing
    digest: str
    path: str


@dataclass(frozen=True, slots=True)
class _Made:
    """An index of a state of the catalogue. It counts until a moment, on the clock of ``time.monotonic``: what lacks
    something that another server has to tell of counts for a while."""

    state: object
    offered: tuple[Offered, ...]
    until: float


class Indexes:
    """Both indexes. What was made is kept until the catalogue changes."""

    def __init__(self, *, database: Database, search: SearchIndex, hub: Hub, settings: Settings) -> None:
        self._database = database
        self._search = search
        self._hub = hub
        self._name = settings.marketplace_name
        self._origin = (settings.marketplace_url or "").rstrip("/")
        self._one_at_a_time = asyncio.Lock()
        self._main: _Made | None = None
        self._of_publishers: OrderedDict[str, _Made] = OrderedDict()

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

    async def claude(self) -> bytes:
        """A Claude-style ``marketplace.json``. Its addresses are absolute where a setting says where this server is: a
        request cannot be believed, and behind a proxy does not know."""
        plugins = [
            {
                "name": one.listing.name,
                "description": one.listing.description,
                "version": one.listing.version,
                "author": {"name": one.listing.publisher},
                "keywords": list(one.listing.labelled("topic")),
                "strict": False,
                "skills": ["./"],
                "source": {"source": "archive", "url": f"{self._origin}{one.path}", "sha256": one.digest},
            }
            for one in await self._offered(None)
        ]
        return orjson.dumps({"name": self._name, "owner": {"name": self._name}, "plugins": plugins})

    async def _offered(self, publisher: str | None) -> tuple[Offered, ...]:
        async with self._one_at_a_time:
            async with self._database.reading() as session:
                state = await store.own_state(session)
            made = self._main if publisher is None else self._of_publishers.get(publisher)
            if made is None or made.state != state or made.until < time.monotonic():
                made = await self._make(publisher, state)
            self._keep(publisher, made)
            return made.offered

    def _keep(self, publisher: str | None, made: _Made) -> None:
        """Who asks for publishers that there are not, or for many, takes nothing from the index of all."""
        if publisher is None:
            self._main = made
            return
        self._of_publishers.pop(publisher, None)
        if made.offered:
            self._of_publishers[publisher] = made
            while len(self._of_publishers) > _KEPT_INDEXES:
                self._of_publishers.popitem(last=False)

    async def _make(self, publisher: str | None, state: object) -> _Made:
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
        by_version = {f"{one.key}@{one.version}": one for one in listings.values()}
        digests = await self._hub.archives.digests(by_version)
        offered = tuple(_offer(one, digests[key]) for key, one in by_version.items() if key in digests)
        missing = sorted(by_version.keys() - digests.keys())
        if missing:
            _log.warning("versions_not_offered", versions=missing[:_TOLD], count=len(missing))
        return _Made(state, offered, time.monotonic() + _MISSING_SECONDS if missing else math.inf)


def _offer(listing: Listing, digest: str) -> Offered:
    version = quote(str(listing.version), safe="")
    return Offered(listing, digest, f"{ARCHIVES}/{listing.key}/{version}/{digest}.tar.gz")
