"""The index file's format: one SQLite database, its tables, and how an advisory is written into a row.

``base`` is the data an ecosystem's date stands for; every other layer adds to it under its source's name and leaves
that date alone (see ``update``). A higher ``FORMAT`` is another format: files of another one are refused, not read.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

import orjson

from skillyard.governance.advisories.advisory import Advisory, Interval
from skillyard.governance.advisories.severity import Cvss
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.report import Exploitation, Severity
from skillyard.skills.skill import Ecosystem

FORMAT: Final = 2
APPLICATION_ID: Final = 0x534B5941
"""``SKYA``: tells an advisory index from any other SQLite file (SQLite file format, offset 68)."""
BASE: Final = ""
"""The layer name of an ecosystem's base data."""
NAMES_LAYER: Final = "names: "
"""How the layers of name lists begin: a list and the records of one source stand beside each other."""

SCHEMA: Final = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE dataset (
    ecosystem TEXT NOT NULL, layer TEXT NOT NULL, source TEXT NOT NULL, data_date TEXT NOT NULL,
    date_basis TEXT NOT NULL, records INTEGER NOT NULL, advisories INTEGER NOT NULL, sha256 TEXT NOT NULL,
    validator TEXT, imported_at TEXT NOT NULL, PRIMARY KEY (ecosystem, layer)
) WITHOUT ROWID;
CREATE TABLE advisory (
    ecosystem TEXT NOT NULL, package TEXT NOT NULL, id TEXT NOT NULL, layer TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (ecosystem, package, id, layer)
) WITHOUT ROWID;
CREATE TABLE supplied (
    kind TEXT NOT NULL PRIMARY KEY, source TEXT NOT NULL, data_date TEXT NOT NULL, records INTEGER NOT NULL,
    sha256 TEXT NOT NULL, validator TEXT, imported_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE epss (id TEXT NOT NULL PRIMARY KEY, score REAL NOT NULL, percentile REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE kev (id TEXT NOT NULL PRIMARY KEY, added TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE seal (sha256 TEXT NOT NULL);
"""
_DATASET_COLUMNS: Final = (
    "ecosystem, layer, source, data_date, date_basis, records, advisories, sha256, validator, imported_at"
)
SELECT_DATASETS: Final = f"SELECT {_DATASET_COLUMNS} FROM dataset ORDER BY ecosystem, layer"  # noqa: S608  # the columns are our own words
INSERT_DATASET: Final = f"INSERT INTO dataset ({_DATASET_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # the columns are our own words
INSERT_ADVISORY: Final = "INSERT INTO advisory (ecosystem, package, id, layer, body) VALUES (?, ?, ?, ?, ?)"
SELECT_SUPPLIED: Final = (
    "SELECT kind, source, data_date, records, sha256, validator, imported_at FROM supplied ORDER BY kind"
)
INSERT_SUPPLIED: Final = "INSERT INTO supplied VALUES (?, ?, ?, ?, ?, ?, ?)"
INSERT_EPSS: Final = "INSERT INTO epss VALUES (?, ?, ?)"
INSERT_KEV: Final = "INSERT INTO kev VALUES (?, ?)"
SELECT_PACKAGE: Final = "SELECT id, body FROM advisory WHERE ecosystem = ? AND package = ? ORDER BY id, layer"


def content_digest(connection: sqlite3.Connection) -> str:
    """SHA-256 over every row that is not the seal, in key order. The seal holds it, so that no row can get lost.

    It is proof against accidents alone: whoever can write the file can write another seal.
    """
    digest = hashlib.sha256()
    for query in (
        SELECT_DATASETS,
        "SELECT * FROM advisory ORDER BY ecosystem, package, id, layer",
        SELECT_SUPPLIED,
        "SELECT * FROM epss ORDER BY id",
        "SELECT * FROM kev ORDER BY id",
    ):
        for row in connection.execute(query):
            parts = (value if isinstance(value, bytes) else str(value).encode() for value in row)
            digest.update(b"\0".join(parts) + b"\n")
    return digest.hexdigest()


class DateBasis(StrEnum):
    """Where a data date comes from: said by the source, taken from the newest record, or nobody knows a better one."""

    DECLARED = "declared"
    NEWEST_RECORD = "newest_record"
    IMPORTED = "imported"
    """A list of names without a date: no older than its import, and it makes nothing else look fresh."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One layer of one ecosystem: who delivered it, of when it is, how much it is."""

    ecosystem: Ecosystem
    layer: str
    source: str
    data_date: datetime
    """Date of the data in UTC, not of the import."""
    date_basis: DateBasis
    records: int
    advisories: int
    """One for each package that a record names."""
    sha256: str
    """Over the records as read, each followed by a line feed."""
    validator: str | None
    imported_at: datetime

    @property
    def is_base(self) -> bool:
        return self.layer == BASE

    @property
    def kind(self) -> RecordKind:
        return RecordKind.NAMES if self.layer.startswith(NAMES_LAYER) else RecordKind.ADVISORIES


@dataclass(frozen=True, slots=True)
class Supplied:
    """Facts about vulnerabilities that stand beside the advisories: EPSS scores, or the KEV catalogue."""

    kind: RecordKind
    source: str
    data_date: datetime
    records: int
    sha256: str
    validator: str | None
    imported_at: datetime


def dataset_row(dataset: Dataset) -> tuple[str | int | None, ...]:
    return (
        dataset.ecosystem.value,
        dataset.layer,
        dataset.source,
        dataset.data_date.isoformat(),
        dataset.date_basis.value,
        dataset.records,
        dataset.advisories,
        dataset.sha256,
        dataset.validator,
        dataset.imported_at.isoformat(),
    )


def read_datasets(connection: sqlite3.Connection) -> tuple[Dataset, ...]:
    """Every dataset. Raises ``sqlite3.Error``, ``ValueError`` or ``TypeError`` on a file that is not an index."""
    return tuple(
        Dataset(
            ecosystem=Ecosystem(row[0]),
            layer=row[1],
            source=row[2],
            data_date=datetime.fromisoformat(row[3]).astimezone(UTC),
            date_basis=DateBasis(row[4]),
            records=row[5],
            advisories=row[6],
            sha256=row[7],
            validator=row[8],
            imported_at=datetime.fromisoformat(row[9]).astimezone(UTC),
        )
        for row in connection.execute(SELECT_DATASETS)
    )


def supplied_row(supplied: Supplied) -> tuple[str | int | None, ...]:
    return (
        supplied.kind.value,
        supplied.source,
        supplied.data_date.isoformat(),
        supplied.records,
        supplied.sha256,
        supplied.validator,
        supplied.imported_at.isoformat(),
    )


def read_supplied(connection: sqlite3.Connection) -> tuple[Supplied, ...]:
    """What was supplied beside the advisories. Raises as ``read_datasets`` does."""
    return tuple(
        Supplied(
            kind=RecordKind(row[0]),
            source=row[1],
            data_date=datetime.fromisoformat(row[2]).astimezone(UTC),
            records=row[3],
            sha256=row[4],
            validator=row[5],
            imported_at=datetime.fromisoformat(row[6]).astimezone(UTC),
        )
        for row in connection.execute(SELECT_SUPPLIED)
    )


def exploitation_of(connection: sqlite3.Connection, ids: Sequence[str]) -> Exploitation | None:
    """What was supplied about a vulnerability under any of its ids: the highest score, the earliest entry."""
    marks = ", ".join("?" * len(ids))
    score = connection.execute(
        f"SELECT score, percentile FROM epss WHERE id IN ({marks}) ORDER BY score DESC LIMIT 1",  # noqa: S608  # question marks
        ids,
    ).fetchone()
    (added,) = connection.execute(f"SELECT min(added) FROM kev WHERE id IN ({marks})", ids).fetchone()  # noqa: S608  # question marks
    if score is None:
        return None if added is None else Exploitation(kev_added=date.fromisoformat(added))
    (of_when,) = connection.execute("SELECT data_date FROM supplied WHERE kind = ?", (RecordKind.EPSS,)).fetchone()
    return Exploitation(
        epss=score[0],
        epss_percentile=score[1],
        epss_date=datetime.fromisoformat(of_when).date(),
        kev_added=None if added is None else date.fromisoformat(added),
    )


def advisory_row(advisory: Advisory, layer: str) -> tuple[str, str, str, str, bytes]:
    body = [
        advisory.aliases,
        [[part.introduced, part.fixed, part.last_affected, part.before] for part in advisory.intervals],
        sorted(advisory.versions),
        advisory.undetermined,
        advisory.severity.value,
        None if advisory.cvss is None else [advisory.cvss.score, advisory.cvss.vector, advisory.cvss.severity.value],
        advisory.modified.isoformat(),
        advisory.published.isoformat() if advisory.published else None,
        advisory.withdrawn.isoformat() if advisory.withdrawn else None,
    ]
    return advisory.ecosystem.value, advisory.package, advisory.id, layer, orjson.dumps(body)


def advisory_from(ecosystem: Ecosystem, package: str, identity: str, body: bytes) -> Advisory:
    """The advisory of a row. Raises ``ValueError`` or ``TypeError`` for a body that this format never writes."""
    aliases, intervals, versions, undetermined, severity, cvss, modified, published, withdrawn = orjson.loads(body)
    return Advisory(
        id=identity,
        ecosystem=ecosystem,
        package=package,
        aliases=tuple(aliases),
        intervals=tuple(Interval(*part) for part in intervals),
        versions=frozenset(versions),
        undetermined=tuple(undetermined),
        severity=Severity(severity),
        cvss=None if cvss is None else Cvss(cvss[0], cvss[1], Severity(cvss[2])),
        modified=datetime.fromisoformat(modified),
        published=datetime.fromisoformat(published) if published else None,
        withdrawn=datetime.fromisoformat(withdrawn) if withdrawn else None,
    )
