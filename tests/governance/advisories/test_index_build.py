"""What stands beside an ecosystem's base: name lists, changes, and facts that others supply."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.index_format import DateBasis
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.advisories.sources import FileSource, Taken
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import update
from skillyard.governance.errors import AdvisorySourceError
from skillyard.governance.report import Exploitation
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]
PYPI = Taken(frozenset({Ecosystem.PYPI}))
BASE_DATE = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def path(tmp_path: Path, now: datetime, record: MakeRecord) -> Path:
    path = tmp_path / "home" / "advisories.db"
    await update(path, MemorySource([record(f"PY-{n}", f"p{n}") for n in range(10)], name="feed"), now=now)
    return path


def ids(path: Path, package: str) -> list[str]:
    return [match.advisory.id for match in AdvisoryIndex.open(path).matches(Ecosystem.PYPI, package, "1.0.0")]


async def test_names_stay_beside_the_base_when_it_is_replaced(
    path: Path, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    (tmp_path / "bad.txt").write_text("P_1\np-1\nreqeusts\n")
    await update(path, FileSource(tmp_path / "bad.txt", taken=PYPI), now=now)
    feed = MemorySource([record(f"PY-{n}", f"p{n}") for n in range(12)], name="feed")
    await update(path, feed, now=now, replace=True)
    base, names = AdvisoryIndex.open(path).status().datasets
    assert (base.source, base.kind, base.data_date) == ("feed", RecordKind.ADVISORIES, BASE_DATE)
    assert (names.kind, names.records, names.date_basis) == (RecordKind.NAMES, 2, DateBasis.IMPORTED)
    assert ids(path, "p.1") == ["MAL-LIST-p-1"]
    (tmp_path / "bad.txt").write_text("reqeusts\n")
    await update(path, FileSource(tmp_path / "bad.txt", taken=PYPI), now=now)
    assert (ids(path, "p.1"), ids(path, "reqeusts")) == ([], ["MAL-LIST-reqeusts"])


async def test_names_without_an_ecosystem_and_lists_without_names_are_refused(
    path: Path, tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "bad.txt").write_text("reqeusts\n")
    (tmp_path / "none.txt").write_text("# none\n")
    for taken in (Taken(), Taken(frozenset(Ecosystem))):
        with pytest.raises(AdvisorySourceError, match="of which ecosystem"):
            await update(path, FileSource(tmp_path / "bad.txt", taken=taken), now=now)
    with pytest.raises(AdvisorySourceError, match="holds no names"):
        await update(path, FileSource(tmp_path / "none.txt", taken=PYPI), now=now)


async def test_a_long_list_that_shrank_is_refused_unless_that_is_meant(
    path: Path, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    source = FileSource(tmp_path / "bad.txt", taken=PYPI)
    (tmp_path / "bad.txt").write_text("".join(f"bad-{n}\n" for n in range(100)))
    await update(path, source, now=now)
    (tmp_path / "bad.txt").write_text("bad-1\n")
    with pytest.raises(AdvisorySourceError, match="shrunk from 100 to 1 names"):
        await update(path, source, now=now)
    assert ids(path, "bad-7") == ["MAL-LIST-bad-7"]
    await update(path, source, now=now, replace=True)
    assert ids(path, "bad-7") == []
    big = MemorySource([record(f"B-{n}", f"b{n}") for n in range(2_000)], name="feed")
    await update(path, big, now=now)
    await update(path, MemorySource([record(f"X-{n}", f"x{n}") for n in range(200)], name="more"), now=now)
    with pytest.raises(AdvisorySourceError, match="shrunk from 200 to 1"):
        await update(path, MemorySource([record("X-1", "x1")], name="more"), now=now)


async def test_changes_take_the_place_of_their_records_and_of_no_others(
    path: Path, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    changed = [record("PY-1", "p1", fixed="0.5"), record("PY-2", "moved"), record("PY-99", "new")]
    (tmp_path / "changes.jsonl").write_bytes(b"\n".join(changed))
    await update(path, FileSource(tmp_path / "changes.jsonl", taken=Taken(changes=True)), now=now)
    assert [ids(path, name) for name in ("p1", "p2", "moved", "new", "p3")] == [[], [], ["PY-2"], ["PY-99"], ["PY-3"]]
    (base,) = AdvisoryIndex.open(path).status().datasets
    assert (base.source, base.records, base.is_base) == ("feed", 11, True)
    assert base.data_date == BASE_DATE, "nobody said that these are all the changes"
    upto = now - timedelta(days=1)
    taken = Taken(data_date=upto, changes=True)
    await update(path, FileSource(tmp_path / "changes.jsonl", taken=taken), now=now)
    assert AdvisoryIndex.open(path).status().data_date(Ecosystem.PYPI) == upto
    taken = Taken(data_date=BASE_DATE, changes=True)
    await update(path, FileSource(tmp_path / "changes.jsonl", taken=taken), now=now)
    assert AdvisoryIndex.open(path).status().data_date(Ecosystem.PYPI) == upto, "changes make no data older"


async def test_changes_of_nothing_are_refused(path: Path, tmp_path: Path, now: datetime, record: MakeRecord) -> None:
    (tmp_path / "changes.jsonl").write_bytes(record("JS-1", "n1", ecosystem="npm"))
    with pytest.raises(AdvisorySourceError, match="no npm data that they could be changes of"):
        await update(path, FileSource(tmp_path / "changes.jsonl", taken=Taken(changes=True)), now=now)


async def test_facts_that_others_supply_stay_until_newer_ones_come(
    path: Path, tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    head = "#model_version:v1,score_date:2026-05-30T00:00:00Z\ncve,epss,percentile\n"
    (tmp_path / "epss.csv").write_text(head + "CVE-2026-0001,0.5,0.9\n")
    entry = {"cveID": "CVE-2026-0002", "dateAdded": "2026-05-02"}
    kev = {"catalogVersion": "1", "dateReleased": "2026-05-31T00:00:00Z", "count": 1, "vulnerabilities": [entry]}
    (tmp_path / "kev.json").write_text(json.dumps(kev))
    before = AdvisoryIndex.open(path).status().fingerprint
    for name in ("epss.csv", "kev.json"):
        await update(path, FileSource(tmp_path / name), now=now)
    await update(path, MemorySource([record(f"PY-{n}", f"p{n}") for n in range(12)], name="feed"), now=now)
    index = AdvisoryIndex.open(path)
    assert index.status().fingerprint != before
    assert [(one.kind, one.records, f"{one.data_date:%m-%d}") for one in index.status().supplied] == [
        (RecordKind.EPSS, 1, "05-30"),
        (RecordKind.KEV, 1, "05-31"),
    ]
    assert index.exploitation(["PY-1", "CVE-2026-0001"]) == Exploitation(0.5, 0.9, date(2026, 5, 30))
    assert index.exploitation(["CVE-2026-0002"]) == Exploitation(kev_added=date(2026, 5, 2))
    assert index.exploitation(["CVE-2026-0003"]) is None
    (tmp_path / "epss.csv").write_text(head + "CVE-2026-0003,0.25,0.5\n")
    await update(path, FileSource(tmp_path / "epss.csv"), now=now)
    assert AdvisoryIndex.open(path).exploitation(["CVE-2026-0001"]) is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("epss.csv", "#score_date:2026-05-30T00:00:00Z\ncve,epss,percentile\nCVE-2026-0001,0.5,0.9\n"),
        ("bad.txt", "reqeusts\n"),
    ],
)
async def test_what_stands_beside_advisories_is_no_index(
    tmp_path: Path, now: datetime, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AdvisorySourceError, match="no index yet"):
        await update(tmp_path / "home" / "i.db", FileSource(tmp_path / name, taken=PYPI), now=now)


async def test_scores_of_an_unknown_day_and_scores_given_twice_are_refused(
    path: Path, tmp_path: Path, now: datetime
) -> None:
    (tmp_path / "epss.csv").write_text("cve,epss,percentile\nCVE-2026-0001,0.5,0.9\n")
    with pytest.raises(AdvisorySourceError, match="of when it is"):
        await update(path, FileSource(tmp_path / "epss.csv"), now=now)
    (tmp_path / "epss.csv").write_text("cve,epss,percentile\n" + "CVE-2026-0001,0.5,0.9\n" * 2)
    with pytest.raises(AdvisorySourceError, match="names CVE-2026-0001 twice"):
        await update(path, FileSource(tmp_path / "epss.csv"), now=now)
