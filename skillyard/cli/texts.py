"""Text files that commands send to a server, and write from what it answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.errors import InputError

MAX_BYTES = 4 * 1024 * 1024


def read_text(path: Path) -> str:
    """A file of UTF-8 text, or standard input for ``-``. Raises ``UsageProblemError`` and ``InputError``."""
    try:
        with os.fdopen(0, "rb", closefd=False) if str(path) == "-" else path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageProblemError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"is larger than {MAX_BYTES // 1024 // 1024} MiB", file=path.name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("is not UTF-8 text", file=path.name, line=data.count(b"\n", 0, error.start) + 1) from error


def write_text(path: Path, text: str) -> None:
    """To a file, whole or not at all, or to standard output for ``-``. Raises ``UsageProblemError``."""
    if str(path) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UsageProblemError(f"{path} cannot be written: {error.strerror}") from error
