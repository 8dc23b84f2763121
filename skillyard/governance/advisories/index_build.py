"""Building an index file from what a source delivered and what stays of the old index. Blocking, streamed, stoppable.

Which records become which dataset is decided in ``deliveries``.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from skillyard.governance.advisories.deliveries import Counts, Delivery, Placing
from skillyard.governance.advisories.formats import kind_of
from skillyard.governance.advisories.index import IndexStatus
from skillyard.governance.advisories.index_format import (
    INSERT_DATASET,
    INSERT_SUPPLIED,
    SCHEMA,
    Dataset,
    Supplied,
    content_digest,
    dataset_row,
    supplied_row,
)
from skillyard.governance.advisories.intake import INCOMING, BuildWatch, Reading
from skillyard.governance.advisories.records import ReadLimits
from skillyard.governance.advisories.source import RecordKind, RecordSet
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class OldIndex:
    """A verified index that is about to be replaced."""

    path: Path
    status: IndexStatus


@dataclass(frozen=True, slots=True)
class Built:
    """``imported`` are the new datasets; ``ignored`` counts records that name no package of ours."""

    imported: tuple[Dataset, ...]
    supplied: tuple[Supplied, ...]
    ignored: int


def build_index(
    target: Path, delivery: Delivery, *, old: OldIndex | None, limits: ReadLimits, watch: BuildWatch
) -> Built:
    """Write a new index to ``target``: the delivery, and all of ``old`` that it does not take the place of.

    Raises ``AdvisorySourceError`` for records that cannot be taken, ``sqlite3.Error`` and ``OSError`` where the target
    cannot be written, ``BuildStoppedError`` soon after ``watch.stop()``.
    """
    with closing(sqlite3.connect(target.resolve().as_uri(), uri=True)) as connection:
        # The file is thrown away unless it becomes whole, so a journal would only cost time.
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {SCHEMA}")
        if old is not None:
            connection.execute("ATTACH DATABASE ? AS old", (f"{old.path.resolve().as_uri()}?mode=ro&immutable=1",))
        build = _Build(connection, delivery, old, Reading(connection, limits, watch))
        for records in delivery.sets:
            build.take(records)
        built = build.built()
        if old is not None:
            _keep(connection, old, built)
        connection.execute("INSERT INTO seal VALUES (?)", (content_digest(connection),))
        connection.commit()
    return built


class _Build:
    """One build under way."""

    def __init__(
        self, connection: sqlite3.Connection, delivery: Delivery, old: OldIndex | None, reading: Reading
    ) -> None:
        self._connection = connection
        self._source = delivery.source
        self._alone = old is None
        self._placing = Placing(delivery, old.status if old is not None else None)
        self._reading = reading
        self._imported: list[Dataset] = []
        self._supplied: list[Supplied] = []
        self._ignored = 0

    def built(self) -> Built:
        if not (self._imported or self._supplied):
            raise AdvisorySourceError("delivered no records", source=self._source)
        if self._alone and not any(one.is_base for one in self._imported):
            message = "delivered nothing but what stands beside advisories, and there is no index yet"
            raise AdvisorySourceError(message, source=self._source)
        return Built(tuple(self._imported), tuple(self._supplied), self._ignored)

    def take(self, records: RecordSet) -> None:
        match records.kind or kind_of(records.path):
            case RecordKind.EPSS:
                self._take_supplied(self._placing.supplied(records, RecordKind.EPSS, *self._reading.epss(records)))
            case RecordKind.KEV:
                self._take_supplied(self._placing.supplied(records, RecordKind.KEV, *self._reading.kev(records)))
            case RecordKind.NAMES:
                self._take_names(records)
            case RecordKind.ADVISORIES:
                self._take_advisories(records)

    def _take_supplied(self, supplied: Supplied) -> None:
        self._supplied.append(supplied)
        self._connection.execute(INSERT_SUPPLIED, supplied_row(supplied))

    def _take_names(self, records: RecordSet) -> None:
        dataset = self._placing.names(records)
        self._require_new(dataset)
        intake = self._reading.names(records, dataset.ecosystem, dataset.layer, dataset.data_date)
        self._imported.append(self._placing.read_names(dataset, intake))
        self._connection.execute(INSERT_DATASET, dataset_row(self._imported[-1]))

    def _take_advisories(self, records: RecordSet) -> None:
        intake = self._reading.advisories(records)
        self._ignored += intake.ignored
        counts = _counts(self._connection, INCOMING)
        for dataset in tuple(self._placing.advisories(records, counts, intake)):
            self._require_new(dataset)
            self._imported.append(self._placed(dataset, changes=records.changes))
            self._connection.execute(INSERT_DATASET, dataset_row(self._imported[-1]))
        self._connection.execute("DELETE FROM advisory WHERE layer = ?", (INCOMING,))

    def _placed(self, dataset: Dataset, *, changes: bool) -> Dataset:
        ecosystem = dataset.ecosystem.value
        if changes:
            self._connection.execute(
                "INSERT INTO advisory SELECT * FROM old.advisory WHERE ecosystem = ? AND layer = ?"
                " AND id NOT IN (SELECT id FROM main.advisory WHERE layer = ?)",
                (ecosystem, dataset.layer, INCOMING),
            )
        self._connection.execute(
            "UPDATE advisory SET layer = ? WHERE layer = ? AND ecosystem = ?", (dataset.layer, INCOMING, ecosystem)
        )
        if not changes:
            return dataset
        records, advisories = _counts(self._connection, dataset.layer)[dataset.ecosystem]
        return replace(dataset, records=records, advisories=advisories)

    def _require_new(self, dataset: Dataset) -> None:
        if any((one.ecosystem, one.kind) == (dataset.ecosystem, dataset.kind) for one in self._imported):
            message = f"delivered {dataset.ecosystem.value} {dataset.kind.value} twice"
            raise AdvisorySourceError(message, source=dataset.source)


def _counts(connection: sqlite3.Connection, layer: str) -> Counts:
    query = "SELECT ecosystem, count(DISTINCT id), count(*) FROM main.advisory WHERE layer = ? GROUP BY ecosystem"
    return {Ecosystem(row[0]): (row[1], row[2]) for row in connection.execute(query, (layer,))}


def _keep(connection: sqlite3.Connection, old: OldIndex, built: Built) -> None:
    """Copy the old layers and facts, but for those of a new dataset's place and those of its source."""
    taken = {(one.ecosystem, one.layer) for one in built.imported}
    taken |= {(one.ecosystem, one.source) for one in built.imported if one.kind is RecordKind.ADVISORIES}
    for dataset in old.status.datasets:
        if (dataset.ecosystem, dataset.layer) not in taken:
            connection.execute(INSERT_DATASET, dataset_row(dataset))
            connection.execute(
                "INSERT INTO advisory SELECT * FROM old.advisory WHERE ecosystem = ? AND layer = ?",
                (dataset.ecosystem.value, dataset.layer),
            )
    for supplied in old.status.supplied:
        if all(one.kind is not supplied.kind for one in built.supplied):
            connection.execute(INSERT_SUPPLIED, supplied_row(supplied))
            connection.execute(f"INSERT INTO {supplied.kind.value} SELECT * FROM old.{supplied.kind.value}")  # noqa: S608  # our own words
