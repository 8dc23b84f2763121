"""What a person or script says about a call, read and checked before anything starts.

``--input`` is a JSON object: a function's keyword arguments, or for a script its ``argv``, ``stdin`` and ``files``.
Files are named by the path they get in the call's working directory; their content is a path on the caller's disk, or
``{"content": text}`` or ``{"content_base64": …}``.
"""

from __future__ import annotations

import base64
import binascii
import json
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from skillyard.cli.exit_codes import UsageProblemError

MAX_JSON_BYTES = 8 * 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Most that one input file may hold; what a sandbox takes depends on its grant, and it says so itself."""

Input = Annotated[
    str | None,
    typer.Option("--input", "-i", help="A JSON object, @FILE with one, or - for standard input.", show_default="{}"),
]
Files = Annotated[
    list[str] | None,
    typer.Option("--file", "-f", metavar="NAME=PATH", help="Hand over a file under this name. May be repeated."),
]
EntryName = Annotated[str | None, typer.Option("--entry", "-e", help="What to call; without it, the first entry.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.001, help="Seconds; at most what is granted.")]
Stdin = Annotated[
    Path | None, typer.Option("--stdin", metavar="PATH", help="Hand a script this file as its standard input.")
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", "-o", help="Where files that come back go.", show_default="skillyard-output/ID"),
]

_SCRIPT_KEYS = ("argv", "stdin", "stdin_base64", "files")


@dataclass(frozen=True, slots=True)
class CallInput:
    """One call's input. ``arguments`` is a function's; ``argv`` and ``stdin`` are a script's.

    What is on disk stays there until it is sent, piece by piece.
    """

    arguments: Mapping[str, object]
    argv: tuple[str, ...]
    stdin: bytes | Path
    files: Mapping[str, bytes | Path]


def read_input(text: str | None) -> Mapping[str, object]:
    """The object behind ``--input``. Raises ``UsageProblemError`` saying where the JSON is wrong."""
    if text is None:
        return {}
    source, raw = _raw(text)
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UsageProblemError(f"is not JSON: {error.msg}", file=source, line=error.lineno, field="--input") from error
    except (ValueError, RecursionError) as error:
        raise UsageProblemError(f"is not JSON: {error}", file=source, field="--input") from error
    if not isinstance(value, dict):
        raise UsageProblemError("must be a JSON object", file=source, field="--input")
    return value


def call_input(
    given: Mapping[str, object], files: Sequence[str] | None, *, script: bool, stdin: Path | None = None
) -> CallInput:
    """The input for an entry of a known kind. Raises ``UsageProblemError`` naming the field."""
    named = dict(_named_file(item) for item in files or ())
    if not script:
        if stdin is not None:
            raise UsageProblemError("the entry is a function, which takes no standard input", field="--stdin")
        return CallInput(given, (), b"", named)
    unknown = [key for key in given if key not in _SCRIPT_KEYS]
    if unknown:
        known = ", ".join(_SCRIPT_KEYS)
        raise UsageProblemError(f"the entry is a script, which takes {known}; not {unknown[0]!r}", field="--input")
    typed: bytes | Path = _stdin(given)
    if stdin is not None:
        if typed:
            raise UsageProblemError("standard input is given twice", field="--stdin")
        typed = _checked(stdin, "--stdin")
    return CallInput({}, _argv(given.get("argv", [])), typed, {**_files(given.get("files", {})), **named})


def _raw(text: str) -> tuple[str | None, str]:
    """Where the text came from, and the text."""
    if text == "-":
        return "<stdin>", _decoded(sys.stdin.buffer.read(MAX_JSON_BYTES + 1), "<stdin>")
    if text.startswith("@"):
        return text[1:], _decoded(_read_file(Path(text[1:]), MAX_JSON_BYTES, "--input"), text[1:])
    return None, text


def _decoded(data: bytes, source: str) -> str:
    if len(data) > MAX_JSON_BYTES:
        raise UsageProblemError(f"is larger than {MAX_JSON_BYTES} bytes", file=source, field="--input")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageProblemError("is not UTF-8 text", file=source, field="--input") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _named_file(item: str) -> tuple[str, Path]:
    name, equals, path = item.partition("=")
    if not equals:
        name, path = Path(item).name, item
    if not name or not path:
        raise UsageProblemError(f"{item!r} is not NAME=PATH", field="--file")
    return name, _checked(Path(path), "--file")


def _checked(path: Path, field: str) -> Path:
    """A regular file that can be read and is not too large; whatever else is wrong shows before anything is sent."""
    found = path.expanduser()
    try:
        status = found.stat()
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe that nobody writes to would take for ever.
            raise UsageProblemError("is not a regular file", file=str(path), field=field)
        found.open("rb").close()
    except OSError as error:
        raise UsageProblemError(f"cannot be read: {error.strerror}", file=str(path), field=field) from error
    if status.st_size > MAX_FILE_BYTES:
        raise UsageProblemError(f"is larger than {MAX_FILE_BYTES} bytes", file=str(path), field=field)
    return found


def _read_file(path: Path, limit: int, field: str) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageProblemError(f"cannot be read: {error.strerror}", file=str(path), field=field) from error
    if len(data) > limit:
        raise UsageProblemError(f"is larger than {limit} bytes", file=str(path), field=field)
    return data


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageProblemError("must be a list of strings", field="--input: argv")
    return tuple(value)


def _stdin(given: Mapping[str, object]) -> bytes:
    if "stdin" in given and "stdin_base64" in given:
        raise UsageProblemError("give either stdin or stdin_base64", field="--input: stdin")
    if "stdin_base64" in given:
        return _from_base64(given["stdin_base64"], "--input: stdin_base64")
    value = given.get("stdin") or ""
    if not isinstance(value, str):
        raise UsageProblemError("must be text", field="--input: stdin")
    return value.encode(errors="surrogatepass")


def _files(value: object) -> Mapping[str, bytes | Path]:
    if not isinstance(value, dict):
        raise UsageProblemError("must be an object of name to path", field="--input: files")
    return {name: _content(name, item) for name, item in value.items()}


def _content(name: str, value: object) -> bytes | Path:
    field = f"--input: files: {name}"
    match value:
        case str():
            return _checked(Path(value), field)
        case {"content": str(text), **rest} if not rest:
            return text.encode(errors="surrogatepass")
        case {"content_base64": encoded, **rest} if not rest:
            return _from_base64(encoded, field)
        case _:
            raise UsageProblemError('must be a path, {"content": …} or {"content_base64": …}', field=field)


def _from_base64(value: object, field: str) -> bytes:
    if not isinstance(value, str):
        raise UsageProblemError("must be base64 text", field=field)
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise UsageProblemError("is not base64", field=field) from error
