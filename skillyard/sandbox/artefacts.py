"""Files that a call hands back: received within limits that are checked again, then stored beside and renamed."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skillyard.sandbox.ending import parse_object
from skillyard.sandbox.guest.frames import MAX_FILES, FrameError, path_problem
from skillyard.sandbox.outcome import OutputFile


@dataclass(slots=True)
class Receiving:
    """Takes ``FILE``, ``FILE_DATA`` and ``FILES_END`` frames of one call. ``limit`` is in bytes over all files."""

    limit: int
    files: dict[str, bytearray] = field(default_factory=dict)
    refused: str | None = None
    """Why the call may not hand back its files."""
    left_out: tuple[str, ...] = ()
    _announced: int = 0
    _current: bytearray | None = None
    _missing: int = 0

    def start(self, payload: bytes) -> None:
        """Raises ``FrameError`` for a path, a size or an order that no honest guest sends."""
        value = parse_object(payload)
        path, size = value.get("path"), value.get("size")
        if not isinstance(path, str) or type(size) is not int or size < 0 or self._missing:
            raise FrameError("a FILE frame does not have its shape")
        if path_problem(path) is not None or path in self.files or len(self.files) >= MAX_FILES:
            raise FrameError(f"the guest hands back {path[:200]!a}")
        self._announced += size
        if self._announced > self.limit:
            raise FrameError("the guest hands back more than the limit")
        self._current = self.files[path] = bytearray()
        self._missing = size

    def add(self, payload: bytes) -> None:
        if self._current is None or len(payload) > self._missing:
            raise FrameError("a FILE_DATA frame is not announced")
        self._current += payload
        self._missing -= len(payload)

    def end(self, payload: bytes) -> None:
        value = parse_object(payload)
        refused, left_out = value.get("refused"), value.get("left_out")
        if not (refused is None or isinstance(refused, str)) or not isinstance(left_out, list):
            raise FrameError("the FILES_END frame does not have its shape")
        self.refused = refused if refused or not self._missing else "a file is shorter than it was said to be"
        self.left_out = tuple(str(item)[:500] for item in left_out[:100])


def store(files: Mapping[str, bytearray], folder: Path) -> tuple[OutputFile, ...]:
    """Write the files below ``folder``, which is created; each appears under its name only when it is whole.

    Raises ``OSError``; files stored by this call are removed again then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[OutputFile] = []
    try:
        stored.extend(_store_one(path, files[path], folder) for path in sorted(files))
    except OSError:
        for file in stored:
            file.location.unlink(missing_ok=True)
        raise
    return tuple(stored)


def _store_one(path: str, content: bytearray, folder: Path) -> OutputFile:
    location = folder / path
    location.parent.mkdir(parents=True, exist_ok=True)
    partial = location.parent / f".{secrets.token_hex(8)}.part"
    try:
        partial.write_bytes(content)
        partial.replace(location)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    return OutputFile(path=path, sha256=hashlib.sha256(content).hexdigest(), size=len(content), location=location)
