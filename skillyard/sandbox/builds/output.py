"""What a build's container says, as it comes: the Engine's stream frames, one line of JSON, then a wheel's bytes.

Everything that arrives is untrusted and bounded; the wheel goes straight to a file and never to memory whole.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO

import orjson

from skillyard.sandbox.builds.recipe import BuildLimits
from skillyard.sandbox.errors import BuildError, BuildFailure

_FRAME = struct.Struct(">BxxxI")
_STDOUT, _STDERR = 1, 2
_MAX_HEADER = 512 * 1024
_TAIL = 4 * 1024


class BuildOutput:
    """Takes the bytes of an attached connection (Docker Engine API, "Attach to a container").

    ``file`` gets the wheel. Raises ``BuildError`` with ``OUTPUT_LIMIT`` or ``LOST`` for what is too much or no sense.
    """

    def __init__(self, file: IO[bytes], limits: BuildLimits) -> None:
        self._file = file
        self._limits = limits
        self._head = b""
        self._stream = 0
        self._remaining = 0
        self._line = b""
        self._printed = 0
        self._tail = b""
        self._body = 0
        self.header: dict[str, object] | None = None

    @property
    def stderr(self) -> str:
        """What the build printed last, without what could rewrite a terminal."""
        text = self._tail.decode(errors="replace").strip()
        return "".join(character for character in text if character.isprintable() or character in "\n\t")

    @property
    def complete(self) -> bool:
        return self.header is not None and self._body == self.header.get("size", 0)

    def feed(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        offset = 0
        while offset < len(data):
            if self._remaining == 0:
                if len(data) - offset < _FRAME.size:
                    self._head = data[offset:]
                    return
                self._stream, self._remaining = _FRAME.unpack_from(data, offset)
                offset += _FRAME.size
            piece = data[offset : offset + self._remaining]
            offset += len(piece)
            self._remaining -= len(piece)
            if self._stream == _STDOUT:
                self._take(piece)
            elif self._stream == _STDERR:
                self._print(piece)

    def _print(self, piece: bytes) -> None:
        self._printed += len(piece)
        self._tail = (self._tail + piece)[-_TAIL:]
        if self._printed > self._limits.output_bytes:
            raise self._too_much(f"it printed more than {self._limits.output_bytes} bytes")

    def _take(self, piece: bytes) -> None:
        if self.header is None:
            self._line += piece
            line, found, piece = self._line.partition(b"\n")
            if len(line) > _MAX_HEADER:
                raise self._too_much("it answered with a line that is too long")
            if not found:
                return
            self.header = self._parsed(line)
        self._body += len(piece)
        if self._body > self._size():
            raise self._too_much("it handed out more than it said")
        self._file.write(piece)

    def _parsed(self, line: bytes) -> dict[str, object]:
        try:
            header = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BuildError("it answered with nonsense", failure=BuildFailure.LOST, stderr=self.stderr) from error
        if not isinstance(header, dict):
            raise BuildError("it answered with nonsense", failure=BuildFailure.LOST, stderr=self.stderr)
        return header

    def _size(self) -> int:
        size = (self.header or {}).get("size", 0)
        if not isinstance(size, int) or not 0 <= size <= self._limits.wheel_bytes:
            raise self._too_much(f"its wheel is larger than {self._limits.wheel_bytes} bytes")
        return size

    def _too_much(self, message: str) -> BuildError:
        return BuildError(message, failure=BuildFailure.OUTPUT_LIMIT, stderr=self.stderr)


def open_output(path: Path) -> IO[bytes]:
    """A new file for a wheel."""
    return path.open("xb")
