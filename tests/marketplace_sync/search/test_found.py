"""What is searched for comes best first and as its entries say; what is hidden does not; nothing typed is syntax."""

from __future__ import annotations

from dataclasses import replace

import pytest
from skillyard.marketplace_sync.catalogue.documents import (
    Deprecation,
    ModerationState,
)
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.search.query import Sort
from skillyard.skills.skill import Ecosystem
from tests.marketplace_sync.search.shelves import Shelf

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
