"""One recording on disk: JSON lines, bounded, written while the call runs and readable meanwhile.

The whole room is reserved when the file is made, so that a full disk refuses the call before it starts. What is not
written yet is zeros then, which no line holds: whoever reads a file that is still written stops at the first.
Everything here blocks, and is used from one thread at a time.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from skillyard.json_value import JsonValue
from skillyard.times import utcnow

LIVE, DONE = ".live", ".done"
"""Suffixes of a recording's file while it is written, and once nothing more is."""

_END_BYTES = 64 * 1024
"""Room that is kept for the last lines: where what was truncated, and how the call ended."""
_PIECE_BYTES = 32 * 1024
_LINE_OVERHEAD = 160


@dataclass(slots=True)
class _Part:
    """Bytes of one thing that is recorded: how many there were, and how many of them are in the file."""

    seen: int = 0
    kept: int = 0


class RecordingFile:
    """Writes; never beyond ``limit`` bytes. What has no room is counted, and told at the end."""

    def __init__(self, path: Path, limit: int) -> None:
        """Raises ``OSError``, with nothing left behind."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._limit = limit
        self._written = 0
        self._parts: dict[str, _Part] = {}
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            _reserve(self._file, limit)
        except OSError:
            self.remove()
            raise

    @property
    def truncated(self) -> bool:
        return any(part.kept < part.seen for part in self._parts.values())

    def line(self, event: str, facts: Mapping[str, JsonValue]) -> None:
        """One event that is always written: there are few, and they are short."""
        self._write(_line(event, facts))

    def data(self, event: str, of: str, content: bytes, *, limit: int | None = None) -> None:
        """Bytes of a part named ``of``, as far as there is room, and below ``limit`` where one is given."""
        part = self._parts.setdefault(of, _Part())
        whole = part.kept == part.seen
        part.seen += len(content)
        most = min(self._limit - _END_BYTES, limit or self._limit)
        # Behind a gap nothing more of a part is kept: what is there is its beginning.
        for begin in range(0, len(content) if whole else 0, _PIECE_BYTES):
            piece = content[begin : begin + _PIECE_BYTES]
            room = (most - self._written - _LINE_OVERHEAD - len(of)) // 4 * 3
            kept = piece[: max(0, room)]
            if kept:
                self._write(_line(event, {"of": of, **_text_or_bytes(kept)}))
                part.kept += len(kept)
            if len(kept) < len(piece):
                return

    def fact(self, event: str, of: str, facts: Mapping[str, JsonValue]) -> None:
        """One event of many of its kind, counted as the bytes of its line: kept while there is room."""
        part, line = self._parts.setdefault(of, _Part()), _line(event, facts)
        fits = part.kept == part.seen and self._written + len(line) <= self._limit - _END_BYTES
        part.seen += len(line)
        if fits:
            self._write(line)
            part.kept += len(line)

    def end(self, facts: Mapping[str, JsonValue]) -> None:
        """The last lines, on disk when this returns."""
        for of, part in self._parts.items():
            if part.kept < part.seen:
                told = f"truncated at {part.kept} of {part.seen} bytes"
                self.line("truncated", {"of": of, "kept": part.kept, "seen": part.seen, "message": told})
        self.line("ended", {**facts, "truncated": self.truncated})
        os.ftruncate(self._file, self._written)
        os.fsync(self._file)

    def close(self) -> None:
        """Nothing more is written. The file's new name says so."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._written)
            os.close(self._file)
            self._file = -1
            with contextlib.suppress(OSError):
                self._path.rename(self._path.with_suffix(DONE))

    def remove(self) -> None:
        os.close(self._file)
        self._file = -1
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self._written += len(line)


def written_in(data: bytes) -> bytes:
    """The whole lines at the beginning of what was read from a file that may still be written."""
    end = data.find(b"\0")
    text = data if end < 0 else data[:end]
    return text[: text.rfind(b"\n") + 1]


def _reserve(file: int, size: int) -> None:
    # Where the platform cannot reserve, a disk that gets full is met when it is written to, and ends the call.
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is not None:
        reserve(file, 0, size)


def _line(event: str, facts: Mapping[str, JsonValue]) -> bytes:
    written: dict[str, Any] = {"event": event, "at": utcnow().isoformat(), **facts}
    return orjson.dumps(written) + b"\n"


def _text_or_bytes(content: bytes) -> dict[str, JsonValue]:
    """Text where it is text that JSON does not swell, else base64: either way a third longer at most."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    if len(orjson.dumps(text)) - 2 > (len(content) + 2) // 3 * 4:
        return {"base64": base64.b64encode(content).decode()}
    return {"text": text}
