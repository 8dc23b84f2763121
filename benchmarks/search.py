"""Searching a catalogue of 100,000 skills, beside ``LIKE '%text%'`` over the same documents.

The words have the frequencies that words have (Zipf's law), and are kept by the same writing that a first sync uses;
``index_s`` is what the index took of that. As many changes wait to be settled as may wait. Then it is searched as
people search: a word of a name, two or three words of a description, beginnings and misspellings of names, filters,
other orders; each with its facets and a page of 20. ``LIKE`` is what a registry without an index does: a page of what
has the text in it, uncounted and in no order.

``python -m benchmarks.search [--skills N] [--queries N] [--engine sqlite|postgresql]`` tells the kinds apart.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice

import asyncpg
from skillyard.database import Database, Kind, Session, migrate, open_database
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    CountsDocument,
    Document,
    RatingDocument,
    SkillDocument,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Query, Sort
from skillyard.marketplace_sync.search.settling import FEW
from skillyard.skills.skill import Ecosystem, SkillKind
from sqlalchemy import text

from benchmarks.effort import FULL, Effort
from benchmarks.leftovers import prefix
from benchmarks.measure import percentile, typical
from benchmarks.postgres import postgres
from benchmarks.results import Result

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SYLLABLES = (  # noqa: SIM905 - lists of words are written as words
    "ba co da fe gi ho ju ka le mi no pa qui ro sa te ul va wo xi ya ze tra ple sto gra cli dex por min"
).split()
_KNOWN = (  # noqa: SIM905
    "the a to data file report with use when table text image convert csv json pdf api code test search "
    "email web chart summary extract format excel sql query review docker git cloud deploy monitor log "
    "parse clean merge split plot translate invoice budget calendar meeting notes slack jira release "
    "changelog security audit scan license model train evaluate prompt agent workflow schedule backup "
    "restore migrate database schema index cache queue stream video audio transcript caption font colour "
    "layout diagram slide template letter contract policy tax payroll"
).split()
_CATEGORIES = [f"{one}-tools" for one in _KNOWN[2:22]]
_PAGE = 1000
_WORDS = 30_000
_PEER = "LIKE '%text%'"
SKILLS, QUERIES, PEER_QUERIES = 100_000, 400, 20


class Vocabulary:
    """Words by how often they are used: the n-th most frequent is used 1/n as often as the first."""

    def __init__(self, size: int, seed: int) -> None:
        made = random.Random(seed)
        words = dict.fromkeys(_KNOWN)
        while len(words) < size:
            words["".join(made.choices(_SYLLABLES, k=made.randint(2, 4)))] = None
        self.words = list(words)
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(size)))

    def some(self, random_: random.Random, number: int) -> list[str]:
        return random_.choices(self.words, cum_weights=self._weights, k=number)


def entries(skills: int, vocabulary: Vocabulary, seed: int) -> Iterator[Entry]:
    """A catalogue in the order in which a hub got it: skills and versions, then what people made of them."""
    made = random.Random(seed)
    seq = 0

    def entry(kind: EntryKind, key: str, document: Document) -> Entry:
        nonlocal seq
        seq += 1
        id_, said = EntryId(kind, key), document.text
        return Entry(id_, seq, 1, said, entry_hash(id_, 1, said, deleted=False), False, _START)

    for number in range(skills):
        at = _START + timedelta(seconds=made.randrange(10_000_000))
        publisher = f"publisher-{int(made.paretovariate(1.1)) % (skills // 20 + 1)}"
        name = "-".join([*vocabulary.some(made, 2), made.choice(vocabulary.words)])
        key = f"{publisher}/{name[:50]}-{number % 997}"
        topics = tuple(dict.fromkeys(vocabulary.some(made, 4)))
        skill = SkillDocument(
            description=" ".join(vocabulary.some(made, made.randint(8, 30))),
            topics=topics,
            categories=tuple(dict.fromkeys(made.choices(_CATEGORIES, k=made.randint(1, 2)))),
            channels={"latest": "1.0.0"},
            body=" ".join(vocabulary.some(made, made.randint(60, 400))),
            updated_at=at,
        )
        digest = f"sha256:{number:064x}"
        version = VersionDocument(
            bundle=digest,
            bundle_bytes=4000,
            files=3,
            lock=digest,
            kind=made.choice(list(SkillKind)),
            ecosystems=tuple(Ecosystem)[: made.randint(0, 2)],
            verdict="PASS" if made.random() < 0.9 else "FLAG",
            scanned_at=at,
            published_at=at,
        )
        yield entry(EntryKind.SKILL, key, skill)
        yield entry(EntryKind.VERSION, f"{key}@1.0.0", version)
        if made.random() < 0.2:
            for rater in range(made.randint(1, 4)):
                stars = RatingDocument(
                    stars=made.randint(1, 5), stamp=f"{number:015d}-000000-benchmark", author="somebody", at=at
                )
                yield entry(EntryKind.RATING, f"{key}#benchmark/rater-{rater}", stars)
            counts = CountsDocument(installs=int(made.paretovariate(0.8)) % 10**6, calls=made.randrange(10**6), at=at)
            yield entry(EntryKind.COUNTS, f"{key}#benchmark", counts)


def queries(number: int, names: list[str], vocabulary: Vocabulary, seed: int) -> list[tuple[str, Query]]:
    """What people ask, each with the sort of question it is."""
    made = random.Random(seed)

    def word() -> str:
        return made.choice(made.choice(names).split("-")[:3])

    def misspelt() -> str:
        name = made.choice(names)
        at = made.randrange(1, len(name) - 2)
        return name[:at] + name[at + 1] + name[at] + name[at + 2 :]

    kinds: dict[str, tuple[int, Callable[[], Query]]] = {
        "one word": (30, lambda: Query(text=word())),
        "two words": (20, lambda: Query(text=f"{word()} {word()}")),
        "words of a text": (10, lambda: Query(text=" ".join(vocabulary.some(made, 3)))),
        "whole name": (8, lambda: Query(text=made.choice(names))),
        "beginning of a name": (8, lambda: Query(text=made.choice(names)[: made.randint(3, 8)])),
        "misspelt name": (4, lambda: Query(text=misspelt())),
        "everything": (5, Query),
        "a category": (5, lambda: Query(category=made.choice(_CATEGORIES), sort=made.choice(list(Sort)))),
        "word and filters": (5, lambda: Query(text=word(), verdict="PASS", category=made.choice(_CATEGORIES))),
        "word by column": (5, lambda: Query(text=word(), sort=made.choice([Sort.UPDATED, Sort.INSTALLS, Sort.RATING]))),
    }
    asked = made.choices(list(kinds), weights=[weight for weight, _ in kinds.values()], k=number)
    return [(kind, kinds[kind][1]()) for kind in asked]


class Timed:
    """The index, and how many seconds it took of a sync."""

    def __init__(self, index: SearchIndex) -> None:
        self._index = index
        self.seconds = 0.0

    async def changed(self, session: Session, catalogue: CatalogueId, entries: Sequence[Entry]) -> None:
        began = time.perf_counter()
        await self._index.changed(session, catalogue, entries)
        self.seconds += time.perf_counter() - began

    async def cleared(self, session: Session, catalogue: CatalogueId) -> None:
        await self._index.cleared(session, catalogue)

    async def settled(self, session: Session, catalogue: CatalogueId) -> None:
        began = time.perf_counter()
        await self._index.settled(session, catalogue)
        self.seconds += time.perf_counter() - began


async def measure(effort: Effort = FULL) -> Result:
    """All skills however small the effort: a scan of a quarter of them takes a quarter of the time."""
    with tempfile.TemporaryDirectory(prefix=prefix()) as folder:
        file = await _measured(f"sqlite+aiosqlite:///{folder}/skillyard.db", effort)
    with postgres() as url:
        server = await _measured(url, effort)
    return Result(
        name="search_100k",
        unit="ms",
        better="lower",
        ours={**file.ours, **{f"postgresql_{name}": value for name, value in server.ours.items()}},
        peers={_PEER: file.peer["p50"]},
        peer_figures={
            _PEER: {"p95": file.peer["p95"], **{f"postgresql_{name}": value for name, value in server.peer.items()}}
        },
        floor=None,
        rounds=effort.rounds,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one engine: milliseconds, and the seconds that the index took of a first sync."""

    ours: dict[str, float]
    peer: dict[str, float]


async def _measured(url: str, effort: Effort) -> Measured:
    async with _filled(url, SKILLS) as (database, index, catalogue, index_seconds):
        ours: list[list[float]] = []
        peer: list[list[float]] = []
        names, vocabulary = await _names(database), Vocabulary(_WORDS, seed=7)
        await asked(index, catalogue, queries(50, names, vocabulary, seed=3))  # connections and statements are there
        for number in range(effort.rounds):
            some = queries(effort.of(QUERIES), names, vocabulary, seed=4 + number)
            took = await asked(index, catalogue, some)
            ours.append([one for each in took.values() for one in each])
            words = [one for one in some if one[1].text]
            peer.append(await like(database, words[: effort.of(PEER_QUERIES)]))
    return Measured(
        ours={"p50": typical(ours, 0.5), "p95": typical(ours, 0.95), "index_s": round(index_seconds, 1)},
        peer={"p50": typical(peer, 0.5), "p95": typical(peer, 0.95)},
    )


@asynccontextmanager
async def _filled(url: str, skills: int) -> AsyncIterator[tuple[Database, SearchIndex, CatalogueId, float]]:
    """A database with a catalogue, searched by the index; and how many seconds that took."""
    await migrate(url)
    database = await open_database(url)
    try:
        index = SearchIndex(database)
        catalogue, seconds = await fill(database, index, skills)
        if database.kind is Kind.POSTGRESQL:
            # What autovacuum does by itself within a minute of a first sync.
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            await connection.execute("VACUUM ANALYZE")
            await connection.close()
        yield database, index, catalogue, seconds
    finally:
        await database.close()


async def fill(database: Database, index: SearchIndex, skills: int) -> tuple[CatalogueId, float]:
    """Keeps a catalogue, page by page as a follower does; and the seconds that the index took of it."""
    vocabulary, timed = Vocabulary(_WORDS, seed=7), Timed(index)
    async with database.transaction() as session:
        mirror = await store.own(session, at=_START)
    made = entries(skills, vocabulary, seed=1)
    while page := list(islice(made, _PAGE)):
        async with database.transaction() as session:
            mirror, _ = await store.apply(session, replace(mirror, seq=page[-1].seq), page, projection=timed)
    async with database.transaction() as session:
        await timed.settled(session, mirror.id)
    seconds = timed.seconds
    # As in everyday use, and as slow as it gets: as many changes wait as may wait.
    changed = [_described_anew(one, mirror.seq) for one in islice(_skills(skills, vocabulary), FEW - 1)]
    async with database.transaction() as session:
        await store.apply(session, replace(mirror, seq=changed[-1].seq), changed, projection=timed)
    return mirror.id, seconds


def _skills(skills: int, vocabulary: Vocabulary) -> Iterator[Entry]:
    return (one for one in entries(skills, vocabulary, seed=1) if one.id.kind is EntryKind.SKILL)


def _described_anew(one: Entry, behind: int) -> Entry:
    said = read_document(SkillDocument, one.document or "")
    document = said.model_copy(update={"description": f"{said.description} anew"}).text
    sha256 = entry_hash(one.id, 2, document, deleted=False)
    return replace(one, seq=behind + one.seq, rev=2, document=document, sha256=sha256)


async def _names(database: Database) -> list[str]:
    async with database.reading() as session:
        return list((await session.scalars(text("SELECT name FROM listings ORDER BY id"))).all())


async def asked(
    index: SearchIndex, catalogue: CatalogueId, some: Sequence[tuple[str, Query]]
) -> dict[str, list[float]]:
    """Milliseconds of each search, by its kind."""
    took: dict[str, list[float]] = {}
    for kind, query in some:
        began = time.perf_counter()
        await index.search([catalogue], query)
        took.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
    return took


async def like(database: Database, some: Sequence[tuple[str, Query]]) -> list[float]:
    """Milliseconds of the same texts by ``LIKE``, over descriptions, topics and bodies as their documents hold them."""
    took = []
    query = text(
        "SELECT key FROM catalogue_entries WHERE kind = 'skill' AND NOT deleted AND lower(document) LIKE :text LIMIT 20"
    )
    for _, one in some:
        began = time.perf_counter()
        async with database.reading() as session:
            (await session.execute(query, {"text": f"%{one.text.lower()}%"})).all()
        took.append((time.perf_counter() - began) * 1000)
    return took


async def _told(url: str, skills: int, number: int) -> None:
    async with _filled(url, skills) as (database, index, catalogue, seconds):
        size = await database.disk_bytes() / 2**20
        print(f"{database.kind}: {skills:,} skills, the index {seconds:.1f} s of keeping them; {size:.0f} MiB")
        names, vocabulary = await _names(database), Vocabulary(_WORDS, seed=7)
        await asked(index, catalogue, queries(50, names, vocabulary, seed=3))
        some = queries(number, names, vocabulary, seed=4)
        took = await asked(index, catalogue, some)
        for kind, each in sorted(took.items()):
            print(_line(kind, each))
        print(_line("all of them", [one for each in took.values() for one in each]))
        print(_line(_PEER, await like(database, [one for one in some if one[1].text][:50])))


def _line(kind: str, took: Sequence[float]) -> str:
    middle, high = percentile(took, 0.5), percentile(took, 0.95)
    return f"  {kind:22} {len(took):5}  p50 {middle:8.2f}  p95 {high:8.2f}  max {max(took):8.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the catalogue's search.")
    parser.add_argument("--skills", type=int, default=SKILLS)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--engine", choices=[kind.value for kind in Kind], help="default: both, one after the other")
    options = parser.parse_args()
    if options.engine in (None, Kind.SQLITE.value):
        with tempfile.TemporaryDirectory(prefix=prefix()) as folder:
            asyncio.run(_told(f"sqlite+aiosqlite:///{folder}/skillyard.db", options.skills, options.queries))
    if options.engine in (None, Kind.POSTGRESQL.value):
        with postgres() as url:
            asyncio.run(_told(url, options.skills, options.queries))


if __name__ == "__main__":
    main()
