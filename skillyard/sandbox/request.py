"""A call as the channel carries it: checked against its limits, then cut into frames."""

from __future__ import annotations

import asyncio
import stat
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.errors import InputError
from skillyard.sandbox.guest.frames import CHUNK, MAX_FILES, Kind, path_problem
from skillyard.sandbox.outcome import Call
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Entry, EntryKind

MAX_INPUT_BYTES = 8 * 1024 * 1024
"""Largest JSON input of a call; larger data goes in as files or standard input."""
_MAX_ARGV_BYTES = 64 * 1024
_MAX_PATHS_BYTES = 128 * 1024
_READ_BYTES = 16 * CHUNK
"""How much of a file on disk is in memory at once."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes a call's parts hold, files in their order. What is sent is exactly this."""

    stdin: int
    files: tuple[int, ...]


def check_call(call: Call, granted: Granted) -> Sizes:
    """Raises ``InputError`` with the field for what no sandbox with this grant can take."""
    if len(call.input_json) > MAX_INPUT_BYTES:
        raise InputError(f"holds {len(call.input_json)} bytes of at most {MAX_INPUT_BYTES}", field="input")
    if any("\0" in argument for argument in call.argv):
        raise InputError("an argument holds a NUL character", field="argv")
    if sum(len(_encoded(argument, "argv")) for argument in call.argv) > _MAX_ARGV_BYTES:
        raise InputError(f"is longer than {_MAX_ARGV_BYTES} bytes", field="argv")
    if call.timeout_seconds is not None and not 0 < call.timeout_seconds < float("inf"):
        raise InputError("must be a positive number of seconds", field="timeout")
    return _check_sizes(call, granted)


def _encoded(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError("is not valid Unicode", field=field) from error


def _check_sizes(call: Call, granted: Granted) -> Sizes:
    sizes = _check_files(call, granted) if call.files else ()
    stdin = _size(call.stdin, "stdin")
    if stdin > granted.file_bytes or stdin > granted.scratch_bytes:
        raise InputError(f"holds {stdin} bytes, and {granted.scratch_bytes} fit", field="stdin")
    return Sizes(stdin, sizes)


def _check_files(call: Call, granted: Granted) -> tuple[int, ...]:
    paths = [file.path for file in call.files]
    for path in paths:
        problem = path_problem(path)
        if problem is not None:
            raise InputError(f"{path[:200]!a}: {problem}", field="files")
    if len(paths) > MAX_FILES or sum(len(path.encode()) for path in paths) > _MAX_PATHS_BYTES:
        raise InputError(f"are more than {MAX_FILES}, or their paths too long", field="files")
    folders = {path[:index] for path in paths for index, character in enumerate(path) if character == "/"}
    twice = {path for path, count in Counter(paths).items() if count > 1} | (folders & set(paths))
    if twice:
        raise InputError(f"{min(twice)!a} is named twice, or is both a file and a folder", field="files")
    sizes = tuple(_size(file.content, "files") for file in call.files)
    if sum(sizes) > granted.scratch_bytes or any(size > granted.file_bytes for size in sizes):
        raise InputError(f"hold {sum(sizes)} bytes, and {granted.scratch_bytes} fit", field="files")
    return sizes


def _size(content: bytes | Path, field: str) -> int:
    if isinstance(content, bytes):
        return len(content)
    try:
        status = content.stat()
    except OSError as error:
        raise InputError(f"{content.name!a} cannot be read: {error.strerror}", field=field) from error
    if not stat.S_ISREG(status.st_mode):
        # Reading from a pipe may take for ever, and its size is not known.
        raise InputError(f"{content.name!a} is not a regular file", field=field)
    return status.st_size


def call_header(call: Call, timeout: float, sizes: Sizes) -> bytes:
    return orjson.dumps(
        {
            "mode": call.entry.kind.value,
            "path": call.entry.path,
            "function": call.entry.function,
            "argv": call.argv,
            "entries": (),
            "timeout": timeout,
            "input_size": len(call.input_json) if call.entry.kind is EntryKind.FUNCTION else 0,
            "stdin_size": sizes.stdin,
            "files": [{"path": file.path, "size": size} for file, size in zip(call.files, sizes.files, strict=True)],
            "collect": call.artefacts_to is not None,
        }
    )


def check_header(entries: tuple[Entry, ...], timeout: float) -> bytes:
    return orjson.dumps(
        {
            "mode": "check",
            "path": "",
            "function": None,
            "argv": (),
            "entries": [{"path": entry.path, "function": entry.function} for entry in entries],
            "timeout": timeout,
            "input_size": 0,
            "stdin_size": 0,
            "files": (),
            "collect": False,
        }
    )


def is_inline(call: Call) -> bool:
    """Whether nothing of the call has to be read from disk."""
    return isinstance(call.stdin, bytes) and all(isinstance(file.content, bytes) for file in call.files)


def inline_data(call: Call) -> Iterator[tuple[Kind, bytes]]:
    """The ``DATA`` frames of a call that is all in memory: input, standard input, files."""
    if call.entry.kind is EntryKind.FUNCTION:
        yield from _pieces(call.input_json)
    for content in (call.stdin, *(file.content for file in call.files)):
        assert isinstance(content, bytes)  # noqa: S101 - what `is_inline` says
        yield from _pieces(content)


async def read_data(call: Call, sizes: Sizes) -> AsyncGenerator[tuple[Kind, bytes]]:
    """The same frames of any call, read as they are needed.

    Raises ``InputError`` for a file that cannot be read, or is shorter than it was.
    """
    if call.entry.kind is EntryKind.FUNCTION:
        for frame in _pieces(call.input_json):
            yield frame
    parts = [("stdin", call.stdin, sizes.stdin)]
    parts += [("files", file.content, size) for file, size in zip(call.files, sizes.files, strict=True)]
    for field, content, size in parts:
        if isinstance(content, bytes):
            for frame in _pieces(content):
                yield frame
            continue
        offset = 0
        while offset < size:
            piece = await asyncio.to_thread(_read, content, field, offset, min(_READ_BYTES, size - offset))
            if not piece:
                raise InputError(f"{content.name!a} became shorter while it was sent", field=field)
            offset += len(piece)
            for frame in _pieces(piece):
                yield frame


def _read(file: Path, field: str, offset: int, size: int) -> bytes:
    # Opened for each piece: no descriptor is left to a generator that is never finished.
    try:
        with file.open("rb", buffering=0) as stream:
            stream.seek(offset)
            return stream.read(size)
    except OSError as error:
        raise InputError(f"{file.name!a} cannot be read: {error.strerror}", field=field) from error


def _pieces(data: bytes) -> Iterator[tuple[Kind, bytes]]:
    for start in range(0, len(data), CHUNK):
        yield Kind.DATA, data[start : start + CHUNK]
