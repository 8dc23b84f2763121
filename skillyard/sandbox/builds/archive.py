"""Unpacking a source archive (the "source distribution format" specification) into a folder, on the host, as data.

What the archive says about itself is not believed: bytes and members are counted while unpacking. Owners, times and
mode bits but "executable" are ignored. A link is never made: one to a regular file of the archive becomes a copy of
it, any other is refused, and so are devices and whatever would lie outside of the one folder that the archive holds.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from skillyard.sandbox.builds.recipe import BuildLimits
from skillyard.sandbox.errors import BuildError, BuildFailure

_CHUNK = 64 * 1024
_XZ_MEMORY = 128 * 1024**2
_LONGEST = 1024
_HEADERS = 1024 * 1024
_DEEPEST = 64
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile, ValueError)
_TARS = {".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tar.xz": "xz"}


def unpack_source(archive: Path, filename: str, into: Path, limits: BuildLimits) -> Path:
    """The one folder that the archive holds, below the new folder ``into``. Blocks.

    Raises ``BuildError`` with the failure ``ARCHIVE``; ``OSError`` is the disk's.
    """
    into.mkdir()
    unpacking = _Unpacking(into, limits)
    try:
        with archive.open("rb") as file:
            if filename.endswith(".zip"):
                _read_zip(file, unpacking)
            else:
                _read_tar(file, filename, unpacking)
        unpacking.copy_links()
    except (*_BROKEN, NotImplementedError) as error:
        raise refused(f"{filename} is broken: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise refused(f"{filename} holds one path twice, or as both a file and a folder") from error
    found = list(into.iterdir())
    if len(found) != 1 or not found[0].is_dir():
        raise refused(f"{filename} does not hold exactly one folder")
    return found[0]


def refused(message: str) -> BuildError:
    return BuildError(message, failure=BuildFailure.ARCHIVE)


class _Unpacking:
    """Writes members below a folder, within the limits."""

    def __init__(self, root: Path, limits: BuildLimits) -> None:
        self._root = root
        self._limits = limits
        self._members = 0
        self._bytes = 0
        self._links: list[tuple[str, str]] = []

    def count(self) -> None:
        self._members += 1
        if self._members > self._limits.files:
            raise refused(f"the archive holds more than {self._limits.files} members")

    def take(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._limits.unpacked_bytes:
            raise refused(f"the archive unpacks to more than {self._limits.unpacked_bytes} bytes")

    def folder(self, name: str) -> None:
        path = checked_path(name)
        if path:
            (self._root / path).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, content: IO[bytes], *, executable: bool) -> None:
        path = checked_path(name)
        if not path:
            raise refused("the archive holds a file without a name")
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A path that occurs twice is refused: which of the two is meant, every tool would answer in its own way.
        with target.open("xb") as file:
            for chunk in _chunks(content):
                self.take(len(chunk))
                file.write(chunk)
            os.fchmod(file.fileno(), 0o755 if executable else 0o644)

    def link(self, name: str, target: str) -> None:
        """``target`` is relative to the archive's top."""
        self._links.append((checked_path(name), target))

    def copy_links(self) -> None:
        """Only after all regular files are there, and only of those: no link is ever followed, none is made."""
        for path, target in self._links:
            source = self._root / checked_path(target)
            if not path or not source.is_file():
                raise refused(f"the archive holds a link, {path!r}, to something else than a file of its own")
            self.take(source.stat().st_size)
            copy = self._root / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as content, copy.open("xb") as file:
                shutil.copyfileobj(content, file)
                os.fchmod(file.fileno(), stat.S_IMODE(source.stat().st_mode))


def checked_path(name: str) -> str:
    """A member's path, relative and without ``.`` parts; empty for the archive's own top. Refuses what leaves it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    raw = [part.encode(errors="surrogateescape") for part in parts]
    unsafe = name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or len(parts) > _DEEPEST
    if unsafe or any(len(part) > 255 for part in raw) or len(b"/".join(raw)) > _LONGEST:
        raise refused(f"the archive holds a path that is not allowed: {name[:200]!r}")
    return "/".join(parts)


def _read_tar(file: IO[bytes], filename: str, unpacking: _Unpacking) -> None:
    kind = next((kind for suffix, kind in _TARS.items() if filename.endswith(suffix)), None)
    if kind is None:
        raise refused(f"{filename} is an archive of an unknown kind")
    plain = _Metered(_decompressed(file, kind))
    # Read as a stream, so that nothing depends on where members lie.
    with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|", errors="surrogateescape") as archive:
        members = iter(archive)
        # The tar reader takes long headers into memory whole, so they have a limit of their own.
        while (member := _next(members, plain)) is not None:
            unpacking.count()
            plain.allow(member.size + _HEADERS)
            _take_member(archive, member, unpacking)


def _next(members: Iterator[tarfile.TarInfo], plain: _Metered) -> tarfile.TarInfo | None:
    plain.allow(_HEADERS)
    return next(members, None)


def _take_member(archive: tarfile.TarFile, member: tarfile.TarInfo, unpacking: _Unpacking) -> None:
    if member.isdir():
        unpacking.folder(member.name)
    elif member.issym():
        folder = posixpath.dirname(checked_path(member.name))
        unpacking.link(member.name, _joined(folder, member.linkname))
    elif member.islnk():
        unpacking.link(member.name, member.linkname)
    elif member.isreg() and not member.issparse() and (content := archive.extractfile(member)) is not None:
        unpacking.file(member.name, content, executable=bool(member.mode & stat.S_IXUSR))
    else:
        raise refused(f"the archive holds {member.name[:200]!r}, which is no file, folder or link")


def _joined(folder: str, target: str) -> str:
    if target.startswith("/"):
        raise refused(f"the archive holds a link to {target[:200]!r}, outside of it")
    return posixpath.normpath(posixpath.join(folder, target))


def _read_zip(file: IO[bytes], unpacking: _Unpacking) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            unpacking.count()
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refused(f"the archive holds {member.filename[:200]!r}, which is no file or folder")
            if member.flag_bits & 0x1:
                raise refused("the archive is encrypted")
            if member.is_dir():
                unpacking.folder(member.orig_filename)
                continue
            with archive.open(member) as content:
                unpacking.file(member.orig_filename, content, executable=bool(mode & stat.S_IXUSR))


def _decompressed(file: IO[bytes], kind: str) -> Iterator[bytes]:
    if kind == "gz":
        with gzip.GzipFile(fileobj=file) as stream:
            yield from _chunks(cast("IO[bytes]", stream))
    elif kind == "bz2":
        with bz2.BZ2File(file) as packed:
            yield from _chunks(cast("IO[bytes]", packed))
    else:
        # With a limit of the memory that the stream's dictionary may ask for, which ``lzma.open`` has none of.
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not decoder.eof:
            data = file.read(_CHUNK) if decoder.needs_input else b""
            if decoder.needs_input and not data:
                raise EOFError("it ends early")
            yield decoder.decompress(data, _CHUNK)


class _Metered:
    """A decompressed stream that gives no more than was allowed last."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._left = _HEADERS  # for what the reader takes when it is made

    def allow(self, size: int) -> None:
        self._left = size

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        self._left -= len(data)
        if self._left < 0:
            raise refused("the archive has a header that is too large")
        return data


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
