"""Name lists, EPSS and KEV: read as strictly as advisories, because half a list makes the rest look harmless."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance.advisories.formats import Exploited, Score, is_name, kind_of, read_epss, read_kev, read_names
from skillyard.governance.advisories.records import ReadLimits
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem

LIMITS = ReadLimits()
HEADER = "#model_version:v2025.03.14,score_date:2026-05-30T12:55:00Z\ncve,epss,percentile\n"


def catalogue(**fields: Any) -> bytes:
    entry = {"cveID": "CVE-2021-44228", "dateAdded": "2021-12-10", "vendorProject": "Apache"}
    whole = {
        "title": "Known exploited vulnerabilities",
        "catalogVersion": "2026.05.30",
        "dateReleased": "2026-05-30T17:00:22.4387Z",
        "count": 1,
        "vulnerabilities": [entry],
    }
    return json.dumps(whole | fields).encode()


KINDS = [
    ("names.txt", b"one\n", RecordKind.NAMES),
    ("names.TXT.gz", gzip.compress(b"one\n"), RecordKind.NAMES),
    ("epss.csv", HEADER.encode(), RecordKind.EPSS),
    ("epss_scores-2026-05-30.csv.gz", gzip.compress(HEADER.encode()), RecordKind.EPSS),
    ("kev.json", catalogue(), RecordKind.KEV),
    ("kev.json.gz", gzip.compress(catalogue()), RecordKind.KEV),
    ("record.json", b'{"id":"A","affected":[]}', RecordKind.ADVISORIES),
    ("all.zip", b"", RecordKind.ADVISORIES),
    ("all.jsonl.gz", b"", RecordKind.ADVISORIES),
]


@pytest.mark.parametrize(("name", "content", "kind"), KINDS, ids=[name for name, *_ in KINDS])
def test_a_file_says_what_it_holds(tmp_path: Path, name: str, content: bytes, kind: RecordKind) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) is kind


def test_names_have_comments_and_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("# of May\n\nReqeusts \nleft_pat  # a misspelling\r\n")
    assert [name for _, name in read_names(tmp_path / "x.txt", Ecosystem.PYPI, LIMITS)] == ["Reqeusts", "left_pat"]


@pytest.mark.parametrize(
    "line", ["<html>", "two words", ".gitignore", '"requ\\320\\265sts"', "requ\u0435sts", "a/b", "x" * 300]
)
def test_what_is_no_name_stops_the_import_and_says_where(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.txt").write_text(f"one\n{line}\n")
    with pytest.raises(AdvisorySourceError, match=r"x\.txt:2: not a pypi package name"):
        list(read_names(tmp_path / "x.txt", Ecosystem.PYPI, LIMITS))


@pytest.mark.parametrize(
    ("name", "known"),
    [("@scope/left-pat", True), ("JSONStream", True), ("@scope", False), ("a/b", False), ("a b", False)],
)
def test_npm_names_keep_their_scope(name: str, *, known: bool) -> None:
    assert is_name(Ecosystem.NPM, name) is known


def test_scores_and_the_date_of_them(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(HEADER + "CVE-1999-0001,0.01141,0.84578\nCVE-2021-44228,0.97559,1.00000\n")
    read = [found for _, found in read_epss(tmp_path / "x.csv", LIMITS) if found is not None]
    assert read == [
        datetime(2026, 5, 30, 12, 55, tzinfo=UTC),
        Score("CVE-1999-0001", 0.01141, 0.84578),
        Score("CVE-2021-44228", 0.97559, 1.0),
    ]


@pytest.mark.parametrize(
    "content",
    [
        "CVE-1999-0001,0.1,0.2\n",
        HEADER + "CVE-1999-0001,1.1,0.2\n",
        HEADER + "CVE-1999-0001,nan,0.2\n",
        HEADER + "CVE-1999-0001,0.2\n",
        HEADER + "GHSA-1,0.1,0.2\n",
        "<html>\n",
    ],
)
def test_what_is_no_score_stops_the_import(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(AdvisorySourceError, match=r"x\.csv:\d"):
        list(read_epss(tmp_path / "x.csv", LIMITS))


def test_the_catalogue_has_a_date_and_its_entries(tmp_path: Path) -> None:
    (tmp_path / "kev.json").write_bytes(catalogue())
    _, released, entries = read_kev(tmp_path / "kev.json", LIMITS)
    assert (released.date(), entries) == (date(2026, 5, 30), (Exploited("CVE-2021-44228", date(2021, 12, 10)),))


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 2},
        {"count": 0, "vulnerabilities": []},
        {"vulnerabilities": [{"cveID": "CVE-2021-44228"}]},
        {"vulnerabilities": [{"cveID": "log4shell", "dateAdded": "2021-12-10"}]},
        {"vulnerabilities": [{"cveID": "CVE-2021-44228", "dateAdded": "soon"}]},
        {"dateReleased": "2026-05-30"},
    ],
)
def test_a_catalogue_that_is_not_whole_stops_the_import(tmp_path: Path, fields: dict[str, Any]) -> None:
    (tmp_path / "kev.json").write_bytes(catalogue(**fields))
    with pytest.raises(AdvisorySourceError, match="not a KEV catalogue"):
        read_kev(tmp_path / "kev.json", LIMITS)
