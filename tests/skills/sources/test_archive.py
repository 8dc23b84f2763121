"""Archives made to escape, explode or deceive are refused while they are unpacked, before anything of them stays."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError, UnsafePathError
from skillyard.skills.sources.archive import ArchiveSource

MANIFEST = b"---\nname: demo\ndescription: d\n---\n"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    staging = tmp_path / "staging"
    staging.mkdir()
    return staging


def _member(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **facts: object
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(content)
    for key, value in facts.items():
        setattr(member, key, value)
    return member, content


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
        for member, content in (_member("demo/SKILL.md", content=MANIFEST), *members):
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


def _zip(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("demo/SKILL.md", MANIFEST), *members):
            archive.writestr(name, content)
    return data.getvalue()


def _zip_info(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


async def _fetch(into: Path, data: bytes, name: str = "demo.bin"):
    archive = into.parent / name
    archive.write_bytes(data)
    return await ArchiveSource(archive).fetch(into)


ESCAPES = [
    "../evil",
    "demo/../../evil",
    "/tmp/evil",
    "C:/evil",
    "demo\\..\\..\\evil",
    "demo/./../../evil",
    "a/" * 17 + "b",
]


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize(
    "pack", [lambda n: _tar(_member(n, content=b"x")), lambda n: _zip((n, b"x"))], ids=["tar", "zip"]
)
async def test_paths_that_leave_the_folder_are_refused(into, name, pack):
    with pytest.raises(UnsafePathError):
        await _fetch(into, pack(name))
    assert list(into.iterdir()) == []
    assert sorted(path.name for path in into.parent.iterdir()) == ["demo.bin", "staging"]


@pytest.mark.parametrize(
    "member",
    [
        _member("demo/link", tarfile.SYMTYPE, linkname="/etc/passwd"),
        _member("demo/link", tarfile.SYMTYPE, linkname="SKILL.md"),
        _member("demo/link", tarfile.LNKTYPE, linkname="demo/SKILL.md"),
        _member("demo/link", tarfile.LNKTYPE, linkname="../../etc/passwd"),
        _member("demo/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        _member("demo/disk", tarfile.BLKTYPE, devmajor=8, devminor=0),
        _member("demo/pipe", tarfile.FIFOTYPE),
    ],
    ids=["absolute-link", "link", "hard-link", "escaping-hard-link", "character-device", "block-device", "pipe"],
)
async def test_links_and_special_files_in_a_tar_are_refused(into, member):
    with pytest.raises(UnsafePathError, match=r"link|special"):
        await _fetch(into, _tar(member))
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140666])
async def test_links_and_special_files_in_a_zip_are_refused(into, mode):
    with pytest.raises(UnsafePathError, match="link"):
        await _fetch(into, _zip((_zip_info("demo/x", mode), b"/etc/passwd")))


async def test_a_file_below_a_link_of_the_same_archive_is_never_written(into, tmp_path):
    link = _member("demo/out", tarfile.SYMTYPE, linkname=str(tmp_path))
    with pytest.raises(UnsafePathError):
        await _fetch(into, _tar(link, _member("demo/out/evil", content=b"x")))
    assert not (tmp_path / "evil").exists()


def _zip_bomb() -> bytes:
    return _zip(("demo/zeros", bytes(40 * 2**20)))


def _lying_zip() -> bytes:
    """A deflated file of 20 MiB whose headers, local and central, say that it has ten bytes."""
    data = bytearray(_zip(("demo/zeros", bytes(20 * 2**20))))
    local = data.rindex(b"PK\x03\x04")
    central = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, local + 22, 10)
    struct.pack_into("<I", data, central + 24, 10)
    return bytes(data)


BOMBS = {
    "zip": _zip_bomb,
    "gz": lambda: gzip.compress(_tar(_member("demo/zeros", content=bytes(72 * 2**20)))),
    "bz2": lambda: bz2.compress(_tar(_member("demo/zeros", content=bytes(72 * 2**20)))),
    "xz": lambda: lzma.compress(_tar(_member("demo/zeros", content=bytes(72 * 2**20)))),
    "many-files": lambda: gzip.compress(_tar(*[_member(f"demo/{n}") for n in range(2500)])),
    "many-folders": lambda: _zip(*[(f"demo/{n}/", b"") for n in range(2500)]),
    "state-only": lambda: gzip.compress(_tar(_member("demo/.git/zeros", content=bytes(72 * 2**20)))),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_bombs_are_stopped_while_they_unpack(into, bomb):
    data = BOMBS[bomb]()
    tracemalloc.start()
    try:
        with pytest.raises(BundleTooLargeError):
            await _fetch(into, data)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20, "the bomb was held in memory"
    finally:
        tracemalloc.stop()
    assert list(into.iterdir()) == []


async def test_a_zip_that_lies_about_sizes_is_refused(into):
    with pytest.raises(SkillError):
        await _fetch(into, _lying_zip())
    assert list(into.iterdir()) == []


async def test_an_xz_that_asks_for_gigabytes_of_memory_is_refused(into):
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * 2**20}]
    data = lzma.compress(_tar(), lzma.FORMAT_XZ, filters=filters)
    with pytest.raises(SkillError, match="broken archive"):
        await _fetch(into, data)


async def test_an_archive_larger_than_the_limit_is_not_opened(into):
    archive = into.parent / "big.zip"
    with archive.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BundleTooLargeError, match="an archive larger than 32 MiB"):
        await ArchiveSource(archive).fetch(into)


@pytest.mark.parametrize(
    "data",
    [b"", b"not an archive", b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", _tar()[:700], _zip()[:-30]],
    ids=["empty", "text", "zip-start", "gz-start", "bz2-start", "xz-start", "cut-tar", "cut-zip"],
)
async def test_broken_archives_are_an_error_about_the_archive(into, data):
    with pytest.raises(SkillError):
        await _fetch(into, data)
    assert list(into.iterdir()) == []


def _extended(size: int, headers: int) -> bytes:
    """A tar archive of extended headers, one after the other, each of which says that it has that size."""
    text = b"10 path=a\n"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, size
    return (header.tobuf(tarfile.GNU_FORMAT) + text.ljust(512, b"\0")) * headers + _tar()


@pytest.mark.parametrize("data", [_extended(10, 1000), _extended(2**62, 1), _extended(2**80, 1)])
async def test_extended_headers_that_break_the_reader_are_an_error_about_the_archive(into, data):
    with pytest.raises(SkillError):
        await _fetch(into, data)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("place", [2**64 - 1, 2**62])
async def test_a_zip_whose_member_lies_beyond_any_file_is_an_error_about_the_archive(into, place):
    plain = _zip()
    at = plain.index(b"PK\x01\x02")
    entry = bytearray(plain[at : plain.index(b"PK\x05\x06")])
    extra = struct.pack("<HHQ", 1, 8, place)
    entry[30:32] = struct.pack("<H", len(extra))
    entry[42:46] = b"\xff" * 4
    directory = bytes(entry) + extra
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), at, 0)
    with pytest.raises(SkillError, match="broken archive"):
        await _fetch(into, plain[:at] + directory + end)


async def test_a_changed_byte_in_a_zip_is_found(into):
    data = bytearray(_zip(("demo/x", b"hello hello hello hello hello")))
    at = data.index(b"demo/x") + len("demo/x") + 2
    data[at] ^= 0xFF
    with pytest.raises(SkillError):
        await _fetch(into, bytes(data))


async def test_a_cut_gzip_stream_is_not_a_shorter_skill(into):
    whole = gzip.compress(_tar(_member("demo/x", content=zlib.compress(bytes(1000)) * 500)))
    with pytest.raises(SkillError, match="broken archive"):
        await _fetch(into, whole[: len(whole) // 2])


@pytest.mark.parametrize(
    "members",
    [[("demo/x", b"1"), ("demo/x", b"2")], [("demo/x", b""), ("demo/X", b"")], [("demo/x", b""), ("demo/x/y", b"")]],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile warns when it writes what we refuse to read
async def test_names_that_collide_are_refused(into, members):
    for data in (_zip(*members), _tar(*[_member(name, content=content) for name, content in members])):
        with pytest.raises(UnsafePathError):
            await _fetch(into, data)


async def test_encrypted_and_strangely_compressed_members_are_refused(into):
    data = bytearray(_zip(("demo/x", b"hello")))
    data[data.rindex(b"PK\x03\x04") + 6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(SkillError, match="encrypted"):
        await _fetch(into, bytes(data))
    strange = io.BytesIO()
    with zipfile.ZipFile(strange, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("SKILL.md", MANIFEST)
    with pytest.raises(SkillError, match="not supported"):
        await _fetch(into, strange.getvalue())


async def test_special_bits_and_owners_are_ignored_and_the_executable_bit_kept(into):
    setuid = _member("demo/tool", content=b"x", mode=0o6755, uid=0, gid=0, mtime=2**33)
    fetched = await _fetch(into, _tar(setuid, _member("demo/data", content=b"x", mode=0o7666)))
    assert (fetched.folder / "tool").stat().st_mode & 0o7777 == 0o755
    assert (fetched.folder / "data").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize(
    ("paths", "folder"),
    [
        (["SKILL.md"], "named"),
        (["./SKILL.md"], "named"),
        (["top/SKILL.md"], "top"),
        (["top/SKILL.md", "top/examples/SKILL.md"], "top"),
        (["repository/README.md", "repository/skills/one/SKILL.md"], "one"),
    ],
)
async def test_the_skill_is_found_where_people_put_it(into, paths, folder):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path in paths:
            member, content = _member(path, content=MANIFEST)
            archive.addfile(member, io.BytesIO(content))
    fetched = await _fetch(into, data.getvalue(), "named.tar.gz")
    assert fetched.folder.name == folder
    assert (fetched.folder / "SKILL.md").read_bytes() == MANIFEST


async def test_two_skills_in_one_archive_need_a_choice(into):
    with pytest.raises(SkillError, match="more than one skill: demo, other"):
        await _fetch(into, _zip(("other/SKILL.md", MANIFEST)))


async def test_an_upload_keeps_the_name_it_was_given(into):
    archive = into.parent / "tmp1234"
    archive.write_bytes(gzip.compress(_tar()))
    fetched = await ArchiveSource(archive, name="../../we\x1b[31mird.tgz").fetch(into)
    assert fetched.origin == "archive:we\\x1b[31mird.tgz"


async def test_an_archive_that_is_not_there_is_the_sources_fault(into):
    with pytest.raises(SourceError):
        await ArchiveSource(into / "none.zip").fetch(into)
