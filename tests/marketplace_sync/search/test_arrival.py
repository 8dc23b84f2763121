"""What is in a catalogue is found in whatever order it came, settled or not, and again behind a migration."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from alembic import command
from pydantic import ValidationError
from skillyard.database import Database, alembic_config, change_schema, migrate
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue.documents import CountsDocument, ModerationState, RatingDocument
from skillyard.marketplace_sync.catalogue.entry import MAX_INTEGER, CatalogueId, Entry, EntryId, EntryKind
from skillyard.marketplace_sync.search import settling
from sqlalchemy import text as sql
from tests.marketplace_sync.search.shelves import Shelf, new_shelf

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


@pytest.mark.parametrize("number", [2**31, MAX_INTEGER])
async def test_counts_of_any_size_that_may_be_said_are_summed(shelf: Shelf, number: int) -> None:
    """One that somebody made up must not keep a page from being taken, whatever the database's narrower numbers are."""
    await shelf.put(shelf.counts("acme/a", number), *shelf.both("acme/a"))
    assert await rated(shelf, "acme/a") == (None, 0, number)
    many = 1100
    await shelf.put(*(shelf.counts("acme/a", number, origin=f"o{one}") for one in range(many)))
    assert await rated(shelf, "acme/a") == (None, 0, min(number * (many + 1), MAX_INTEGER))


@pytest.mark.parametrize("number", [3.0, True, "3", 2**53, -1])
def test_what_is_no_count_is_said_to_be_none(number: object) -> None:
    said = {"installs": 1, "calls": number, "at": "2026-01-01T00:00:00Z"}
    with pytest.raises(ValidationError):
        CountsDocument.model_validate_json(json.dumps(said))


@pytest.mark.parametrize("stars", [3.0, True, "3", 0, 6])
def test_what_are_no_stars_is_said_to_be_none(stars: object) -> None:
    said = {"stars": stars, "stamp": "1", "at": "2026-01-01T00:00:00Z"}
    with pytest.raises(ValidationError):
        RatingDocument.model_validate_json(json.dumps(said))


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
