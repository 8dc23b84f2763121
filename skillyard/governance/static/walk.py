"""From a folder to all that can be read in it. Files are read without following links; ignore lists mean nothing here.

What a bundle leaves out (version control, caches, editors' files) is left out here as well: it is never installed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skillyard.governance.static.decode import Unfolding
from skillyard.governance.static.gap import Gap
from skillyard.governance.static.limits import (
    MAX_ENTRIES,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_FOLDER_DEPTH,
    MAX_TOTAL_BYTES,
)
from skillyard.skills.paths import is_state_name


@dataclass(frozen=True, slots=True)
class Walked:
    """``gaps`` are the files that could not be read; what reading the others showed is in ``unfolding``."""

    files: tuple[str, ...]
    gaps: tuple[Gap, ...]
    unfolding: Unfolding
    """The views, a file's own text before those found in it. It takes more, as the code turns out to hold them."""


def walk(folder: Path) -> Walked:
    """Read everything below a folder. Never raises for what is there: what could not be read is a gap."""
    gaps: list[Gap] = []
    unfolding = Unfolding()
    total = 0
    files: list[str] = []
    for path in sorted(_files(folder, gaps)):
        if len(files) >= MAX_FILES:
            gaps.append(Gap(path, f"more than {MAX_FILES} files; this one and those after it were not looked at"))
            break
        files.append(path)
        data = _read(folder, path, gaps)
        if data is None:
            continue
        total += len(data)
        if total > MAX_TOTAL_BYTES:
            gaps.append(Gap(path, f"the files have more than {MAX_TOTAL_BYTES // 2**20} MiB in all"))
            break
        unfolding.add_file(path, data)
    return Walked(tuple(files), tuple(gaps), unfolding)


def _files(folder: Path, gaps: list[Gap]) -> Iterator[str]:
    entries = 0
    waiting = [("", 0)]
    while waiting:
        parent, depth = waiting.pop()
        if depth > MAX_FOLDER_DEPTH:
            gaps.append(Gap(_utf8(parent), f"folders more than {MAX_FOLDER_DEPTH} deep"))
            continue
        try:
            with os.scandir(folder / parent) as found:
                listed = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            gaps.append(Gap(_utf8(parent), f"the folder cannot be listed: {error.strerror}"))
            continue
        for entry in listed:
            entries += 1
            if entries > MAX_ENTRIES:
                gaps.append(Gap("", f"more than {MAX_ENTRIES} files and folders"))
                return
            if is_state_name(entry.name):
                continue
            path = f"{parent}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                waiting.append((f"{path}/", depth + 1))
            elif not _is_utf8(path):
                gaps.append(Gap(_utf8(path), "a name that is not UTF-8"))
            else:
                yield path


def _read(folder: Path, path: str, gaps: list[Gap]) -> bytes | None:
    try:
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        linked = (folder / path).is_symlink()
        gaps.append(Gap(path, "a symbolic link" if linked else f"cannot be read: {error.strerror}"))
        return None
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            gaps.append(Gap(path, "a device, socket or pipe"))
            return None
        try:
            data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            gaps.append(Gap(path, f"cannot be read: {error.strerror}"))
            return None
    if len(data) > MAX_FILE_BYTES:
        gaps.append(Gap(path, f"larger than {MAX_FILE_BYTES // 2**20} MiB"))
        return None
    return data


def _is_utf8(path: str) -> bool:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") == path


def _utf8(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
