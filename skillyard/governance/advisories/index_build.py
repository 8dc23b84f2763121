"""Building an index file from what a source delivered and what stays of the old index. Blocking, streamed, stoppable.

Where records go is decided here, because it decides what a date means. An ecosystem's *base* is the data that its date
stands for. A delivery becomes the base where there is none, or where it holds at least half as many records as the
base does; a smaller one (a company's own advisories, say) is *added* under its source's name and changes no date, so
that one fresh record never makes old data look fresh. A base whose own source shrinks by more than half is refused:
that is what a truncated download looks like, and an advisory that is not there makes a package look clean.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from skillyard.governance.advisories.advisory import Advisory
from skillyard.governance.advisories.index import IndexStatus
from skillyard.governance.advisories.index_format import (
    BASE,
    INSERT_ADVISORY,
    INSERT_DATASET,
    SCHEMA,
    Dataset,
    DateBasis,
    advisory_row,
    content_digest,
    dataset_row,
)
from skillyard.governance.advisories.match import compact
from skillyard.governance.advisories.osv import parse_record
from skillyard.governance.advisories.records import RawRecord, ReadLimits, read_records
from skillyard.governance.advisories.source import RecordSet
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem

_INCOMING: Final = "\0incoming"
"""The layer of records whose place is not decided yet; no source is called so."""
_TOLD_EVERY: Final = 256


class BuildStoppedError(Exception):
    """The build was told to stop; its file is of no use."""


@dataclass(frozen=True, slots=True)
class OldIndex:
    """A verified index that is about to be replaced."""

    path: Path
    status: IndexStatus


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one source delivered, and how it is to be taken."""

    source: str
    sets: tuple[RecordSet, ...]
    validator: str | None
    replace: bool
    """Take the records as the base whatever their number."""
    now: datetime


@dataclass(frozen=True, slots=True)
class Built:
    """``imported`` are the new datasets; ``ignored`` counts records that name no package of ours."""

    imported: tuple[Dataset, ...]
    ignored: int


class BuildWatch:
    """Tells how many records were read, and ends the build when it is told to stop. Thread-safe."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._stop = threading.Event()
        self._count = 0

    def stop(self) -> None:
        self._stop.set()

    def watched(self, records: Iterator[RawRecord]) -> Iterator[RawRecord]:
        for record in records:
            if self._stop.is_set():
                raise BuildStoppedError
            self._count += 1
            if self._count % _TOLD_EVERY == 0:
                self._told(self._count)
            yield record
        self._told(self._count)


@dataclass(slots=True)
class _Intake:
    """What has been read of one record set so far."""

    modified: dict[str, datetime] = field(default_factory=dict)
    newest: dict[Ecosystem, datetime] = field(default_factory=dict)
    ignored: int = 0
    sha256: str = ""


def build_index(
    target: Path, delivery: Delivery, *, old: OldIndex | None, limits: ReadLimits, watch: BuildWatch
) -> Built:
    """Write a new index to ``target``: the delivery, and all of ``old`` that it does not take the place of.

    Raises ``AdvisorySourceError`` for records that cannot be taken, ``sqlite3.Error`` and ``OSError`` where the target
    cannot be written, ``BuildStoppedError`` soon after ``watch.stop()``.
    """
    before = old.status.datasets if old is not None else ()
    with closing(sqlite3.connect(target.resolve().as_uri(), uri=True)) as connection:
        # The file is thrown away unless it becomes whole, so a journal would only cost time.
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        imported: list[Dataset] = []
        ignored = 0
        for records in delivery.sets:
            intake = _read_in(connection, records, limits, watch)
            ignored += intake.ignored
            for dataset in _datasets(connection, records, intake, delivery, before):
                _claim(dataset, imported)
                _place(connection, dataset)
            connection.execute("DELETE FROM advisory WHERE layer = ?", (_INCOMING,))
        if not imported:
            raise AdvisorySourceError("delivered no records", source=delivery.source)
        if old is not None:
            _keep(connection, old, imported)
        connection.execute("INSERT INTO seal VALUES (?)", (content_digest(connection),))
        connection.commit()
    return Built(tuple(imported), ignored)


def _read_in(connection: sqlite3.Connection, records: RecordSet, limits: ReadLimits, watch: BuildWatch) -> _Intake:
    intake, digest = _Intake(), hashlib.sha256()
    for raw in watch.watched(read_records(records.path, limits)):
        digest.update(raw.data + b"\n")
        advisories = parse_record(raw.data, source=raw.source, line=raw.line)
        if not advisories:
            intake.ignored += 1
        elif _is_newest(connection, intake, advisories[0]):
            rows = [advisory_row(compact(advisory), _INCOMING) for advisory in advisories]
            connection.executemany(INSERT_ADVISORY, rows)
            for advisory in advisories:
                known = intake.newest.get(advisory.ecosystem, advisory.modified)
                intake.newest[advisory.ecosystem] = max(known, advisory.modified)
    intake.sha256 = digest.hexdigest()
    return intake


def _is_newest(connection: sqlite3.Connection, intake: _Intake, advisory: Advisory) -> bool:
    """Of two records with one id the later ``modified`` is authoritative (OSV schema, "id, modified fields")."""
    known = intake.modified.get(advisory.id)
    if known is not None and known >= advisory.modified:
        return False
    if known is not None:
        connection.execute("DELETE FROM advisory WHERE id = ? AND layer = ?", (advisory.id, _INCOMING))
    intake.modified[advisory.id] = advisory.modified
    return True


def _datasets(
    connection: sqlite3.Connection,
    records: RecordSet,
    intake: _Intake,
    delivery: Delivery,
    before: tuple[Dataset, ...],
) -> Iterator[Dataset]:
    query = "SELECT ecosystem, count(DISTINCT id), count(*) FROM advisory WHERE layer = ? GROUP BY ecosystem"
    counts = {Ecosystem(row[0]): (row[1], row[2]) for row in connection.execute(query, (_INCOMING,))}
    for ecosystem in sorted(_covered(records, counts, intake, delivery)):
        held, advisories = counts[ecosystem]
        date, basis = _date(records, intake.newest[ecosystem], delivery)
        yield Dataset(
            ecosystem=ecosystem,
            layer=_layer(ecosystem, held, delivery, before),
            source=delivery.source,
            data_date=date,
            date_basis=basis,
            records=held,
            advisories=advisories,
            sha256=intake.sha256,
            validator=delivery.validator,
            imported_at=delivery.now,
        )


def _covered(
    records: RecordSet, counts: dict[Ecosystem, tuple[int, int]], intake: _Intake, delivery: Delivery
) -> frozenset[Ecosystem]:
    """The ecosystems that the records are the data of.

    An export of one ecosystem also holds records that name packages of others; those few are not the other's data.
    So where every record names one ecosystem, that one is covered; where none is named by all, all are.
    """
    if records.ecosystems is not None:
        absent = records.ecosystems - counts.keys()
        if absent or not records.ecosystems:
            names = ", ".join(sorted(absent)) or "any ecosystem"
            raise AdvisorySourceError(f"holds no advisory about {names} packages", source=delivery.source)
        return records.ecosystems
    if not counts:
        raise AdvisorySourceError("holds no advisory about a PyPI or npm package", source=delivery.source)
    everywhere = frozenset(one for one, (held, _) in counts.items() if held == len(intake.modified))
    return everywhere or frozenset(counts)


def _date(records: RecordSet, newest: datetime, delivery: Delivery) -> tuple[datetime, DateBasis]:
    """The date of the data. A record dated in the future must not keep an index fresh, so ``now`` is the latest."""
    if records.data_date is None:
        return min(newest, delivery.now).astimezone(UTC), DateBasis.NEWEST_RECORD
    if records.data_date > delivery.now:
        raise AdvisorySourceError(f"is dated in the future: {records.data_date.isoformat()}", source=delivery.source)
    return records.data_date.astimezone(UTC), DateBasis.DECLARED


def _layer(ecosystem: Ecosystem, held: int, delivery: Delivery, before: tuple[Dataset, ...]) -> str:
    base = next((one for one in before if one.ecosystem is ecosystem and one.is_base), None)
    if base is None or delivery.replace or held * 2 >= base.records:
        return BASE
    if base.source == delivery.source:
        message = (
            f"has shrunk from {base.records} to {held} {ecosystem.value} records; replace it only if that is meant"
        )
        raise AdvisorySourceError(message, source=delivery.source)
    return delivery.source


def _claim(dataset: Dataset, imported: list[Dataset]) -> None:
    if any(one.ecosystem is dataset.ecosystem for one in imported):
        message = f"delivered {dataset.ecosystem.value} records twice"
        raise AdvisorySourceError(message, source=dataset.source)
    imported.append(dataset)


def _place(connection: sqlite3.Connection, dataset: Dataset) -> None:
    connection.execute(
        "UPDATE advisory SET layer = ? WHERE layer = ? AND ecosystem = ?",
        (dataset.layer, _INCOMING, dataset.ecosystem.value),
    )
    connection.execute(INSERT_DATASET, dataset_row(dataset))


def _keep(connection: sqlite3.Connection, old: OldIndex, imported: list[Dataset]) -> None:
    """Copy the old layers, but for those of a new dataset's place and those of its source."""
    taken = {(one.ecosystem, layer) for one in imported for layer in (one.layer, one.source)}
    connection.commit()  # SQLite attaches no database inside a transaction.
    connection.execute("ATTACH DATABASE ? AS old", (f"{old.path.resolve().as_uri()}?mode=ro&immutable=1",))
    for dataset in old.status.datasets:
        if (dataset.ecosystem, dataset.layer) not in taken:
            connection.execute(INSERT_DATASET, dataset_row(dataset))
            connection.execute(
                "INSERT INTO advisory SELECT * FROM old.advisory WHERE ecosystem = ? AND layer = ?",
                (dataset.ecosystem.value, dataset.layer),
            )
