"""The advisory index: a file that is only ever replaced as a whole, and read without locks.

A missing, damaged or foreign file is an error. It is never an empty index, because an empty index would make every
package look clean.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from skillyard.governance.advisories.advisory import Advisory, Applies
from skillyard.governance.advisories.index_format import (
    APPLICATION_ID,
    FORMAT,
    SELECT_PACKAGE,
    Dataset,
    Supplied,
    advisory_from,
    content_digest,
    exploitation_of,
    read_datasets,
    read_supplied,
)
from skillyard.governance.advisories.match import Match, affects
from skillyard.governance.advisories.versions import canonical_name
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.report import Exploitation
from skillyard.skills.skill import Ecosystem

_CACHED_PACKAGES: Final = 4096


def index_path(home: Path) -> Path:
    """Where an instance keeps its index."""
    return home / "advisories.db"


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds. ``datasets`` is never empty."""

    format: int
    datasets: tuple[Dataset, ...]
    supplied: tuple[Supplied, ...] = ()

    def base(self, ecosystem: Ecosystem) -> Dataset:
        """The data that the ecosystem's date stands for. Raises ``AdvisoryIndexMissingError`` where there is none."""
        for dataset in self.datasets:
            if dataset.ecosystem is ecosystem and dataset.is_base:
                return dataset
        raise AdvisoryIndexMissingError(f"the advisory index holds no data about {ecosystem.value} packages")

    def data_date(self, ecosystem: Ecosystem) -> datetime:
        return self.base(ecosystem).data_date

    @property
    def fingerprint(self) -> str:
        """12 hex digits that change with the data: an abbreviation for people and caches, not a proof."""
        parts = [f"{one.ecosystem.value} {one.layer} {one.sha256}" for one in self.datasets]
        parts += [f"{one.kind.value} {one.sha256}" for one in self.supplied]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


class AdvisoryIndex:
    """An open index. Thread-safe; blocking (tens of microseconds a package, once it was read)."""

    def __init__(self, connection: sqlite3.Connection, status: IndexStatus) -> None:
        self._connection = connection
        self._status = status
        self._lock = threading.Lock()
        self._packages: OrderedDict[tuple[Ecosystem, str], tuple[Advisory, ...]] = OrderedDict()
        # Threads may still look things up when the index is replaced, so it closes when the last of them lets go.
        self._close = weakref.finalize(self, connection.close)

    @classmethod
    def open(cls, path: Path) -> AdvisoryIndex:
        """Open and verify: the format, and that every row is there as it was written (about 20 ms a MB).

        Raises ``AdvisoryIndexMissingError`` where there is no file, ``AdvisoryIndexError`` where it is not whole.
        """
        if not path.is_file():
            raise AdvisoryIndexMissingError("there is no advisory index; `skillyard advisories update` makes one")
        try:
            address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(address, uri=True, check_same_thread=False)
        except sqlite3.Error as error:
            raise AdvisoryIndexError(f"the advisory index cannot be opened: {error}") from error
        try:
            return cls(connection, _verified(connection))
        except (sqlite3.Error, ValueError, TypeError) as error:
            connection.close()
            raise AdvisoryIndexError(f"the advisory index is damaged: {error}") from error
        except AdvisoryIndexError:
            connection.close()
            raise

    def close(self) -> None:
        """Close now. Lookups of packages that were not read yet fail afterwards."""
        self._close()

    def status(self) -> IndexStatus:
        return self._status

    def matches(self, ecosystem: Ecosystem, name: str, version: str) -> tuple[Match, ...]:
        """Advisories that apply to a version or may, by id. Raises ``AdvisoryIndexError``; empty means clean.

        An ecosystem that the index holds no data about is an error too.
        """
        self._status.base(ecosystem)
        not_affected = Applies.NOT_AFFECTED
        return tuple(
            Match(advisory, applies)
            for advisory in self.advisories(ecosystem, name)
            if (applies := affects(advisory, version)) is not not_affected
        )

    def advisories(self, ecosystem: Ecosystem, name: str) -> tuple[Advisory, ...]:
        """Everything on record about a package, withdrawn advisories included, by id."""
        key = ecosystem, canonical_name(ecosystem, name)
        with self._lock:
            if key not in self._packages:
                self._packages[key] = self._read(*key)
                if len(self._packages) > _CACHED_PACKAGES:
                    self._packages.popitem(last=False)
            self._packages.move_to_end(key)
            return self._packages[key]

    def exploitation(self, ids: Iterable[str]) -> Exploitation | None:
        """What was supplied (EPSS, KEV) about a vulnerability that has these ids; ``None`` where nothing was."""
        if not self._status.supplied:
            return None
        try:
            with self._lock:
                return exploitation_of(self._connection, tuple(ids))
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise AdvisoryIndexError(f"the advisory index is damaged: {error}") from error

    def _read(self, ecosystem: Ecosystem, package: str) -> tuple[Advisory, ...]:
        newest: dict[str, Advisory] = {}
        try:
            with closing(self._connection.execute(SELECT_PACKAGE, (ecosystem.value, package))) as rows:
                for identity, body in rows:
                    advisory = advisory_from(ecosystem, package, identity, body)
                    # Two layers may hold one id; the OSV schema has the later ``modified`` be authoritative.
                    if identity not in newest or newest[identity].modified < advisory.modified:
                        newest[identity] = advisory
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise AdvisoryIndexError(f"the advisory index is damaged: {error}") from error
        return tuple(newest.values())


def _verified(connection: sqlite3.Connection) -> IndexStatus:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise AdvisoryIndexError("the file in the advisory index's place is something else")
    if version != FORMAT:
        raise AdvisoryIndexError(f"the advisory index has format {version}, this release reads {FORMAT}; update it")
    (seal,) = connection.execute("SELECT sha256 FROM seal").fetchone()
    if seal != content_digest(connection):
        raise AdvisoryIndexError("the advisory index is damaged: its rows are not those that were written")
    status = IndexStatus(version, read_datasets(connection), read_supplied(connection))
    if not status.datasets:
        raise AdvisoryIndexError("the advisory index is damaged: it holds no data")
    return status


def older_sources(path: Path) -> frozenset[str]:
    """Whose data an index of an earlier format holds; nothing for any other file, a damaged one included."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID or not 0 < version < FORMAT:
                return frozenset()
            return frozenset(str(row[0]) for row in connection.execute("SELECT source FROM dataset"))
    except sqlite3.Error:
        return frozenset()


class IndexFile:
    """The index at a path, whichever file is there now: opened once, and again after it was replaced. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._open: tuple[tuple[int, int, int, int], AdvisoryIndex] | None = None

    def current(self) -> AdvisoryIndex:
        """Blocking. Raises ``AdvisoryIndexError`` as ``AdvisoryIndex.open`` does; an index that went is not kept."""
        with self._lock:
            try:
                found = self._path.stat()
            except OSError:
                self._open = None
                return AdvisoryIndex.open(self._path)
            identity = found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
            if self._open is None or self._open[0] != identity:
                self._open = None
                self._open = identity, AdvisoryIndex.open(self._path)
            return self._open[1]
