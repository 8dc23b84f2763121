"""What a file of records holds, and reading those that are not OSV: name lists, EPSS scores, the KEV catalogue.

As strict as the OSV reader: what is not what the format says stops the import and names file and line. Sources of the
formats: FIRST's "EPSS data" (CSV whose first line is a comment), CISA's KEV JSON schema.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import orjson
from packaging.utils import InvalidName, canonicalize_name

from skillyard.governance.advisories.fields import Fields, WrongFieldError, as_fields, items, text, time
from skillyard.governance.advisories.records import RawRecord, ReadLimits, read_lines, read_records
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem

_CVE: Final = re.compile(r"CVE-\d{4}-\d{4,19}")
_NPM_NAME: Final = re.compile(r"(?:@[a-z0-9~._-]{1,213}/)?[A-Za-z0-9~._-]{1,214}")
"""npm's names, the older ones with capital letters included (npm "package.json", "name")."""
_EPSS_DATE: Final = re.compile(r"score_date:(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d))")
_SNIFFED: Final = 1024 * 1024
"""Bytes looked at to tell a KEV catalogue from an OSV record; its own fields come before its entries."""


@dataclass(frozen=True, slots=True)
class Score:
    """One line of EPSS."""

    id: str
    score: float
    percentile: float


@dataclass(frozen=True, slots=True)
class Exploited:
    """One entry of KEV."""

    id: str
    added: date


def kind_of(path: Path) -> RecordKind:
    """What a file or folder holds, by its suffixes; for JSON by its first fields. Blocking."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(path.name).suffixes[-2:]]
    last = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) == 2 else "".join(suffixes[-1:])
    if path.is_file():
        if last == ".txt":
            return RecordKind.NAMES
        if last == ".csv":
            return RecordKind.EPSS
        if last == ".json" and _is_catalogue(path):
            return RecordKind.KEV
    return RecordKind.ADVISORIES


def _is_catalogue(path: Path) -> bool:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            head = stream.read(_SNIFFED)
    except (OSError, EOFError):
        return False  # Whoever reads it as records says what is wrong with it.
    before = head.partition(b'"vulnerabilities"')[0]
    return len(before) < len(head) and b'"catalogVersion"' in before and b'"affected"' not in before


def read_names(path: Path, ecosystem: Ecosystem, limits: ReadLimits) -> Iterator[tuple[RawRecord, str]]:
    """Every name of a list, as written. ``#`` begins a comment; empty lines are left out."""
    for raw in read_lines(path, limits):
        name = raw.data.decode("utf-8", errors="replace").partition("#")[0].strip()
        if name:
            if not is_name(ecosystem, name):
                raise AdvisorySourceError(f"not a {ecosystem.value} package name", source=raw.source, line=raw.line)
            yield raw, name


def is_name(ecosystem: Ecosystem, name: str) -> bool:
    """Whether a package of the ecosystem can be called so."""
    if ecosystem is Ecosystem.NPM:
        return _NPM_NAME.fullmatch(name) is not None
    try:
        return len(name) <= 256 and bool(canonicalize_name(name, validate=True))
    except InvalidName:
        return False


def read_epss(path: Path, limits: ReadLimits) -> Iterator[tuple[RawRecord, Score | datetime | None]]:
    """Every score; before them the date that the file's first line gives, and ``None`` for what says nothing else."""
    header = False
    for raw in read_lines(path, limits):
        line = raw.data.decode("utf-8", errors="replace")
        if line.startswith("#"):
            found = _EPSS_DATE.search(line)
            yield raw, datetime.fromisoformat(found[1]).astimezone(UTC) if found else None
        elif not header:
            if line.split(",")[:3] != ["cve", "epss", "percentile"]:
                raise AdvisorySourceError("the columns are not cve,epss,percentile", source=raw.source, line=raw.line)
            header = True
            yield raw, None
        else:
            yield raw, _score(raw, line)


def _score(raw: RawRecord, line: str) -> Score:
    try:
        identity, score, percentile = line.split(",")[:3]
        found = Score(identity, float(score), float(percentile))
    except ValueError as error:
        raise AdvisorySourceError("not a line of EPSS scores", source=raw.source, line=raw.line) from error
    if not (_CVE.fullmatch(identity) and 0 <= found.score <= 1 and 0 <= found.percentile <= 1):
        raise AdvisorySourceError("not a line of EPSS scores", source=raw.source, line=raw.line)
    return found


def read_kev(path: Path, limits: ReadLimits) -> tuple[RawRecord, datetime, tuple[Exploited, ...]]:
    """The catalogue: its bytes, when it was released, its entries."""
    raws = tuple(read_records(path, limits))
    try:
        (raw,) = raws
        catalogue = as_fields(orjson.loads(raw.data), "the catalogue")
        return raw, time(catalogue, "dateReleased"), _entries(catalogue)
    except (ValueError, WrongFieldError) as error:
        raise AdvisorySourceError(f"not a KEV catalogue: {error}", source=path.name) from error


def _entries(catalogue: Fields) -> tuple[Exploited, ...]:
    entries = items(catalogue, "vulnerabilities")
    if catalogue.get("count") != len(entries) or not entries:
        raise WrongFieldError("count is not the number of its entries, or there are none")
    return tuple(_exploited(as_fields(entry, "vulnerabilities[]")) for entry in entries)


def _exploited(entry: Fields) -> Exploited:
    identity, added = text(entry, "cveID"), text(entry, "dateAdded")
    if not _CVE.fullmatch(identity):
        raise WrongFieldError(f"cveID is not a CVE id: {identity}")
    return Exploited(identity, date.fromisoformat(added))
