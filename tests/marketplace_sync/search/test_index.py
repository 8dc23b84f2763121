"""What is in a catalogue is found, in whatever order it came; what is hidden is not; and nothing typed is syntax."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from skillyard.database import Database, alembic_config, change_schema, migrate, utcnow
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import (
    CountsDocument,
    Deprecation,
    Document,
    ModerationDocument,
    ModerationState,
    RatingDocument,
    SkillDocument,
    VersionDocument,
)
from skillyard.marketplace_sync.catalogue.entry import CatalogueId, Entry, EntryId, EntryKind, entry_hash
from skillyard.marketplace_sync.catalogue.store import Catalogue
from skillyard.marketplace_sync.errors import CursorError
from skillyard.marketplace_sync.search import bits, lookup, rows, settling
from skillyard.marketplace_sync.search.index import SearchIndex
from skillyard.marketplace_sync.search.query import Listing, Page, Query, Sort
from skillyard.skills.skill import Ecosystem, SkillKind
from sqlalchemy import text as sql

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64


class Shelf:
    """A catalogue, whatever is put into it, and the index over it."""

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self.database = database
        self.catalogue = catalogue
        self.index = SearchIndex(database)
        self.seq = 0

    def entry(self, kind: EntryKind, key: str, document: Document | None) -> Entry:
        self.seq += 1
        id_, text = EntryId(kind, key), None if document is None else document.text
        hashed = entry_hash(id_, self.seq, text, deleted=text is None)
        return Entry(id_, self.seq, self.seq, text, hashed, text is None, NOON)

    async def put(self, *entries: Entry) -> None:
        async with self.database.transaction() as session:
            mirror = replace(self.catalogue, seq=max(one.seq for one in entries))
            self.catalogue, _ = await store.apply(session, mirror, entries, projection=self.index)

    async def clear(self) -> None:
        async with self.database.transaction() as session:
            self.catalogue = await store.clear(session, self.catalogue, projection=self.index)

    async def search(self, text: str = "", **narrowed: object) -> Page:
        return await self.index.search([self.catalogue.id], Query(text=text, **narrowed))  # type: ignore[arg-type]

    async def found(self, text: str = "", **narrowed: object) -> list[str]:
        return [one.key for one in (await self.search(text, **narrowed)).items]

    async def one(self, key: str) -> Listing | None:
        return await self.index.listing(self.catalogue.id, key)

    def skill(self, key: str, description: str = "Does something.", **more: object) -> Entry:
        said = {"channels": {"latest": "1.0.0"}, "updated_at": NOON, "description": description} | more
        return self.entry(EntryKind.SKILL, key, SkillDocument.model_validate(said))

    def version(self, key: str, number: str = "1.0.0", **more: object) -> Entry:
        said = {
            "bundle": DIGEST,
            "bundle_bytes": 1,
            "files": 1,
            "lock": DIGEST,
            "kind": SkillKind.PYTHON,
            "verdict": "PASS",
            "scanned_at": NOON,
            "published_at": NOON,
        } | more
        return self.entry(EntryKind.VERSION, f"{key}@{number}", VersionDocument.model_validate(said))

    def both(self, key: str, description: str = "Does something.", **more: object) -> tuple[Entry, Entry]:
        """A skill with its version."""
        return self.skill(key, description, **more), self.version(key)

    def rating(self, key: str, rater: str, stars: int | None) -> Entry:
        stamp = f"{1:015d}-000000-here"
        said = None if stars is None else RatingDocument(stars=stars, stamp=stamp, at=NOON)
        return self.entry(EntryKind.RATING, f"{key}#here/{rater}", said)

    def counts(self, key: str, installs: int, origin: str = "here") -> Entry:
        return self.entry(EntryKind.COUNTS, f"{key}#{origin}", CountsDocument(installs=installs, calls=2, at=NOON))

    def word(self, key: str, state: ModerationState) -> Entry:
        said = ModerationDocument(state=state, reason="because", actor="person 1", epoch=self.seq + 1, at=NOON)
        return self.entry(EntryKind.MODERATION, key, said)


@pytest.fixture
async def shelf(database: Database, admin: Person) -> Shelf:
    return await new_shelf(database, admin)


@pytest.fixture
def much(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what is on a shelf were very much: settled at once, over many blocks, walked along columns and counted by
    sets."""
    for module, name, value in (
        (settling, "FEW", 3),
        (bits, "BLOCK", 16),
        (bits, "_BYTES", 2),
        (bits, "_PLACES", 0),
        (lookup, "_SORTED", 2),
        (lookup, "_READ", 2),
        (rows, "_STEP", 2),
    ):
        monkeypatch.setattr(module, name, value)


async def new_shelf(database: Database, admin: Person) -> Shelf:
    async with database.transaction() as session:
        return Shelf(database, await store.create(session, admin.workspace, at=utcnow()))


# --- what comes first -------------------------------------------------------------------------------------------------


async def test_a_name_comes_before_its_beginnings_and_those_before_words_in_texts(shelf: Shelf) -> None:
    await shelf.put(
        *shelf.both("zeta/other", "Makes a csv report."),
        *shelf.both("zeta/topical", "Something else.", topics=("csv-report",)),
        *shelf.both("beta/csv-report-plus"),
        *shelf.both("acme/csv-report"),
        *shelf.both("acme/unrelated"),
        *shelf.both("zeta/deep", "Something.", body="How the report is read from a CSV file."),
    )
    found = await shelf.found("csv report")
    assert found[:3] == ["acme/csv-report", "beta/csv-report-plus", "zeta/topical"]
    assert set(found[3:]) == {"zeta/other", "zeta/deep"}
    assert await shelf.found("acme/csv-report") == await shelf.found("ACME/CSV-Report") != []


@pytest.mark.parametrize("text", ["publishing", "naïve", "NAIVE", "topical", "beta", "read files"])
async def test_description_topics_body_and_publisher_are_searched_by_words_and_their_forms(
    shelf: Shelf, text: str
) -> None:
    await shelf.put(
        *shelf.both("beta/one", "Publishes naive things.", topics=("topical",), body="It reads a file."),
        *shelf.both("acme/two", "Another."),
    )
    assert await shelf.found(text) == ["beta/one"]


async def test_a_misspelt_name_is_found_where_nothing_else_is(shelf: Shelf) -> None:
    await shelf.put(*shelf.both("acme/spreadsheet-reader"), *shelf.both("acme/mail-sender"))
    page = await shelf.search("spraedsheet-reader")
    assert [one.key for one in page.items] == ["acme/spreadsheet-reader"]
    assert page.similar
    assert not (await shelf.search("spreadsheet")).similar
    assert await shelf.found("spraedsheet-reader", category="none") == []


@pytest.mark.parametrize(
    "text",
    ['"', '"csv', "csv OR", "NEAR(csv report)", "name : csv", "csv*", "-csv", "(csv", "csv AND NOT report", "'", "\\",
     "csv' OR 1=1 --", "%", "_", "a:*", "csv & !report", "<-> csv", "\x00", "\ud83d\ude00", "ア", "{head} : x", "the"],
)  # fmt: skip
async def test_nothing_that_is_typed_is_syntax(shelf: Shelf, text: str) -> None:
    await shelf.put(*shelf.both("acme/csv-report", "A csv report, or not."))
    for sort in Sort:
        page = await shelf.search(text, sort=sort)
        assert {one.key for one in page.items} <= {"acme/csv-report"}


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_a_listing_shows_what_its_entries_say_and_no_rating_where_there_is_none(shelf: Shelf) -> None:
    await shelf.put(
        shelf.skill(
            "acme/a",
            "A description.",
            topics=("csv",),
            categories=("data",),
            deprecated=Deprecation(reason="old"),
            channels={"latest": "2.0.0"},
        ),
        shelf.version("acme/a", "1.0.0"),
        shelf.version("acme/a", "2.0.0", verdict="FLAG", ecosystems=(Ecosystem.PYPI,)),
        shelf.counts("acme/a", 3),
        shelf.counts("acme/a", 4, origin="elsewhere"),
    )
    one = await shelf.one("acme/a")
    assert one is not None
    assert (one.version, one.verdict, one.deprecated, one.installs, one.calls) == ("2.0.0", "FLAG", True, 7, 4)
    assert (one.rating, one.ratings) == (None, 0)
    assert (one.labelled("category"), one.labelled("topic"), one.labelled("ecosystem")) == (
        ("data",),
        ("csv",),
        ("pypi",),
    )
    await shelf.put(shelf.rating("acme/a", "x", 5), shelf.rating("acme/a", "y", 2))
    one = await shelf.one("acme/a")
    assert one is not None
    assert (one.rating, one.ratings) == (3.5, 2)
    assert await shelf.found(stars=3) == ["acme/a"]
    assert await shelf.found(stars=4) == []
    await shelf.put(shelf.rating("acme/a", "x", None), shelf.rating("acme/a", "y", None))
    one = await shelf.one("acme/a")
    assert one is not None
    assert (one.rating, one.ratings) == (None, 0)


@pytest.mark.parametrize("key", ["acme", "acme/a", "acme/a@1.0.0"])
@pytest.mark.parametrize("state", [one for one in ModerationState if one is not ModerationState.VISIBLE])
async def test_what_a_moderator_hid_is_not_found_until_it_is_visible_again(
    shelf: Shelf, key: str, state: ModerationState
) -> None:
    await shelf.put(*shelf.both("acme/a", "Common."), *shelf.both("acme-too/a", "Common."))
    assert len(await shelf.found("common")) == 2
    await shelf.put(shelf.word(key, state))
    for asked in ("common", "a", "", "acme/a"):
        assert await shelf.found(asked) == ["acme-too/a"], asked
    assert (await shelf.search()).total == 1
    await shelf.put(shelf.skill("acme/a", "Common and edited."))
    assert await shelf.found("edited") == []
    await shelf.put(shelf.word(key, ModerationState.VISIBLE))
    assert await shelf.found("edited") == ["acme/a"]


async def test_a_skill_without_its_version_or_its_document_is_not_found(shelf: Shelf) -> None:
    await shelf.put(shelf.skill("acme/a"))
    assert await shelf.found() == []
    await shelf.put(shelf.version("acme/a"))
    assert await shelf.found() == ["acme/a"]
    await shelf.put(shelf.entry(EntryKind.VERSION, "acme/a@1.0.0", None))
    assert await shelf.found() == []
    await shelf.put(shelf.version("acme/a"))
    # A mirror's filter leaves documents out.
    await shelf.put(replace(shelf.skill("acme/a"), document=None))
    assert await shelf.found("something") == []
    assert (await shelf.search()).total == 0


# --- order of arrival -------------------------------------------------------------------------------------------------


RATERS = "wxyz"
PLACES = tuple(f"{publisher}/{name}" for publisher in ("acme", "beta", "gamma") for name in "abc")


async def test_a_rating_that_comes_before_its_skill_counts(shelf: Shelf) -> None:
    await shelf.put(shelf.rating("acme/a", "x", 5), shelf.counts("acme/a", 3))
    await shelf.put(shelf.rating("acme/a", "y", 2), *shelf.both("acme/a"))
    assert await rated(shelf, "acme/a") == (3.5, 2, 3)
    await shelf.put(shelf.rating("acme/a", "z", 5), shelf.counts("acme/a", 4, origin="elsewhere"))
    assert await rated(shelf, "acme/a") == (4.0, 3, 7)
    assert await shelf.found(stars=4) == ["acme/a"]
    await shelf.put(shelf.entry(EntryKind.SKILL, "acme/a", None))
    await shelf.put(shelf.rating("acme/a", "x", 2))
    await shelf.put(shelf.skill("acme/a"))
    assert await rated(shelf, "acme/a") == (3.0, 3, 7)
    assert await shelf.found(stars=4) == []


async def test_a_rating_changed_and_taken_back(shelf: Shelf) -> None:
    await shelf.put(*shelf.both("acme/a"), shelf.rating("acme/a", "x", 1), shelf.rating("acme/a", "y", 3))
    assert await rated(shelf, "acme/a") == (2.0, 2, 0)
    await shelf.put(shelf.rating("acme/a", "x", 5))
    assert await rated(shelf, "acme/a") == (4.0, 2, 0)
    assert await shelf.found(stars=4) == ["acme/a"]
    await shelf.put(shelf.rating("acme/a", "x", None))
    assert await rated(shelf, "acme/a") == (3.0, 1, 0)
    assert await shelf.found(stars=4) == []
    # An average that reaches no other number of stars is another average all the same.
    await shelf.put(*(shelf.rating("acme/a", one, 4) for one in "xz"), shelf.rating("acme/a", "y", 3))
    assert await rated(shelf, "acme/a") == (11 / 3, 3, 0)
    await shelf.put(*(shelf.rating("acme/a", one, None) for one in "xyz"))
    assert await rated(shelf, "acme/a") == (None, 0, 0)


@pytest.mark.parametrize("key", ["acme", "acme/a", "acme/a@1.0.0"])
async def test_moderation_before_its_version_hides_it(shelf: Shelf, key: str) -> None:
    await shelf.put(shelf.word(key, ModerationState.YANKED))
    await shelf.put(shelf.skill("acme/a"))
    await shelf.put(shelf.version("acme/a"))
    assert await shelf.found() == []
    await shelf.put(shelf.word(key, ModerationState.VISIBLE))
    assert await shelf.found() == ["acme/a"]


async def test_latest_moves_before_its_version_arrives(shelf: Shelf) -> None:
    await shelf.put(*shelf.both("acme/a"), shelf.rating("acme/a", "x", 4))
    await shelf.put(shelf.skill("acme/a", channels={"latest": "2.0.0"}))
    assert await shelf.found() == []
    assert (await shelf.search()).total == 0
    await shelf.put(shelf.version("acme/a", "2.0.0", verdict="FLAG"))
    one = await shelf.one("acme/a")
    assert one is not None
    assert (one.version, one.verdict, one.rating) == ("2.0.0", "FLAG", 4.0)
    await assert_counts(shelf)


async def rated(shelf: Shelf, key: str) -> tuple[float | None, int, int]:
    """The average, of how many ratings, and the installs."""
    one = await shelf.one(key)
    assert one is not None
    return one.rating, one.ratings, one.installs


def a_history(shelf: Shelf, made: random.Random) -> list[Entry]:
    """Changes of entries that change one another's listings: updated, deleted, made again; most skills stay listed."""

    def visible() -> ModerationState:
        return made.choice([*[ModerationState.VISIBLE] * 15, ModerationState.YANKED])

    def skill(key: str) -> Entry:
        return shelf.skill(
            key,
            f"Word{made.randrange(3)} of it.",
            channels={"latest": made.choice(["1.0.0", "2.0.0"])},
            topics=(made.choice(["x", "y"]),),
            categories=(made.choice(["data", "web"]),),
        )

    makers: list[Callable[[], Entry]] = []
    for key in PLACES:
        makers.append(lambda key=key: skill(key))
        for number in ("1.0.0", "2.0.0"):
            makers.append(
                lambda key=key, number=number: shelf.version(key, number, verdict=made.choice(["PASS", "FLAG"]))
            )
            makers.append(lambda key=key, number=number: shelf.word(f"{key}@{number}", visible()))
        makers.append(lambda key=key: shelf.word(key, visible()))
        makers += [lambda key=key, rater=rater: shelf.rating(key, rater, made.randint(1, 5)) for rater in RATERS]
        makers += [
            lambda key=key, origin=origin: shelf.counts(key, made.randrange(100), origin) for origin in ("one", "two")
        ]
    makers += [lambda name=name: shelf.word(name, visible()) for name in ("acme", "beta", "gamma")]
    history = [make() for make in made.sample(makers, len(makers))]
    for make in made.sample(makers, len(makers) // 2):
        entry = make()
        if made.random() < 0.4:
            history.append(shelf.entry(entry.id.kind, entry.id.key, None))
            if made.random() < 0.3:
                continue
            entry = make()
        history.append(entry)
    return history


def mixed(history: Sequence[Entry], made: random.Random) -> list[Entry]:
    """In any order, but for the changes of one entry, which follow one another."""
    waiting: dict[EntryId, list[Entry]] = {}
    for one in history:
        waiting.setdefault(one.id, []).append(one)
    return [waiting[one.id].pop(0) for one in made.sample(history, len(history))]


def skills_at(end: int, history: Sequence[Entry]) -> list[Entry]:
    """Skills first (-1), or behind all that is about them (1)."""
    return sorted(history, key=lambda one: end if one.id.kind is EntryKind.SKILL else 0)


def batches(history: Sequence[Entry], made: random.Random) -> Iterator[Sequence[Entry]]:
    at = 0
    while at < len(history):
        size = made.choice([1, 3, 20])
        yield history[at : at + size]
        at += size


Said = tuple[str, float | None, int, int]


def said(history: Sequence[Entry]) -> dict[str, Said]:
    """What is to be listed: latest version, average, number of ratings, installs; counted from the documents."""
    latest = {one.id: one.document for one in sorted(history, key=lambda one: one.seq)}
    live = {(id_.kind, id_.key): json.loads(text) for id_, text in latest.items() if text is not None}
    found: dict[str, Said] = {}
    for kind, key in live:
        if kind is not EntryKind.SKILL:
            continue
        number = live[kind, key]["channels"]["latest"]
        words = [live.get((EntryKind.MODERATION, one)) for one in (key, f"{key}@{number}", key.partition("/")[0])]
        hidden = any(word is not None and word["state"] != "visible" for word in words)
        if hidden or (EntryKind.VERSION, f"{key}@{number}") not in live:
            continue
        about = [(one, document) for (one, of), document in live.items() if of.partition("#")[0] == key]
        stars = [document["stars"] for one, document in about if one is EntryKind.RATING]
        installs = sum(document["installs"] for one, document in about if one is EntryKind.COUNTS)
        found[key] = (number, sum(stars) / len(stars) if stars else None, len(stars), installs)
    return found


async def state(shelf: Shelf) -> object:
    page = await shelf.search(limit=100)
    found = {one.key: replace(one, id=0, catalogue=CatalogueId(0)) for one in page.items}
    words = {word: sorted(await shelf.found(word)) for word in ("word0", "word1", "word2", "x", "acme", "a")}
    return found, page.total, page.facets, words


@pytest.mark.parametrize("seed", range(3))
async def test_the_index_is_the_same_in_whatever_order_entries_come(
    database: Database, admin: Person, seed: int, request: pytest.FixtureRequest
) -> None:
    if seed:
        request.getfixturevalue("much")
    made = random.Random(seed)
    whole, *others = [await new_shelf(database, admin) for _ in range(5)]
    history = a_history(whole, made)
    wanted = said(history)
    # What is not listed, or not rated by several, would hide what this is about.
    assert sum(ratings > 1 for _, _, ratings, _ in wanted.values()) >= 5
    assert len(wanted) < len(PLACES)
    await whole.put(*history)
    orders = (history, mixed(history, made), skills_at(-1, mixed(history, made)), skills_at(1, mixed(history, made)))
    over = others[0]
    # Over what was there before, which everything of it is behind.
    for some in batches([replace(one, seq=0) for one in a_history(over, made)], made):
        await over.put(*some)
    await over.clear()
    for shelf, order in zip(others, orders, strict=True):
        for some in batches(order, made):
            await shelf.put(*some)
    expected = await state(whole)
    for shelf in (whole, *others):
        items = (await shelf.search(limit=100)).items
        assert {one.key: (one.version, one.rating, one.ratings, one.installs) for one in items} == wanted
        assert await state(shelf) == expected
    await assert_counts(whole)


async def assert_counts(shelf: Shelf) -> None:
    """The kept counts are what counting comes to."""
    page = await shelf.search(limit=100)
    for facet in page.facets:
        counted = {value: sum(value in one.labelled(facet.name) for one in page.items) for value, _ in facet.values}
        assert dict(facet.values) == counted
        for value, number in facet.values:
            narrowed = int(value) if facet.name == "stars" else value
            assert len(await shelf.found(**{facet.name: narrowed}, limit=100)) == number


# --- pages ------------------------------------------------------------------------------------------------------------


async def filled(shelf: Shelf, number: int = 23) -> None:
    for one in range(number):
        key = f"acme/report-{one:02d}"
        at = NOON + timedelta(minutes=one % 5)
        more = [shelf.rating(key, "x", one % 5 + 1)] if one % 3 else []
        await shelf.put(
            *shelf.both(key, "A report.", updated_at=at, categories=("data" if one % 2 else "web",)),
            *more,
            shelf.counts(key, one % 4),
        )


async def pages(shelf: Shelf, query: Query) -> list[Listing]:
    found: list[Listing] = []
    while True:
        page = await shelf.index.search([shelf.catalogue.id], query)
        found += page.items
        if page.next_cursor is None:
            return found
        query = replace(query, cursor=page.next_cursor)


@pytest.mark.usefixtures("much")
@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("text", ["", "report"])
async def test_pages_hold_every_match_once_in_order(shelf: Shelf, sort: Sort, text: str) -> None:
    await filled(shelf)
    whole = await shelf.search(text, sort=sort, limit=100)
    query = Query(text=text, sort=sort, limit=4)
    found = await pages(shelf, query)
    assert found == list(whole.items)
    assert len({one.key for one in found}) == whole.total == 23
    keys = {
        Sort.UPDATED: [(one.updated_at, one.id) for one in found],
        Sort.RATING: [(-1.0 if one.rating is None else one.rating, one.id) for one in found],
        Sort.INSTALLS: [(one.installs, one.id) for one in found],
    }
    if sort in keys:
        assert keys[sort] == sorted(keys[sort], reverse=True)
    if sort is Sort.NAME:
        assert [one.name for one in found] == sorted(one.name for one in found)


async def test_a_page_goes_on_where_it_was_although_others_came_before_it(shelf: Shelf) -> None:
    await filled(shelf)
    query = Query(sort=Sort.NAME, limit=5)
    first = await shelf.index.search([shelf.catalogue.id], query)
    await shelf.put(*shelf.both("acme/aaa"), shelf.word("acme/report-04", ModerationState.YANKED))
    rest = await pages(shelf, replace(query, cursor=first.next_cursor))
    assert [one.name for one in rest] == [f"report-{one:02d}" for one in range(5, 23)]


async def test_a_cursor_of_another_search_is_refused(shelf: Shelf) -> None:
    await filled(shelf, 9)
    cursor = (await shelf.search("report", limit=2)).next_cursor
    assert cursor is not None
    broken = [cursor[:-2], "x", "e30", "é", "a" * 2000, cursor.swapcase()]
    others: Iterable[tuple[str, dict[str, object]]] = [
        ("reports", {}),
        ("report", {"sort": Sort.NAME}),
        ("report", {"category": "data"}),
        *(("report", {"cursor": one}) for one in broken),
    ]
    for text, narrowed in others:
        with pytest.raises(CursorError):
            await shelf.search(text, **{"cursor": cursor, "limit": 2, **narrowed})


@pytest.mark.usefixtures("much")
async def test_filters_narrow_what_is_found_and_counted(shelf: Shelf) -> None:
    await filled(shelf)
    page = await shelf.search("report", category="web", limit=100)
    assert page.total == len(page.items) == 12
    assert {facet.name: dict(facet.values) for facet in page.facets}["category"] == {"web": 12}
    assert await shelf.found("", category="web", sort=Sort.NAME, limit=100) == sorted(one.key for one in page.items)
    assert await shelf.found("report-03", category="web", sort=Sort.NAME) == []
    assert await shelf.found(publisher="nobody") == []


@pytest.mark.usefixtures("much")
async def test_catalogues_do_not_mix_and_one_that_is_cleared_leaves_the_other(
    database: Database, admin: Person
) -> None:
    ours, theirs = await new_shelf(database, admin), await new_shelf(database, admin)
    await ours.put(*ours.both("acme/a", "Common."))
    await theirs.put(*theirs.both("acme/b", "Common."))
    assert (await ours.found("common"), await theirs.found("common")) == (["acme/a"], ["acme/b"])
    both: Sequence[CatalogueId] = [ours.catalogue.id, theirs.catalogue.id]
    for sort in Sort:
        page = await ours.index.search(both, Query(text="common", sort=sort))
        assert {one.key for one in page.items} == {"acme/a", "acme/b"}
    await ours.clear()
    assert (await ours.found("common"), await theirs.found("common")) == ([], ["acme/b"])
    assert (await ours.search()).total == 0
    await ours.put(*ours.both("acme/a", "Common."))
    assert await ours.found("common") == ["acme/a"]


# --- what is written together -----------------------------------------------------------------------------------------


async def unsettled(shelf: Shelf) -> int:
    async with shelf.database.reading() as session:
        return int((await session.execute(sql("SELECT count(*) FROM listing_unsettled"))).scalar_one())


async def test_what_many_entries_brought_is_found_before_and_after_it_is_settled(shelf: Shelf) -> None:
    """A first sync waits for whole blocks, and whoever searches meanwhile must not see half of it."""
    keys = [f"acme/common-{one:03d}" for one in range(settling.FEW + 20)]
    await shelf.put(*(entry for key in keys for entry in shelf.both(key, "Common.")))
    assert await unsettled(shelf) == len(keys)
    before = await shelf.search("common", limit=100)
    async with shelf.database.transaction() as session:
        await shelf.index.settled(session, shelf.catalogue.id)
    assert await unsettled(shelf) == 0
    after = await shelf.search("common", limit=100)
    assert before.total == after.total == len(keys)
    assert before.items == after.items
    assert before.facets == after.facets
    await shelf.put(shelf.skill(keys[0], "Rare."), shelf.entry(EntryKind.SKILL, keys[1], None))
    assert await unsettled(shelf) == 2
    assert await shelf.found("rare") == [keys[0]]
    page = await shelf.search("common", limit=100)
    assert page.total == len(keys) - 1  # its name has the word still
    assert keys[1] not in [one.key for one in page.items]


async def test_what_listings_are_found_by_is_made_again_at_the_start_behind_a_migration(
    shelf: Shelf, migrated_url: str
) -> None:
    await shelf.put(*shelf.both("acme/a", "Common."), *shelf.both("acme/b", "Common."), shelf.rating("acme/b", "x", 5))
    await shelf.put(*shelf.both("acme/hidden", "Common."), shelf.word("acme/hidden", ModerationState.YANKED))
    before = await state(shelf)
    await change_schema(migrated_url, lambda connection: command.downgrade(alembic_config(connection), "0014"))
    await migrate(migrated_url)
    assert await shelf.found("common") == []
    # Somebody is faster with one of them.
    await shelf.put(shelf.skill("acme/a", "Common."))
    await shelf.index.mend()
    assert await state(shelf) == before
    await shelf.index.mend()
    assert await state(shelf) == before
