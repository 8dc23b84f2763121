"""A few bytes of a hostile tar archive take neither the memory nor the time of whoever reads it.

What is read is read by a process of its own, which has little memory and is stopped soon: no machine is harmed.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from skillyard.skills.tar import MOST_HEADER, MOST_SHARED, StrictTarFile

_READ = """
import resource, sys, tarfile
resource.setrlimit(resource.RLIMIT_AS, (512 * 1024**2,) * 2)
from skillyard.skills.tar import StrictTarFile
try:
    with StrictTarFile.open(sys.argv[1], "r:") as archive:
        print(sum(1 for _ in archive))
except tarfile.TarError as error:
    print("refused:", error)
"""


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    return header("pax", len(records), kind) + records + bytes(-len(records) % 512)


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


END = bytes(1024)
_LARGE = f"larger than {MOST_HEADER // 1024} KiB"
GOOD = header("SKILL.md", 3) + b"abc".ljust(512, b"\0")

HOSTILE = {
    "steps back for ever": (GOOD + header("x", -1024) + END, "a negative size"),
    "steps back by pax": (GOOD + pax(record("size", "-1536")) + header("x", 0) + END, "a negative size"),
    "names a path of gibibytes": (GOOD + header("x", 2**31, tarfile.GNUTYPE_LONGNAME), _LARGE),
    "links to a path of gibibytes": (GOOD + header("x", 2**31, tarfile.GNUTYPE_LONGLINK), _LARGE),
    "has attributes of gibibytes": (GOOD + header("x", 2**31, tarfile.XHDTYPE), _LARGE),
    "has attributes of Sun": (GOOD + header("x", 2**31, tarfile.SOLARIS_XHDTYPE), _LARGE),
    "begins with such": (header("x", 2**31, tarfile.XHDTYPE), _LARGE),
    "speaks for all": (pax(record("comment", "x" * MOST_SHARED), tarfile.XGLTYPE) + GOOD + END, "larger than 4 KiB"),
    "is larger than numbers": (GOOD + header("x", 2**70) + END, "cannot be read"),
    "describes headers": (GOOD + pax(record("a", "b")) * 1200 + GOOD + END, "more than 8 headers"),
    "is sparse": (GOOD + header("x", 0, tarfile.GNUTYPE_SPARSE) + END, "a sparse file"),
    "maps holes in its content": (
        pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
        + header("x", 512)
        + b"99999999999\n".ljust(512, b"0")
        + END,
        "a sparse file",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_in_no_time(tmp_path: Path, what: str) -> None:
    data, why = HOSTILE[what]
    path = tmp_path / "hostile.tar"
    path.write_bytes(data)
    with path.open("r+b") as file:
        # A file as long as it says, of which the disk holds a few bytes.
        file.truncate(2**31 + 4096 if why == _LARGE else len(data))
    ended = subprocess.run(
        [sys.executable, "-c", _READ, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.startswith("refused:"), ended.stdout
    assert why in ended.stdout


def test_long_names_and_what_git_writes_are_read(tmp_path: Path) -> None:
    long = "/".join(["folder" * 10] * 12)
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = tmp_path / "good.tar"
        shared = {"comment": "c" * 40} if kind == tarfile.PAX_FORMAT else None
        with tarfile.open(path, "w", format=kind, pax_headers=shared) as archive:
            for name in ("a", long, "é" * 60):
                member = tarfile.TarInfo(name)
                member.size = 3
                archive.addfile(member, io.BytesIO(b"abc"))
        with StrictTarFile.open(path, "r:") as read:
            assert [(one.name, one.size, one.pax_headers) for one in read] == [
                ("a", 3, {}),
                (long, 3, {}),
                ("é" * 60, 3, {}),
            ]
