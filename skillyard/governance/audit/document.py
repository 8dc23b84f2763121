"""A chain, or records picked from it, as a file that can be checked without a database.

JSON lines: a header; the public keys; the records as they were hashed, oldest first, each followed by the signed heads
that are about it; a trailer that is signed over all bytes before it. Archives and exports are such files.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

import orjson

from skillyard.governance.audit.record import Entry, Head
from skillyard.governance.audit.signed import Checkpoint, RegisteredKey, file_statement
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.signing import SigningKey

VERSION = 1
MOST_LINE_BYTES = 16 * 1024 * 1024
_GZIP = b"\x1f\x8b"


class FileKind(StrEnum):
    """``chain``: every record from the first to the last. ``excerpt``: those that a filter picked."""

    CHAIN = "chain"
    EXCERPT = "excerpt"


@dataclass(frozen=True, slots=True)
class Header:
    """What a file is about. Its records begin behind ``after``; ``filter`` says how an excerpt was picked."""

    kind: FileKind
    workspace_id: int
    workspace: str
    after: Head
    filter: Mapping[str, str | int | None] | None = None

    def document(self) -> dict[str, object]:
        return {
            "version": VERSION,
            "kind": self.kind.value,
            "workspace_id": self.workspace_id,
            "workspace": self.workspace,
            "first_seq": self.after.seq + 1,
            "prev_hash": self.after.hash,
            "filter": self.filter,
        }


class FileMaker:
    """Makes the lines of one file; hand them on in the order in which they were made."""

    def __init__(self, header: Header) -> None:
        self.records = 0
        self._header = header
        self._head = header.after
        self._digest = hashlib.sha256()

    def begin(self) -> bytes:
        return self._line({"header": self._header.document()})

    def record(self, entry: Entry) -> bytes:
        self.records += 1
        self._head = Head(entry.seq, entry.hash)
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        self._digest.update(line)
        return line

    def checkpoint(self, checkpoint: Checkpoint) -> bytes:
        return self._line({"checkpoint": asdict(checkpoint)})

    def key(self, key: RegisteredKey) -> bytes:
        return self._line({"key": asdict(key)})

    def end(self, key: SigningKey, at: str) -> bytes:
        """The signed last line."""
        facts: dict[str, object] = {
            **self._header.document(),
            "records": self.records,
            "last_seq": self._head.seq,
            "last_hash": self._head.hash,
            "sha256": self._digest.hexdigest(),
            "at": at,
            "key_id": key.id,
            "public_key": key.public.hex,
        }
        return self._line({"trailer": {**facts, "signature": key.sign(file_statement(facts))}})

    def _line(self, document: Mapping[str, object]) -> bytes:
        line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        self._digest.update(line)
        return line


@contextmanager
def opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, compressed or not, with its line ends. Raises ``OSError``, and ``AuditBrokenError`` for
    a file that is damaged or has a line that no record can be."""
    with path.open("rb") as file:
        compressed = file.read(2) == _GZIP
        file.seek(0)
        if not compressed:
            yield _lines(file, path.name)
            return
        with gzip.GzipFile(fileobj=file) as content:
            yield _lines(cast("IO[bytes]", content), path.name)


def _lines(stream: IO[bytes], name: str) -> Iterator[bytes]:
    try:
        while line := stream.readline(MOST_LINE_BYTES + 1):
            if len(line) > MOST_LINE_BYTES:
                raise AuditBrokenError(f"{name} has a line of more than {MOST_LINE_BYTES} bytes")
            yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AuditBrokenError(f"{name} was changed or cut: it cannot be unpacked ({error})") from error
