"""Fetching over HTTP: whole or not at all, from safe addresses, without telling anybody our credentials."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.source import Fetched, Unchanged, unobserved
from skillyard.governance.advisories.sources import (
    DownloadLimits,
    FileSource,
    Taken,
    UrlSource,
    create_source,
    settings_sources,
    source_for,
)
from skillyard.governance.advisories.update import NotUpdated, update
from skillyard.governance.errors import AdvisorySourceError
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]


async def test_an_export_is_fetched_once_and_asked_for_again_by_its_etag(
    site: Any, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    site.pages["/all.jsonl.gz"] = (200, {"ETag": '"v1"'}, gzip.compress(record()))
    source = UrlSource(f"{site.url}/all.jsonl.gz")
    await update(tmp_path / "i.db", source, now=now)
    assert AdvisoryIndex.open(tmp_path / "i.db").matches(Ecosystem.PYPI, "demo", "1.0")
    assert isinstance(await update(tmp_path / "i.db", source, now=now), NotUpdated)
    assert site.seen == [("/all.jsonl.gz", None), ("/all.jsonl.gz", '"v1"')]
    await update(tmp_path / "i.db", source, now=now, replace=True)
    assert site.seen[-1] == ("/all.jsonl.gz", None), "who wants the data replaced wants the data"


async def test_a_server_without_etags_is_asked_by_date(
    site: Any, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    of_when = "Sun, 31 May 2026 10:00:00 GMT"
    site.pages["/all.jsonl"] = (200, {"Last-Modified": of_when}, record())
    source = UrlSource(f"{site.url}/all.jsonl")
    await update(tmp_path / "i.db", source, now=now)
    assert isinstance(await update(tmp_path / "i.db", source, now=now), NotUpdated)
    assert site.dates == [None, of_when]


async def test_what_was_taken_in_part_is_asked_for_anew(
    site: Any, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    both = record("A", "one") + b"\n" + record("B", "two", ecosystem="npm")
    site.pages["/all.jsonl"] = (200, {"ETag": '"v1"'}, both)
    part = UrlSource(f"{site.url}/all.jsonl", taken=Taken(frozenset({Ecosystem.NPM})))
    await update(tmp_path / "i.db", part, now=now)
    assert {one.ecosystem for one in AdvisoryIndex.open(tmp_path / "i.db").status().datasets} == {Ecosystem.NPM}
    await update(tmp_path / "i.db", UrlSource(f"{site.url}/all.jsonl"), now=now)
    assert {one.ecosystem for one in AdvisoryIndex.open(tmp_path / "i.db").status().datasets} == set(Ecosystem)
    assert site.seen == [("/all.jsonl", None)] * 2


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ((404, {}, b""), "status 404"),
        ((500, {}, b""), "status 500"),
        ((304, {}, b""), "status 304"),
        ((200, {"Content-Length": "5000"}, b"{}"), "could not be fetched"),
        ((302, {"Location": "/all.json"}, b""), "redirects more than 5 times"),
        ((302, {"Location": "http://192.0.2.1/all.json"}, b""), "not an https:// address"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "not an https:// address"),
        ((200, {}, b"A" * 2000), "larger than 1000 bytes"),
        ((0, {}, b""), "did not deliver within|ReadTimeout"),
    ],
)
async def test_what_does_not_arrive_whole_is_an_error(
    site: Any, tmp_path: Path, page: tuple[int, dict[str, str], bytes], says: str
) -> None:
    site.pages["/all.json"] = page
    patience = 0.3 if page[0] == 0 else 60.0
    limits = DownloadLimits(size=1000, stall=patience, total=patience)
    with pytest.raises(AdvisorySourceError, match=says):
        await UrlSource(f"{site.url}/all.json", limits=limits).fetch(tmp_path, validator=None, on_progress=unobserved)


async def test_a_redirect_is_followed_and_the_file_keeps_its_kind(
    site: Any, tmp_path: Path, record: MakeRecord
) -> None:
    site.pages["/latest.jsonl"] = (302, {"Location": "/../../2026/all.txt"}, b"")
    site.pages["/2026/all.txt"] = (200, {}, record())
    fetched = await UrlSource(f"{site.url}/latest.jsonl").fetch(tmp_path, validator=None, on_progress=unobserved)
    assert isinstance(fetched, Fetched)
    assert fetched.sets[0].path.suffix == ".jsonl"
    assert fetched.sets[0].path.parent == tmp_path


async def test_an_unchanged_answer_counts_only_when_it_was_asked_for(site: Any, tmp_path: Path) -> None:
    site.pages["/all.json"] = (200, {"ETag": '"v1"'}, b"{}")
    source = UrlSource(f"{site.url}/all.json")
    assert isinstance(await source.fetch(tmp_path, validator='"v1"', on_progress=unobserved), Unchanged)


async def test_nobody_is_there(tmp_path: Path) -> None:
    source = UrlSource("http://127.0.0.1:9/all.json")
    with pytest.raises(AdvisorySourceError, match="ConnectError"):
        await source.fetch(tmp_path, validator=None, on_progress=unobserved)


@pytest.mark.parametrize("url", ["http://example.com/all.zip", "ftp://example.com/x", "file:///x", "https://", "x"])
def test_addresses_that_are_not_safe_are_refused(url: str) -> None:
    with pytest.raises(AdvisorySourceError):
        UrlSource(url)


def test_credentials_of_an_address_are_shown_to_nobody() -> None:
    source = UrlSource("https://user:secret@example.com/all.zip?token=secret#secret")
    assert source.name == "https://example.com/all.zip"
    assert "secret" not in repr(source.name)


async def test_a_failure_does_not_show_credentials_either(tmp_path: Path) -> None:
    source = UrlSource("http://user:secret@127.0.0.1:9/all.json?token=secret")
    with pytest.raises(AdvisorySourceError) as refusal:
        await source.fetch(tmp_path, validator=None, on_progress=unobserved)
    assert "secret" not in str(refusal.value)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AdvisorySourceError, match="does not exist"):
        await FileSource(tmp_path / "x.jsonl").fetch(tmp_path, validator=None, on_progress=unobserved)


def test_settings_say_where_updates_come_from(tmp_path: Path) -> None:
    settings = Settings(advisories_url="https://example.com/PyPI/all.zip", index_proxy=SecretStr("http://proxy:3128"))
    assert create_source(settings).name == "https://example.com/PyPI/all.zip"
    assert source_for("https://example.com/x.json", settings).name == "https://example.com/x.json"
    assert source_for(str(tmp_path), settings).name == str(tmp_path)
    with pytest.raises(AdvisorySourceError):
        source_for("http://example.com/x.json", settings)


async def test_one_of_several_sources_says_its_ecosystem_itself(tmp_path: Path) -> None:
    (tmp_path / "bad=names.txt").write_text("left-pat\n")
    more = (f"npm={tmp_path}/bad=names.txt", f"{tmp_path}/bad=names.txt")
    settings = Settings(advisories_url="https://example.com/all.zip", advisories_more=more)
    base, named, plain = settings_sources(settings)
    assert base.name == "https://example.com/all.zip"
    assert named.name == plain.name == str(tmp_path / "bad=names.txt")
    fetched = await named.fetch(tmp_path, validator=None, on_progress=unobserved)
    assert isinstance(fetched, Fetched)
    assert fetched.sets[0].ecosystems == {Ecosystem.NPM}
