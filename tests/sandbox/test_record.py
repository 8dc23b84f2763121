"""What landed on disk must be exactly what the wheel lists. Cases that an installer hides are made on disk by hand."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from skillyard.sandbox.errors import WheelError
from skillyard.sandbox.record import verify_unpacked


def line(path: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    (tmp_path / "alpha.py").write_bytes(b"x = 1\n")
    (tmp_path / "alpha-1.0.dist-info").mkdir()
    (tmp_path / "alpha-1.0.dist-info" / "RECORD").write_text(
        line("alpha.py", b"x = 1\n") + "alpha-1.0.dist-info/RECORD,,\n"
    )
    return tmp_path


def verify(folder: Path, *, most_files: int = 100, most_bytes: int = 10_000) -> list[str]:
    return [file.path for file in verify_unpacked(folder, most_files=most_files, most_bytes=most_bytes)]


def append(folder: Path, text: str) -> None:
    with (folder / "alpha-1.0.dist-info" / "RECORD").open("a") as record:
        record.write(text)


def test_a_sound_wheel_is_taken(unpacked: Path) -> None:
    assert verify(unpacked) == ["alpha-1.0.dist-info/RECORD", "alpha.py"]


def test_a_listed_file_that_is_missing_is_noticed(unpacked: Path) -> None:
    append(unpacked, line("beta.py", b""))
    with pytest.raises(WheelError, match=r"beta\.py, which is not there"):
        verify(unpacked)


@pytest.mark.parametrize("path", ["../outside.py", "/etc/passwd", "a/../../b.py", "a\\b.py", ""])
def test_a_list_that_leaves_the_folder_is_refused(unpacked: Path, path: str) -> None:
    append(unpacked, line(path, b""))
    with pytest.raises(WheelError):
        verify(unpacked)


def test_a_link_is_refused_even_if_what_it_points_to_matches(unpacked: Path) -> None:
    """A link could be turned to another file after it was checked."""
    (unpacked / "beta.py").symlink_to("alpha.py")
    append(unpacked, line("beta.py", b"x = 1\n"))
    with pytest.raises(WheelError, match="no regular file"):
        verify(unpacked)


def test_a_link_to_a_folder_is_refused(unpacked: Path) -> None:
    (unpacked / "beta").symlink_to("/etc")
    with pytest.raises(WheelError, match="no regular file"):
        verify(unpacked)


def test_a_wheel_with_too_many_files_or_bytes_is_refused(unpacked: Path) -> None:
    with pytest.raises(WheelError, match="more than 1 files"):
        verify(unpacked, most_files=1)
    with pytest.raises(WheelError, match="or 5 bytes"):
        verify(unpacked, most_bytes=5)


@pytest.mark.parametrize("record", [b"\xff\xfe", b"a,b\n", b"a,sha256=x,many\n"])
def test_a_list_that_cannot_be_read_is_refused(unpacked: Path, record: bytes) -> None:
    (unpacked / "alpha-1.0.dist-info" / "RECORD").write_bytes(record)
    with pytest.raises(WheelError):
        verify(unpacked)


def test_a_wheel_without_a_list_is_refused(unpacked: Path) -> None:
    (unpacked / "alpha-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(WheelError, match="no RECORD"):
        verify(unpacked)


def test_two_packages_in_one_folder_are_refused(unpacked: Path) -> None:
    (unpacked / "beta-1.0.dist-info").mkdir()
    with pytest.raises(WheelError, match="has 2"):
        verify(unpacked)


def test_what_the_installer_added_is_taken_out(unpacked: Path) -> None:
    (unpacked / "alpha-1.0.dist-info" / "INSTALLER").write_text("uv")
    (unpacked / "bin").mkdir()
    (unpacked / "bin" / "alpha").write_text("#!/somewhere/python\n")
    append(unpacked, line("bin/alpha", b"#!/somewhere/python\n"))
    assert verify(unpacked) == ["alpha-1.0.dist-info/RECORD", "alpha.py"]
    assert not (unpacked / "bin").exists()
