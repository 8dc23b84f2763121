"""A call as the channel carries it: checked against its limits, then cut into frames."""

from __future__ import annotations

from collections.abc import Iterator

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


def check_call(call: Call, granted: Granted) -> None:
    """Raises ``InputError`` with the field for what no sandbox with this grant can take."""
    if len(call.input_json) > MAX_INPUT_BYTES:
        raise InputError(f"holds {len(call.input_json)} bytes of at most {MAX_INPUT_BYTES}", field="input")
    if any("\0" in argument for argument in call.argv):
        raise InputError("an argument holds a NUL character", field="argv")
    if sum(len(_encoded(argument, "argv")) for argument in call.argv) > _MAX_ARGV_BYTES:
        raise InputError(f"is longer than {_MAX_ARGV_BYTES} bytes", field="argv")
    if call.timeout_seconds is not None and not 0 < call.timeout_seconds < float("inf"):
        raise InputError("must be a positive number of seconds", field="timeout")
    _check_files(call, granted)


def _encoded(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError("is not valid Unicode", field=field) from error


def _check_files(call: Call, granted: Granted) -> None:
    paths = [file.path for file in call.files]
    for path in paths:
        problem = path_problem(path)
        if problem is not None:
            raise InputError(f"{path[:200]!a}: {problem}", field="files")
    if len(paths) > MAX_FILES or sum(len(path.encode()) for path in paths) > _MAX_PATHS_BYTES:
        raise InputError(f"are more than {MAX_FILES}, or their paths too long", field="files")
    folders = {path[:index] for path in paths for index, character in enumerate(path) if character == "/"}
    twice = {path for path in paths if paths.count(path) > 1} | (folders & set(paths))
    if twice:
        raise InputError(f"{min(twice)!a} is named twice, or is both a file and a folder", field="files")
    size = sum(len(file.content) for file in call.files)
    if size > granted.scratch_bytes or any(len(file.content) > granted.file_bytes for file in call.files):
        raise InputError(f"hold {size} bytes, and {granted.scratch_bytes} fit", field="files")
    if len(call.stdin) > granted.file_bytes or len(call.stdin) > granted.scratch_bytes:
        raise InputError(f"holds {len(call.stdin)} bytes, and {granted.scratch_bytes} fit", field="stdin")


def call_header(call: Call, timeout: float) -> bytes:
    return orjson.dumps(
        {
            "mode": call.entry.kind.value,
            "path": call.entry.path,
            "function": call.entry.function,
            "argv": call.argv,
            "entries": (),
            "timeout": timeout,
            "input_size": len(call.input_json) if call.entry.kind is EntryKind.FUNCTION else 0,
            "stdin_size": len(call.stdin),
            "files": [{"path": file.path, "size": len(file.content)} for file in call.files],
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


def call_data(call: Call) -> Iterator[tuple[Kind, bytes]]:
    """The ``DATA`` frames after the header: input, standard input, files."""
    if call.entry.kind is EntryKind.FUNCTION:
        yield from _pieces(call.input_json)
    yield from _pieces(call.stdin)
    for file in call.files:
        yield from _pieces(file.content)


def _pieces(data: bytes) -> Iterator[tuple[Kind, bytes]]:
    for start in range(0, len(data), CHUNK):
        yield Kind.DATA, data[start : start + CHUNK]
