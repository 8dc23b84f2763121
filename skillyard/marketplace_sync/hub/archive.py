"""A bundle as a ``.tar.gz`` whose bytes never change: the deterministic tar of the bundle (``skills.bundle``) in gzip's
framing (RFC 1952) with stored blocks (RFC 1951, section 3.2.4), because what a compressor writes may change with it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile

from skillyard.errors import MachineError
from skillyard.skills.bundle import write_archive
from skillyard.skills.errors import SkillError
from skillyard.skills.skill import Bundle

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_BLOCK = 65_535
_IN_MEMORY = 4 * 1024 * 1024


class BundleDamagedError(MachineError):
    """A published bundle is not what was published any more; put its files back from a backup."""

    code = "bundle_damaged"


def chunks(folder: Path, bundle: Bundle) -> Iterator[bytes]:
    """The archive piece by piece; all of it is packed before the first. Raises ``BundleDamagedError`` where a file is
    no longer what the bundle says."""
    with SpooledTemporaryFile(_IN_MEMORY) as plain:
        try:
            write_archive(folder, bundle, plain)  # type: ignore[arg-type]  # a binary file in all but its declared type
        except SkillError as error:
            raise BundleDamagedError(f"{bundle.digest}: {error}") from error
        size = plain.tell()
        plain.seek(0)
        check = 0
        yield _HEADER
        for begin in range(0, size, _BLOCK):
            data = plain.read(_BLOCK)
            check = zlib.crc32(data, check)
            last = begin + _BLOCK >= size
            yield struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data
        yield struct.pack("<II", check, size & 0xFFFFFFFF)


def digest(folder: Path, bundle: Bundle) -> str:
    """The archive's SHA-256, 64 hex digits; see ``chunks``. Blocks on disk."""
    found = hashlib.sha256()
    for chunk in chunks(folder, bundle):
        found.update(chunk)
    return found.hexdigest()
