"""Raw OSV records from files: JSON, JSON lines, either with gzip, zip exports, and folders of those.

Everything is streamed and bounded: a compressed file may hold more than it seems.
"""

from __future__ import annotations

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

import orjson

from skillyard.governance.errors import AdvisorySourceError

MIB: Final = 1024 * 1024
SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".gz", ".zip"})
"""File names that hold records; other files of a folder or zip (a README, a licence) are not looked at."""
_LINES: Final = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds on what is read, in bytes after decompression, and in records."""

    record_bytes: int = 16 * MIB
    total_bytes: int = 16 * 1024 * MIB
    records: int = 5_000_000


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as written. ``source`` is the file (``all.zip!GHSA-1.json`` in a zip), ``line`` where it is known."""

    source: str
    line: int | None
    data: bytes


class _Budget:
    """Counts what was read and refuses what is over the limits."""

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        self._bytes = 0
        self._records = 0

    @property
    def longest(self) -> int:
        return self._limits.record_bytes

    def take(self, record: RawRecord) -> RawRecord:
        self._bytes += len(record.data)
        self._records += 1
        if len(record.data) > self._limits.record_bytes:
            raise self._over(record, f"a record is larger than {self._limits.record_bytes} bytes")
        if self._bytes > self._limits.total_bytes:
            raise self._over(record, f"the records are larger than {self._limits.total_bytes} bytes together")
        if self._records > self._limits.records:
            raise self._over(record, f"there are more than {self._limits.records} records")
        return record

    @staticmethod
    def _over(record: RawRecord, message: str) -> AdvisorySourceError:
        return AdvisorySourceError(message, source=record.source, line=record.line)


def read_records(path: Path, limits: ReadLimits | None = None) -> Iterator[RawRecord]:
    """Every record below ``path``, a file or a folder, in an order that is the same on every machine.

    Blocking. Raises ``AdvisorySourceError`` for what cannot be read whole: a truncated or corrupt archive, a file of
    an unknown kind given by name, anything over the limits. The content of records is not looked at.
    """
    budget = _Budget(limits or ReadLimits())
    with _said_plainly(path):
        if path.is_dir():
            for file in _files(path):
                yield from _file(file, str(file.relative_to(path)), budget)
        else:
            yield from _file(path, path.name, budget)


def read_lines(path: Path, limits: ReadLimits | None = None) -> Iterator[RawRecord]:
    """Every line of one text file, compressed or not, that is not empty. Blocking; raises as ``read_records`` does."""
    budget = _Budget(limits or ReadLimits())
    opened = partial(gzip.open, path, "rb") if path.suffix.lower() == ".gz" else partial(path.open, "rb")
    with _said_plainly(path), opened() as stream:
        yield from _lines(cast("IO[bytes]", stream), path.name, budget)


@contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        # zipfile raises RuntimeError for encrypted members and NotImplementedError for unknown compression.
        raise AdvisorySourceError(f"cannot be read: {_plain(error)}", source=str(path)) from error


def _plain(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if PurePosixPath(name).suffix in SUFFIXES and not name.startswith("."):
                yield Path(parent) / name


def _file(path: Path, name: str, budget: _Budget) -> Iterator[RawRecord]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        yield from _zip(path, name, budget)
    elif suffix == ".gz":
        with gzip.open(path, "rb") as stream:
            yield from _stream(cast("IO[bytes]", stream), PurePosixPath(path.stem).suffix.lower(), name, budget)
    else:
        with path.open("rb") as stream:
            yield from _stream(stream, suffix, name, budget)


def _zip(path: Path, name: str, budget: _Budget) -> Iterator[RawRecord]:
    with zipfile.ZipFile(path) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            suffix = PurePosixPath(member.filename).suffix.lower()
            if member.is_dir() or suffix not in SUFFIXES - {".gz", ".zip"}:
                continue
            with archive.open(member) as stream:
                yield from _stream(stream, suffix, f"{name}!{member.filename}", budget)


def _stream(stream: IO[bytes], suffix: str, name: str, budget: _Budget) -> Iterator[RawRecord]:
    if suffix in _LINES:
        yield from _lines(stream, name, budget)
    elif suffix == ".json":
        yield from _document(stream, name, budget)
    else:
        raise AdvisorySourceError("is none of .json, .jsonl, .ndjson, these with .gz, or .zip", source=name)


def _lines(stream: IO[bytes], name: str, budget: _Budget) -> Iterator[RawRecord]:
    number = 0
    while line := stream.readline(budget.longest + 1):
        number += 1
        if line.strip():
            yield budget.take(RawRecord(name, number, line.strip()))


def _document(stream: IO[bytes], name: str, budget: _Budget) -> Iterator[RawRecord]:
    """One record, or an array of them."""
    whole = budget.take(RawRecord(name, None, stream.read(budget.longest + 1)))
    if not whole.data.lstrip().startswith(b"["):
        yield whole
        return
    try:
        values = orjson.loads(whole.data)
    except orjson.JSONDecodeError as error:
        raise AdvisorySourceError(f"not JSON: {error}", source=name) from error
    for value in values:
        yield RawRecord(name, None, orjson.dumps(value))
