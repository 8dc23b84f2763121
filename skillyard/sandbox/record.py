"""Checking an unpacked wheel against its RECORD (the "Recording installed projects" and wheel format specifications).

The wheel's own hash was checked when it came from the index; this checks that what landed on disk is exactly what the
wheel lists, file by file, and nothing else. What an installer adds for itself is taken out.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skillyard.sandbox.errors import WheelError

_INSTALLERS_OWN = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json", "uv_build.json"})
_UNHASHED = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s"})
_STRONG = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_MAX_RECORD = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of a wheel as it is on disk. ``path`` is relative, with forward slashes; ``size`` in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class _Listed:
    algorithm: str | None
    digest: str | None
    size: int | None


def verify_unpacked(folder: Path, *, most_files: int, most_bytes: int) -> tuple[StoredFile, ...]:
    """Check every file of ``folder``, drop scripts and the installer's own files, and return the rest by path.

    ``bin/`` goes because its scripts name an interpreter of the host; ``__pycache__`` goes because bytecode that a
    wheel brings along need not come from the source beside it. Raises ``WheelError`` for a file that is missing, is
    not listed, differs, is no regular file, or for a list that leaves the folder.
    """
    dist_info = _dist_info(folder)
    listed = _read_record(folder / dist_info / "RECORD")
    present = dict(_walk(folder, most_files=most_files, most_bytes=most_bytes))
    kept: list[StoredFile] = []
    for path, file in sorted(present.items()):
        if _is_installers(path, dist_info):
            file.unlink()
            continue
        if path not in listed:
            raise WheelError(f"the wheel unpacked to {path}, which its RECORD does not list")
        stored = _check(path, file, listed[path], dist_info)
        if _is_dropped(path):
            file.unlink()
        else:
            kept.append(stored)
    missing = [path for path in listed if path not in present and not _is_installers(path, dist_info)]
    if missing:
        raise WheelError(f"the wheel's RECORD lists {missing[0]}, which is not there")
    _remove_empty(folder)
    return tuple(kept)


def differing_from_record(folder: Path) -> tuple[str, ...]:
    """Of a wheel that was verified and stored before: the files that its RECORD says something else of. Blocks.

    What was left out of the store on purpose is not missed, and bytecode of ours is no business of RECORD.
    """
    try:
        dist_info = _dist_info(folder)
        listed = _read_record(folder / dist_info / "RECORD")
    except WheelError:
        return ("RECORD",)
    except OSError as error:
        return (f"RECORD ({error.strerror})",)
    return tuple(
        path
        for path, said in listed.items()
        if not _is_installers(path, dist_info) and not _is_dropped(path) and not _agrees(folder, path, said, dist_info)
    )


def _agrees(folder: Path, path: str, listed: _Listed, dist_info: str) -> bool:
    try:
        _check(path, folder / path, listed, dist_info)
    except (WheelError, OSError):
        return False
    return True


def hash_file(file: Path) -> tuple[str, int]:
    """The sha256 (64 hex digits) and size of a regular file, links not followed."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return digest, stream.tell()


def _dist_info(folder: Path) -> str:
    found = [entry.name for entry in folder.iterdir() if entry.name.endswith(".dist-info")]
    if len(found) != 1:
        raise WheelError(f"a wheel has one .dist-info folder; this one has {len(found)}")
    return found[0]


def _read_record(file: Path) -> dict[str, _Listed]:
    try:
        if file.lstat().st_size > _MAX_RECORD:
            raise WheelError("the wheel's RECORD is too large")
        text = file.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except FileNotFoundError as error:
        raise WheelError("the wheel has no RECORD") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise WheelError("the wheel's RECORD is not a UTF-8 CSV file") from error
    return dict(_listed(row) for row in rows if row)


def _listed(row: list[str]) -> tuple[str, _Listed]:
    if len(row) != 3:
        raise WheelError(f"a line of the wheel's RECORD has {len(row)} fields instead of 3: {row[0]}")
    path, digest, size = row
    # An installer writes the paths as installed, relative to the folder, so that nothing may climb out of it.
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or "\\" in path or ".." in parts or "\0" in path:
        raise WheelError(f"the wheel's RECORD lists {path}, which leaves the folder")
    algorithm, _, encoded = digest.partition("=")
    if size and not size.isdecimal():
        raise WheelError(f"the wheel's RECORD gives {path} the size {size}")
    return str(PurePosixPath(path)), _Listed(algorithm or None, encoded or None, int(size) if size else None)


def _walk(folder: Path, *, most_files: int, most_bytes: int) -> Iterator[tuple[str, Path]]:
    files = total = 0
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            path = Path(entry.path)
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
                continue
            name = path.relative_to(folder).as_posix()
            if not stat.S_ISREG(status.st_mode):
                raise WheelError(f"the wheel unpacked to {name}, which is no regular file")
            files, total = files + 1, total + status.st_size
            if files > most_files or total > most_bytes:
                raise WheelError(f"the wheel unpacks to more than {most_files} files or {most_bytes} bytes")
            yield name, path


def _is_installers(path: str, dist_info: str) -> bool:
    parent, _, name = path.rpartition("/")
    return path == ".lock" or (parent == dist_info and name in _INSTALLERS_OWN)


def _is_dropped(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return parts[0] == "bin" or "__pycache__" in parts


def _check(path: str, file: Path, listed: _Listed, dist_info: str) -> StoredFile:
    sha256, size = hash_file(file)
    parent, _, name = path.rpartition("/")
    if parent == dist_info and name in _UNHASHED:
        return StoredFile(path, sha256, size)
    if listed.size is not None and listed.size != size:
        raise WheelError(f"{path} has {size} bytes, but the wheel's RECORD says {listed.size}")
    if listed.algorithm not in _STRONG or listed.digest is None:
        # Bytecode that installers add carries no hash, and is dropped anyway; nothing else may go unchecked.
        if _is_dropped(path):
            return StoredFile(path, sha256, size)
        raise WheelError(f"the wheel's RECORD gives no sha256 or stronger hash for {path}")
    if _digest(file, listed.algorithm, sha256) != listed.digest.rstrip("="):
        raise WheelError(f"{path} does not match its hash in the wheel's RECORD")
    return StoredFile(path, sha256, size)


def _digest(file: Path, algorithm: str, sha256: str) -> str:
    """A file's digest as RECORD writes it: URL-safe base64 without padding (the wheel format specification)."""
    if algorithm == "sha256":
        raw = bytes.fromhex(sha256)
    else:
        with file.open("rb") as stream:
            raw = hashlib.file_digest(stream, _STRONG[algorithm]).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _remove_empty(folder: Path) -> None:
    for parent, _, _ in os.walk(folder, topdown=False):
        if parent != str(folder) and not os.listdir(parent):  # noqa: PTH208 - only asking whether it is empty
            Path(parent).rmdir()
