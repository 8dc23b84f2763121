"""Reading one set of records into the tables of an index that is being built. Blocking, streamed, stoppable."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from skillyard.governance.advisories.advisory import EVERY_VERSION, Advisory
from skillyard.governance.advisories.formats import Score, read_epss, read_kev, read_names
from skillyard.governance.advisories.index_format import INSERT_ADVISORY, INSERT_EPSS, INSERT_KEV, advisory_row
from skillyard.governance.advisories.match import compact
from skillyard.governance.advisories.osv import parse_record
from skillyard.governance.advisories.records import ReadLimits, read_records
from skillyard.governance.advisories.source import RecordSet
from skillyard.governance.advisories.versions import canonical_name
from skillyard.governance.errors import AdvisorySourceError
from skillyard.governance.report import MALWARE, Severity
from skillyard.skills.skill import Ecosystem

T = TypeVar("T")
INCOMING: Final = "\0incoming"
"""The layer of records whose place is not decided yet; no source is called so."""
LISTED_PREFIX: Final = f"{MALWARE}LIST-"
"""Ids of what a list of names says: no record of a database has such an id, and none is invented."""
_TOLD_EVERY: Final = 256


class BuildStoppedError(Exception):
    """The build was told to stop; its file is of no use."""


class BuildWatch:
    """Tells how many records were read, and ends the build when it is told to stop. Thread-safe."""

    def __init__(self, told: Callable[[int], None]) -> None:
        self._told = told
        self._stop = threading.Event()
        self._count = 0

    def stop(self) -> None:
        self._stop.set()

    def watched(self, records: Iterator[T]) -> Iterator[T]:
        for record in records:
            if self._stop.is_set():
                raise BuildStoppedError
            self._count += 1
            if self._count % _TOLD_EVERY == 0:
                self._told(self._count)
            yield record
        self._told(self._count)


@dataclass(slots=True)
class Intake:
    """What was read of one record set. ``records`` are those about packages of ours, ``ignored`` the others."""

    newest: dict[Ecosystem, datetime] = field(default_factory=dict)
    records: int = 0
    ignored: int = 0
    sha256: str = ""


class Reading:
    """Reads record sets into one database, within limits."""

    def __init__(self, connection: sqlite3.Connection, limits: ReadLimits, watch: BuildWatch) -> None:
        self._connection = connection
        self._limits = limits
        self._watch = watch

    def advisories(self, records: RecordSet) -> Intake:
        """OSV records, into the layer ``INCOMING``."""
        intake, digest = Intake(), hashlib.sha256()
        modified: dict[str, datetime] = {}
        for raw in self._watch.watched(read_records(records.path, self._limits)):
            digest.update(raw.data + b"\n")
            advisories = parse_record(raw.data, source=raw.source, line=raw.line)
            if not advisories:
                intake.ignored += 1
            elif self._is_newest(modified, advisories[0]):
                rows = [advisory_row(compact(advisory), INCOMING) for advisory in advisories]
                self._connection.executemany(INSERT_ADVISORY, rows)
                for advisory in advisories:
                    known = intake.newest.get(advisory.ecosystem, advisory.modified)
                    intake.newest[advisory.ecosystem] = max(known, advisory.modified)
        intake.records = len(modified)
        intake.sha256 = digest.hexdigest()
        return intake

    def _is_newest(self, modified: dict[str, datetime], advisory: Advisory) -> bool:
        """Of two records with one id the later ``modified`` is authoritative (OSV schema, "id, modified fields")."""
        known = modified.get(advisory.id)
        if known is not None and known >= advisory.modified:
            return False
        if known is not None:
            self._connection.execute("DELETE FROM advisory WHERE id = ? AND layer = ?", (advisory.id, INCOMING))
        modified[advisory.id] = advisory.modified
        return True

    def names(self, records: RecordSet, ecosystem: Ecosystem, layer: str, date: datetime) -> Intake:
        """A list of names, into ``layer``: every version of each is known bad."""
        intake, digest = Intake(), hashlib.sha256()
        seen: set[str] = set()
        for raw, written in self._watch.watched(read_names(records.path, ecosystem, self._limits)):
            digest.update(raw.data + b"\n")
            name = canonical_name(ecosystem, written)
            if name not in seen:
                seen.add(name)
                row = advisory_row(_listed(ecosystem, name, date), layer)
                self._connection.execute(INSERT_ADVISORY, row)
        intake.records = len(seen)
        intake.sha256 = digest.hexdigest()
        return intake

    def epss(self, records: RecordSet) -> tuple[Intake, datetime | None]:
        intake, digest, date = Intake(), hashlib.sha256(), None
        for raw, found in self._watch.watched(read_epss(records.path, self._limits)):
            digest.update(raw.data + b"\n")
            if isinstance(found, Score):
                self._unique(records, INSERT_EPSS, (found.id, found.score, found.percentile))
                intake.records += 1
            elif found is not None:
                date = found
        if not intake.records:
            raise AdvisorySourceError("holds no scores", source=records.path.name)
        intake.sha256 = digest.hexdigest()
        return intake, date

    def kev(self, records: RecordSet) -> tuple[Intake, datetime | None]:
        raw, date, entries = read_kev(records.path, self._limits)
        for entry in entries:
            self._unique(records, INSERT_KEV, (entry.id, entry.added.isoformat()))
        return Intake(records=len(entries), sha256=hashlib.sha256(raw.data + b"\n").hexdigest()), date

    def _unique(self, records: RecordSet, statement: str, row: tuple[str | float, ...]) -> None:
        try:
            self._connection.execute(statement, row)
        except sqlite3.IntegrityError as error:
            raise AdvisorySourceError(f"names {row[0]} twice", source=records.path.name) from error


def _listed(ecosystem: Ecosystem, name: str, date: datetime) -> Advisory:
    return Advisory(
        id=LISTED_PREFIX + name,
        ecosystem=ecosystem,
        package=name,
        aliases=(),
        intervals=(EVERY_VERSION,),
        versions=frozenset(),
        undetermined=(),
        severity=Severity.CRITICAL,
        cvss=None,
        modified=date,
        published=None,
        withdrawn=None,
    )
