"""Files that came back from a call, written where the caller wants them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from skillyard.api.schemas.invocations import InvocationView
from skillyard.errors import SkillyardError
from skillyard.sandbox.guest.frames import path_problem

DEFAULT_OUTPUT = Path("skillyard-output")

Open = Callable[[str], Iterable[bytes]]
"""The content of one of the call's files, by its path."""


class UnsafeOutputError(SkillyardError):
    """A file that came back would be written outside the output folder."""

    code = "unsafe_output"


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that came back, and where it is now."""

    path: str
    sha256: str
    size: int
    saved_to: Path


def save_files(view: InvocationView, folder: Path | None, content: Open) -> tuple[SavedFile, ...]:
    """Write what came back below ``folder``, by default one named after the call. No file, no folder.

    Raises ``UnsafeOutputError``.
    """
    target = folder or DEFAULT_OUTPUT / view.id
    return tuple(
        SavedFile(file.path, file.sha256, file.size, save(target, file.path, content(file.path)))
        for file in view.outcome.files
    )


def save(folder: Path, path: str, content: Iterable[bytes]) -> Path:
    """Write beside and rename: a link that lies in the way is replaced, never followed."""
    target = folder / path
    problem = path_problem(path)
    if problem is not None:
        raise UnsafeOutputError(f"the file {path!r} is not written: {problem}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise UnsafeOutputError(f"{target} is not written: a link leads out of the output folder")
    write_whole(target, content)
    return target


def write_whole(target: Path, content: Iterable[bytes]) -> None:
    """Write beside and rename, so that nobody finds half a file."""
    descriptor, beside = tempfile.mkstemp(prefix=".skillyard-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(content)
        Path(beside).chmod(0o644)
        Path(beside).replace(target)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
