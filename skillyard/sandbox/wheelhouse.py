"""Packages that were brought along, for machines that reach no index: wheels, and archives of what is built from
source; one folder for each, named by its SHA-256.

What is here was checked against its hash as it was put, and is checked again by whoever installs it.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from skillyard.sandbox.errors import WheelError
from skillyard.sandbox.folders import sync_folder

_HEX = re.compile(r"[0-9a-f]{64}")
_ARCHIVE = re.compile(r"(?=.{1,255}$)[A-Za-z0-9][A-Za-z0-9._+!-]*\.(whl|zip|tgz|tar\.(gz|bz2|xz))")
_CHUNK = 1024 * 1024


class Wheelhouse:
    """A folder of archives. Methods block on disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, sha256: str) -> Path | None:
        """The archive with this hash, if it was brought along."""
        folder = self._folder(sha256)
        return next(iter(sorted(folder.glob("[!.]*"))), None) if folder.is_dir() else None

    def names(self) -> frozenset[str]:
        """The hashes of what was brought along."""
        if not self._root.is_dir():
            return frozenset()
        return frozenset(one.name for one in self._root.iterdir() if _HEX.fullmatch(one.name) and one.is_dir())

    def put(self, archive: Path, filename: str, sha256: str) -> Path:
        """Keep an archive by copying it. Raises ``WheelError`` where it is not what its hash says."""
        if not _ARCHIVE.fullmatch(filename):
            raise WheelError(f"{filename[:80]!r} is no file name of a package")
        final = self._folder(sha256)
        # Touched first, so that whoever collects what nobody needs sees that somebody does.
        with suppress(FileNotFoundError):
            os.utime(final)
        if (found := self.find(sha256)) is not None:
            return found
        final.mkdir(parents=True, exist_ok=True)
        part = final / f".{os.getpid()}.part"
        try:
            digest = hashlib.sha256()
            with archive.open("rb") as source, part.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() != sha256:
                raise WheelError(f"{filename} is not what its hash in the lock says")
            part.replace(final / filename)
        finally:
            part.unlink(missing_ok=True)
        sync_folder(final)
        return final / filename

    def _folder(self, sha256: str) -> Path:
        if not _HEX.fullmatch(sha256):
            raise WheelError("a SHA-256 is 64 hexadecimal digits")
        return self._root / sha256
