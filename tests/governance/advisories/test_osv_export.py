"""OSV's export: the whole once, then what changed, and the whole again where that is not enough."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance.advisories import osv_export
from skillyard.governance.advisories.downloads import DownloadLimits, Downloads
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.osv_export import OsvExportSource, exported
from skillyard.governance.advisories.sources import Taken, UrlSource, source_for
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import NotUpdated, Updated, update
from skillyard.governance.advisories.updates import update_all
from skillyard.governance.errors import AdvisorySourceError
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

MakeRecord = Callable[..., bytes]


class Export:
    """What the bucket has of PyPI, served by the test's own HTTP server."""

    def __init__(self, site: Any, record: MakeRecord) -> None:
        self._site = site
        self._record = record
        self.records: dict[str, bytes] = {}
        self.start = utcnow().replace(microsecond=0) - timedelta(days=3)

    def put(self, identity: str, package: str, *, hours: int = 0, **fields: Any) -> None:
        modified = (self.start + timedelta(hours=hours)).isoformat()
        self.records[identity] = self._record(identity, package, modified=modified, **fields)
        self.publish()

    def publish(self) -> None:
        pages = {f"/PyPI/{name}.json": (200, {}, data) for name, data in self.records.items()}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in self.records.items():
                archive.writestr(f"{name}.json", data)
        pages["/PyPI/all.zip"] = (200, {"ETag": '"1"'}, packed.getvalue())
        dated = [(json.loads(data)["modified"], name) for name, data in self.records.items()]
        lines = "".join(f"{modified},{name}\n" for modified, name in sorted(dated, reverse=True))
        pages["/PyPI/modified_id.csv"] = (200, {}, lines.encode())
        self._site.pages = pages

    def asked(self) -> set[str]:
        paths = {path.removeprefix("/PyPI/") for path, _ in self._site.seen}
        self._site.seen.clear()
        return paths - {"modified_id.csv"}


@pytest.fixture
def export(site: Any, record: MakeRecord) -> Export:
    made = Export(site, record)
    for number in range(5):
        made.put(f"PY-{number}", f"p{number}", hours=-100 - 30 * number)
    return made


@pytest.fixture
def source(site: Any) -> OsvExportSource:
    downloads = Downloads(proxy=None, ca_bundle=None, limits=DownloadLimits())
    return OsvExportSource(f"{site.url}/PyPI/all.zip", Ecosystem.PYPI, downloads=downloads)


def ids(path: Path, package: str) -> list[str]:
    return [match.advisory.id for match in AdvisoryIndex.open(path).matches(Ecosystem.PYPI, package, "1.0.0")]


async def test_the_whole_comes_once_and_then_what_changed(
    export: Export, source: OsvExportSource, tmp_path: Path
) -> None:
    path = tmp_path / "i.db"
    await update(path, source, now=utcnow())
    assert export.asked() == {"all.zip"}
    assert isinstance(await update(path, source, now=utcnow()), NotUpdated)
    assert export.asked() == set()
    export.put("PY-9", "new", hours=2)
    export.put("PY-1", "p1", hours=1, withdrawn=export.start.isoformat())
    assert isinstance(await update(path, source, now=utcnow()), Updated)
    assert export.asked() == {"PY-9.json", "PY-1.json", "PY-0.json"}, "what changed, and a day before that"
    assert (ids(path, "new"), ids(path, "p1"), ids(path, "p2")) == (["PY-9"], [], ["PY-2"])
    assert AdvisoryIndex.open(path).status().data_date(Ecosystem.PYPI) == export.start + timedelta(hours=2)


async def test_a_record_that_reached_the_export_late_is_not_missed(
    export: Export, source: OsvExportSource, tmp_path: Path
) -> None:
    path = tmp_path / "i.db"
    export.put("PY-8", "early", hours=10)
    await update(path, source, now=utcnow())
    export.put("PY-9", "late", hours=9)
    export.put("PY-7", "later", hours=11)
    await update(path, source, now=utcnow())
    assert ids(path, "late") == ["PY-9"]


async def test_changes_come_into_the_place_that_the_source_has(
    export: Export, source: OsvExportSource, tmp_path: Path, record: MakeRecord
) -> None:
    path = tmp_path / "i.db"
    first = MemorySource([record("FIRST-1", "p1")], name="first")
    await update_all(path, (first, source), now=utcnow())
    export.put("PY-9", "p1", hours=2)
    await update_all(path, (first, source), now=utcnow())
    layers = [
        (one.source == source.name, one.is_base, one.records) for one in AdvisoryIndex.open(path).status().datasets
    ]
    assert sorted(layers) == [(False, True, 1), (True, False, 6)]
    assert ids(path, "p1") == ["FIRST-1", "PY-1", "PY-9"]


async def test_the_whole_comes_again_after_a_week_and_when_somebody_wants_it(
    export: Export, source: OsvExportSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.db"
    await update(path, source, now=utcnow())
    export.asked()
    export.put("PY-9", "new", hours=2)
    await update(path, source, now=utcnow(), replace=True)
    assert export.asked() == {"all.zip"}
    later = utcnow() + timedelta(days=8)
    monkeypatch.setattr(osv_export, "utcnow", lambda: later)
    await update(path, source, now=later)
    assert export.asked() == {"all.zip"}


async def test_more_changes_than_are_worth_it_and_a_list_that_is_not_true_make_it_fetch_the_whole(
    export: Export, source: OsvExportSource, tmp_path: Path, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.db"
    await update(path, source, now=utcnow())
    export.put("PY-9", "new", hours=2)
    del site.pages["/PyPI/PY-9.json"]
    export.asked()
    await update(path, source, now=utcnow())
    assert "all.zip" in export.asked()
    monkeypatch.setattr(osv_export, "_MOST_CHANGES", 1)
    export.put("PY-10", "new", hours=3)
    export.put("PY-11", "new", hours=4)
    await update(path, source, now=utcnow())
    assert export.asked() == {"all.zip"}
    assert ids(path, "new") == ["PY-10", "PY-11", "PY-9"]


async def test_a_failure_among_the_changes_is_a_failure(
    export: Export, source: OsvExportSource, tmp_path: Path, site: Any
) -> None:
    path = tmp_path / "i.db"
    await update(path, source, now=utcnow())
    for page in ((500, {}, b""), (200, {"Content-Length": "5000"}, b"{}"), (200, {}, b"<html>")):
        export.put("PY-9", "new", hours=2)
        site.pages["/PyPI/PY-9.json"] = page
        with pytest.raises(AdvisorySourceError):
            await update(path, source, now=utcnow())
    site.pages["/PyPI/modified_id.csv"] = (200, {}, b"<html>not found</html>")
    with pytest.raises(AdvisorySourceError, match="list of changes"):
        await update(path, source, now=utcnow())
    assert ids(path, "new") == []


async def test_a_mirror_without_a_list_of_changes_is_fetched_whole(
    export: Export, source: OsvExportSource, tmp_path: Path, site: Any
) -> None:
    del site.pages["/PyPI/modified_id.csv"]
    for _ in range(2):
        await update(tmp_path / "i.db", source, now=utcnow())
        assert export.asked() == {"all.zip"}


def test_only_an_export_is_taken_for_one() -> None:
    settings = Settings()
    assert exported("https://example.com/osv/npm/all.zip") is Ecosystem.NPM
    assert isinstance(source_for("https://example.com/osv/PyPI/all.zip", settings), OsvExportSource)
    for other in ("https://example.com/Maven/all.zip", "https://example.com/PyPI/some.zip"):
        assert isinstance(source_for(other, settings), UrlSource)
    of_when = Taken(data_date=datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(source_for("https://example.com/PyPI/all.zip", settings, taken=of_when), UrlSource)
