"""``python -m benchmarks.search [--skills N] [--queries N] [--engine sqlite|postgresql]``: the catalogue's search.

A catalogue of many skills with words in the frequencies that words have (Zipf's law), kept by the same writing that a
first sync uses, then searched as people search: a word of a name, two or three words of a description, beginnings and
misspellings of names, filters, other orders, pages further on. Beside it ``LIKE '%word%'`` over name, description and
body, which is what a registry without an index does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Query, Sort
from skillyard.skills.skill import Ecosystem, SkillKind
from sqlalchemy import text

from benchmarks.leftovers import prefix
from benchmarks.postgres import postgres

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

    kinds = {
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


async def fill(database: Database, index: SearchIndex, skills: int) -> CatalogueId:
    """Keeps a catalogue, page by page as a follower does, and says how long that took."""
    vocabulary, timed, number, seconds = Vocabulary(_WORDS, seed=7), Timed(index), 0, 0.0
    async with database.transaction() as session:
        mirror = await store.own(session, at=_START)
    made = entries(skills, vocabulary, seed=1)
    while page := list(islice(made, _PAGE)):
        began = time.perf_counter()
        async with database.transaction() as session:
            mirror, _ = await store.apply(session, replace(mirror, seq=page[-1].seq), page, projection=timed)
        seconds += time.perf_counter() - began
        number += len(page)
    size = await database.disk_bytes() / 2**20
    print(
        f"{database.kind}: {skills:,} skills, {number:,} entries kept in {seconds:.1f} s, "
        f"the index {timed.seconds:.1f} s of it; {size:.0f} MiB"
    )
    return mirror.id


async def asked(
    index: SearchIndex, catalogue: CatalogueId, some: Sequence[tuple[str, Query]]
) -> dict[str, list[float]]:
    """Milliseconds of each search, by its sort."""
    took: dict[str, list[float]] = {}
    for kind, query in some:
        began = time.perf_counter()
        await index.search([catalogue], query)
        took.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
    return took


async def like(database: Database, some: Sequence[tuple[str, Query]]) -> list[float]:
    """Milliseconds of the same words by ``LIKE``, over names, descriptions and bodies as their documents hold them."""
    took = []
    query = text(
        "SELECT key FROM catalogue_entries WHERE kind = 'skill' AND NOT deleted AND lower(document) LIKE :word LIMIT 20"
    )
    for _, one in some:
        began = time.perf_counter()
        async with database.reading() as session:
            (await session.execute(query, {"word": f"%{one.text.lower()}%"})).all()
        took.append((time.perf_counter() - began) * 1000)
    return took


async def measure(url: str, skills: int, number: int) -> None:
    await migrate(url)
    database = await open_database(url)
    try:
        index = SearchIndex(database)
        catalogue = await fill(database, index, skills)
        if database.kind is Kind.POSTGRESQL:
            # What autovacuum does by itself within a minute of a first sync.
            connection = await asyncpg.connect(url.replace("+asyncpg", ""))
            await connection.execute("VACUUM ANALYZE")
            await connection.close()
        async with database.reading() as session:
            names = list((await session.scalars(text("SELECT name FROM listings ORDER BY id"))).all())
        vocabulary = Vocabulary(_WORDS, seed=7)
        await asked(index, catalogue, queries(50, names, vocabulary, seed=3))  # connections and statements are there
        some = queries(number, names, vocabulary, seed=4)
        took = await asked(index, catalogue, some)
        for kind, each in sorted(took.items()):
            print(_line(kind, each))
        print(_line("all of them", [one for each in took.values() for one in each]))
        print(_line("LIKE '%text%' instead", await like(database, [one for one in some if one[1].text][:100])))
    finally:
        await database.close()


def _line(kind: str, took: Sequence[float]) -> str:
    some = sorted(took)
    middle, high = some[len(some) // 2], some[min(len(some) - 1, int(len(some) * 0.95))]
    return f"  {kind:22} {len(some):5}  p50 {middle:8.2f}  p95 {high:8.2f}  max {some[-1]:8.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the catalogue's search.")
    parser.add_argument("--skills", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--engine", choices=[kind.value for kind in Kind], help="default: both, one after the other")
    options = parser.parse_args()
    if options.engine in (None, Kind.SQLITE.value):
        with tempfile.TemporaryDirectory(prefix=prefix()) as folder:
            asyncio.run(measure(f"sqlite+aiosqlite:///{folder}/skillyard.db", options.skills, options.queries))
    if options.engine in (None, Kind.POSTGRESQL.value):
        with postgres() as url:
            asyncio.run(measure(url, options.skills, options.queries))


if __name__ == "__main__":
    main()
