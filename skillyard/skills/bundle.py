"""The deterministic bundle of a folder: its files, their hashes, and the digest that is a skill version's identity.

The digest is the sha256 of a tar archive that depends on nothing but the files' relative paths, content and executable
bit: members are sorted by the bytes of their UTF-8 path; mode is 0644 or 0755; owner, group and time are zero and carry
no names; folders have no members of their own; it ends with two zero blocks and no further padding. Headers are
POSIX.1-1988 ``ustar``, preceded by a POSIX.1-2001 (pax) ``path`` record where a path is longer than 100 bytes or not
ASCII. The archive is written here, byte for byte, because what a library writes may change with its version.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from skillyard.ids import BundleDigest
from skillyard.skills.errors import BundleTooLargeError, SkillError, UnsafePathError
from skillyard.skills.paths import PathSet, check_path, is_state_name, printable
from skillyard.skills.skill import Bundle, BundleFile

MAX_FILES = 512
MAX_BUNDLE_BYTES = 16 * 1024 * 1024
MAX_FILE_BYTES = 10 * 1024 * 1024
MAX_VISITED = 2048
"""Most directory entries looked at, so that a folder of endless empty folders is refused as well."""

_BLOCK = 512
_CHUNK = 1024 * 1024


class Tally:
    """Counts files and bytes against the limits of a bundle, as they are met."""

    def __init__(self) -> None:
        self.files = 0
        self.size = 0

    def add_file(self, path: str) -> None:
        self.files += 1
        if self.files > MAX_FILES:
            raise BundleTooLargeError(f"more than {MAX_FILES} files", file=printable(path))

    def add_bytes(self, path: str, total_of_file: int, more: int) -> None:
        """``total_of_file`` includes ``more``, the bytes that are new since the last call."""
        self.size += more
        if total_of_file > MAX_FILE_BYTES:
            raise BundleTooLargeError(f"a file larger than {MAX_FILE_BYTES // 2**20} MiB", file=printable(path))
        if self.size > MAX_BUNDLE_BYTES:
            raise BundleTooLargeError(f"more than {MAX_BUNDLE_BYTES // 2**20} MiB in all", file=printable(path))


def make_bundle(folder: Path) -> Bundle:
    """Walk, check and hash a folder. Raises ``UnsafePathError``, ``BundleTooLargeError`` or ``SkillError``."""
    tally = Tally()
    found = sorted(_walk(folder, tally), key=lambda path: path.encode())
    digest = hashlib.sha256()
    files = []
    for path in found:
        with open_file(folder, path) as (file, info):
            file_hash = hashlib.sha256()

            def take(chunk: bytes, file_hash: hashlib._Hash = file_hash) -> None:
                file_hash.update(chunk)
                digest.update(chunk)

            executable = bool(info.st_mode & stat.S_IXUSR)
            digest.update(tar_header(path, info.st_size, executable=executable))
            _copy_exactly(file, info.st_size, path, tally, take)
            digest.update(padding(info.st_size))
        files.append(BundleFile(path, file_hash.hexdigest(), info.st_size, executable))
    digest.update(bytes(2 * _BLOCK))
    return Bundle(BundleDigest(f"sha256:{digest.hexdigest()}"), tuple(files), tally.size)


def write_archive(folder: Path, bundle: Bundle, file: BinaryIO) -> None:
    """Write the deterministic archive; raises ``SkillError`` where a file is no longer what the bundle says.

    What was written before an error is of no use: write to a file that is renamed on success.
    """
    digest = hashlib.sha256()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    for member in bundle.files:
        write(tar_header(member.path, member.size, executable=member.executable))
        copy_verified(folder, member, write)
        write(padding(member.size))
    write(bytes(2 * _BLOCK))
    if f"sha256:{digest.hexdigest()}" != bundle.digest:
        raise SkillError("the files do not add up to the bundle's digest")


def copy_verified(folder: Path, member: BundleFile, write: Callable[[bytes], object]) -> None:
    """Feed one file of a bundle to ``write``; raises ``SkillError`` if size or hash are not the bundle's."""
    file_hash = hashlib.sha256()

    def take(chunk: bytes) -> None:
        file_hash.update(chunk)
        write(chunk)

    with open_file(folder, member.path) as (file, info):
        if info.st_size != member.size:
            raise SkillError("changed while it was read", file=member.path)
        _copy_exactly(file, member.size, member.path, Tally(), take)
    if file_hash.hexdigest() != member.sha256:
        raise SkillError("changed while it was read", file=member.path)


@contextmanager
def open_file(folder: Path, path: str) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file below a folder for reading, following no link at any level."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    *parents, name = path.split("/")
    with ExitStack() as directories:
        try:
            directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            directories.callback(os.close, directory)
            for parent in parents:
                directory = os.open(parent, flags | os.O_DIRECTORY, dir_fd=directory)
                directories.callback(os.close, directory)
            descriptor = os.open(name, flags | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            raise SkillError(f"cannot be read: {error.strerror}", file=printable(path)) from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            raise UnsafePathError("not a regular file", file=printable(path))
        yield file, info


def tar_header(path: str, size: int, *, executable: bool) -> bytes:
    """The header blocks of one member; see the module's docstring for the format."""
    name = path.encode()
    plain = len(name) <= 100 and path.isascii()
    mode = 0o755 if executable else 0o644
    if plain:
        return _ustar(name, size, mode, b"0")
    record = _pax_record(b"path", name)
    extended = _ustar(b"@pax", len(record), 0o644, b"x") + record + padding(len(record))
    return extended + _ustar(hashlib.sha256(name).hexdigest().encode(), size, mode, b"0")


def padding(size: int) -> bytes:
    """The zero bytes that fill a member's last block."""
    return bytes(-size % _BLOCK)


def _ustar(name: bytes, size: int, mode: int, kind: bytes) -> bytes:
    fields = [
        name.ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\x0000",
        bytes(32 + 32 + 8 + 8 + 155 + 12),
    ]
    header = b"".join(fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    if len(body) + len(str(length)) != length:
        length += 1
    return str(length).encode() + body


def _walk(folder: Path, tally: Tally) -> Iterator[str]:
    """Relative paths of the regular files of a bundle, in no order; links and special files are refused."""
    if not folder.is_dir():
        raise SkillError("not a folder", file=str(folder))
    seen = PathSet()
    visited = 0
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for entry in _entries(folder, parent):
            visited += 1
            path = f"{parent}{entry.name}"
            if visited > MAX_VISITED:
                raise BundleTooLargeError(f"more than {MAX_VISITED} files and folders", file=printable(path))
            if is_state_name(entry.name):
                continue
            check_path(path)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{path}/")
            else:
                _check_regular(entry, path)
                tally.add_file(path)
                seen.add(path)
                yield path


def _entries(folder: Path, parent: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder / parent) as entries:
            yield from entries
    except OSError as error:
        raise SkillError(f"cannot be listed: {error.strerror}", file=printable(parent) or str(folder)) from error


def _check_regular(entry: os.DirEntry[str], path: str) -> None:
    if entry.is_symlink():
        raise UnsafePathError("a symbolic link; copy the file it points to", file=printable(path))
    if not entry.is_file(follow_symlinks=False):
        raise UnsafePathError("a device, socket or pipe", file=printable(path))


def _copy_exactly(file: BinaryIO, size: int, path: str, tally: Tally, take: Callable[[bytes], object]) -> None:
    """Read exactly ``size`` bytes: a file that shrinks or grows meanwhile is an error, not another bundle."""
    tally.add_bytes(path, size, size)
    left = size
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise SkillError("changed while it was read", file=printable(path))
        take(chunk)
        left -= len(chunk)
    if file.read(1):
        raise SkillError("changed while it was read", file=printable(path))
