"""A skill in an archive: zip, or tar, plain or compressed with gzip, bzip2 or xz.

What the archive says about itself is not believed: sizes are counted while unpacking, and an archive is at most 32 MiB,
its tar stream at most 64 MiB, whatever it claims. Links, devices, encrypted members and sparse files are refused;
owners, times and special mode bits are ignored. Tool state (``.git``, ``__MACOSX`` …) is left out.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError, UnsafePathError
from skillyard.skills.manifest import NAME
from skillyard.skills.paths import check_path, is_state, printable
from skillyard.skills.source import Fetched
from skillyard.skills.sources.staging import Staging, emptied_on_failure, in_thread, skill_root
from skillyard.skills.tar import StrictTarFile

MAX_ARCHIVE_BYTES = 32 * 1024 * 1024
MAX_TAR_BYTES = 64 * 1024 * 1024
MAX_XZ_MEMORY = 128 * 1024 * 1024

_CHUNK = 64 * 1024
_SUFFIXES = (".zip", ".skill", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    RecursionError,
)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ArchiveSource:
    """An archive on disk. ``name`` is what it is called where it came from (an upload's file name)."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self._path = path
        self._name = printable(Path(name or path.name).name)

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``. A single folder at the top is the skill's folder; its name is kept."""
        async with emptied_on_failure(into):
            folder = await in_thread(lambda stop: skill_root(_unpack(self._path, self._name, into, stop)))
        return Fetched(folder, f"archive:{self._name}", None)

    async def unpack(self, into: Path) -> Path:
        """As ``fetch``, of an archive that need not hold a skill: the folder with all of its files."""
        async with emptied_on_failure(into):
            return await in_thread(lambda stop: _unpack(self._path, self._name, into, stop))


def _unpack(path: Path, name: str, into: Path, stop: threading.Event) -> Path:
    target = into / _folder_name(name)
    target.mkdir()
    staging = Staging(target, stop)
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from error
    with file:
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise BundleTooLargeError(f"an archive larger than {MAX_ARCHIVE_BYTES // 2**20} MiB", file=name)
        try:
            _read(file, name, staging)
        except (*_BROKEN, OSError) as error:
            # EINVAL is a place beyond any file, which ``zipfile`` believes; what else has a number is the disk's fault.
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            raise SkillError(f"a broken archive: {error}", file=name) from error
        except NotImplementedError as error:
            raise SkillError(f"an archive of an unknown kind: {error}", file=name) from error
    return target


def _folder_name(name: str) -> str:
    """The archive's name without its suffix, which names a skill without a folder of its own in the archive."""
    stem = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
    return stem if NAME.fullmatch(stem) else "skill"


def _read(file: IO[bytes], name: str, staging: Staging) -> None:
    start = file.read(6)
    file.seek(0)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _read_zip(file, staging)
        return
    with tempfile.TemporaryFile() as plain:
        for chunk in _limited(_decompressed(file, start), name):
            staging.check_stopped()
            plain.write(chunk)
        plain.seek(0)
        _read_tar(plain, name, staging)


def _decompressed(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file) as stream:
            yield from _chunks(stream)
    elif start.startswith(b"BZh"):
        with bz2.BZ2File(file) as stream:
            yield from _chunks(stream)
    elif start.startswith(b"\xfd7zXZ\x00"):
        yield from _decompressed_xz(file)
    else:
        yield from _chunks(file)


def _decompressed_xz(file: IO[bytes]) -> Iterator[bytes]:
    """One xz stream, with a limit of the memory its dictionary may ask for, which ``lzma.open`` has none of."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
    while not decoder.eof:
        data = file.read(_CHUNK) if decoder.needs_input else b""
        if decoder.needs_input and not data:
            raise EOFError("it ends early")
        yield decoder.decompress(data, _CHUNK)


def _limited(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_TAR_BYTES:
            raise BundleTooLargeError(f"unpacks to more than {MAX_TAR_BYTES // 2**20} MiB", file=name)
        yield chunk


def _read_tar(file: IO[bytes], name: str, staging: Staging) -> None:
    with StrictTarFile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            staging.count_member(member.name)
            path = _member_path(member.name)
            if member.isdir() or is_state(path):
                continue
            if not member.isreg() or member.issparse():
                raise UnsafePathError(_tar_problem(member), file=printable(path))
            content = archive.extractfile(member)
            if content is None:
                raise SkillError("a member without content", file=name)
            staging.write(path, _exactly(_chunks(content), member.size), executable=bool(member.mode & stat.S_IXUSR))


def _tar_problem(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return f"a link to {printable(member.linkname)!r}; archives hold files and folders only"
    return "a device, pipe or other special file"


def _read_zip(file: IO[bytes], staging: Staging) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            staging.count_member(member.filename)
            path = _member_path(member.orig_filename)
            mode = member.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
                raise UnsafePathError("a link, device or other special file", file=printable(path))
            if member.is_dir() or is_state(path):
                continue
            if member.flag_bits & _ENCRYPTED:
                raise SkillError("is encrypted", file=printable(path))
            if member.compress_type not in _ZIP_METHODS:
                raise SkillError("is compressed in a way that is not supported", file=printable(path))
            with archive.open(member) as content:
                staging.write(path, _chunks(content), executable=bool(mode & stat.S_IXUSR))


def _member_path(name: str) -> str:
    """A member's path, checked: a leading ``./`` and a folder's trailing slash are how tools write, not escapes."""
    path = name.rstrip("/") if name.strip("/") else name
    while path.startswith("./"):
        path = path.removeprefix("./")
    return path if path in {"", "."} else check_path(path)


def _chunks(stream: _Readable) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _exactly(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        size -= len(chunk)
        yield chunk
    if size:
        raise EOFError("it ends early")
