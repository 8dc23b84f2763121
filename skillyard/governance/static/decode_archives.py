"""The members of archives and compressed files, read in memory within limits and never written to disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from skillyard.governance.static.budget import Budget
from skillyard.governance.static.gap import GapError
from skillyard.governance.static.limits import MAX_MEMBERS, MAX_UNPACKED

_CHUNK: Final = 64 * 1024
_UNREADABLE: Final = ((b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "RAR"), (b"\x04\x22\x4d\x18", "LZ4"))
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class EncryptedError(Exception):
    """An archive of which a member cannot be read without a password."""


def archive_kind(data: bytes) -> str | None:
    """``zip``, ``tar``, ``gzip``, … by how the bytes begin, or ``None``; names of files play no part in it."""
    if data.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    if data.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if data.startswith(b"BZh") and data[4:10] == b"1AY&SY":
        return "bzip2"
    if data.startswith(b"\xfd7zXZ\0"):
        return "xz"
    if data[257:262] == b"ustar":
        return "tar"
    if data.startswith(_ZSTD):
        return "Zstandard"
    return next((name for magic, name in _UNREADABLE if data.startswith(magic)), None)


def is_readable(kind: str) -> bool:
    return kind in {"zip", "gzip", "bzip2", "xz", "tar"}


def members(kind: str, data: bytes, budget: Budget) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in an archive; one without a name for a compressed file.

    Raises ``GapError`` for limits and damage, ``EncryptedError`` once for what needs a password, after the rest.
    """
    try:
        if kind == "zip":
            yield from _zip(data, budget)
        elif kind == "tar":
            yield from _tar(data, budget)
        else:
            yield "", decompress(kind, data, budget)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        lzma.LZMAError,
        zlib.error,
        struct.error,
        NotImplementedError,
    ) as error:
        raise GapError(f"a damaged or unusual {kind} archive: {type(error).__name__}") from error
    except (OSError, EOFError, ValueError, KeyError, OverflowError) as error:
        raise GapError(f"a damaged {kind} archive: {type(error).__name__}") from error


def decompress(kind: str, data: bytes, budget: Budget) -> bytes:
    """One compressed stream. Raises ``GapError`` where it gives more than may be unpacked."""
    source = io.BytesIO(data)
    if kind == "zlib":
        inflate = zlib.decompressobj()
        plain = inflate.decompress(data, MAX_UNPACKED + 1)
        if not inflate.eof and len(plain) <= MAX_UNPACKED:
            raise EOFError("ends before its end")
        return _counted(plain, budget)
    if kind == "gzip":
        with gzip.open(source) as stream:
            return _counted(_read(stream), budget)
    with bz2.open(source) if kind == "bzip2" else lzma.open(source) as packed:
        return _counted(_read(packed), budget)


def _zip(data: bytes, budget: Budget) -> Iterator[tuple[str, bytes]]:
    encrypted = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_MEMBERS:
            raise GapError(f"an archive of more than {MAX_MEMBERS} members")
        for info in infos:
            if info.flag_bits & 0x1:
                encrypted.append(info.filename)
            elif not info.is_dir():
                with archive.open(info) as member:
                    yield info.filename, _counted(_read(member), budget)
    if encrypted:
        raise EncryptedError(encrypted[0])


def _tar(data: bytes, budget: Budget) -> Iterator[tuple[str, bytes]]:
    seen = 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            seen += 1
            if seen > MAX_MEMBERS:
                raise GapError(f"an archive of more than {MAX_MEMBERS} members")
            if info.isfile() and (member := archive.extractfile(info)) is not None:
                yield info.name, _counted(_read(member), budget)


def _read(stream: _Readable) -> bytes:
    plain = bytearray()
    while chunk := stream.read(_CHUNK):
        plain += chunk
        if len(plain) > MAX_UNPACKED:
            break
    return bytes(plain)


def _counted(plain: bytes, budget: Budget) -> bytes:
    if len(plain) > MAX_UNPACKED:
        raise GapError(f"unpacks to more than {MAX_UNPACKED // 2**20} MiB")
    budget.decode(len(plain))
    return plain
