"""Files for the host that are not what they look like: regular files arrive, under names we accept, or nothing does."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.skills.permissions import MIB

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _arrived(outcome: Outcome, folder: Path) -> dict[str, int]:
    """Names and sizes of the files that are on disk; each is a regular file of one name inside the folder."""
    found: dict[str, int] = {}
    for path in folder.rglob("*") if folder.exists() else ():
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            continue
        assert stat.S_ISREG(status.st_mode), path
        assert status.st_nlink == 1
        assert path.resolve().is_relative_to(folder.resolve())
        assert not status.st_mode & 0o7111, oct(status.st_mode)
        found[str(path.relative_to(folder))] = status.st_size
    assert found == {file.path: file.size for file in outcome.files}
    return found


async def test_links_pipes_sockets_and_devices_stay_behind(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:not_files", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert _arrived(outcome, tmp_path / "out") == {"good.txt": 4}
    for name in (b"link-to-file", b"link-to-root", b"link-up", b"pipe", b"whiteout", b"socket"):
        assert name in outcome.stderr


async def test_files_with_a_second_name_stay_behind(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:second_names", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert _arrived(outcome, tmp_path / "out") == {}


async def test_names_that_mean_something_to_somebody_stay_behind(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:odd_names", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert set(_arrived(outcome, tmp_path / "out")) == {"...", "-rf", "con"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # Said of them is only what a terminal can be shown.
    assert all(byte >= 32 or byte == 10 for byte in outcome.stderr)
    assert b"not-unicode-" in outcome.stderr


async def test_names_that_differ_by_case_or_accent_are_kept_apart(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:alike_names", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert len(_arrived(outcome, tmp_path / "out")) == 4
    for file in outcome.files:
        assert (tmp_path / "out" / file.path).read_text() == file.path


async def test_folders_below_the_depth_we_take_stay_behind(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:deep", {"levels": 200}, artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert len(_arrived(outcome, tmp_path / "out")) == 31
    assert b"left out" in outcome.stderr


@pytest.mark.parametrize(("count", "size"), [(1, 16 * MIB), (400, 16 * MIB)])
async def test_holes_count_as_what_they_would_be_on_the_hosts_disk(
    target, tmp_path: Path, count: int, size: int
) -> None:
    outcome = await target.attack("hand_back.py:sparse", {"count": count, "size": size}, artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert _arrived(outcome, tmp_path / "out") == {}


async def test_a_file_that_unpacks_to_a_lot_stays_packed(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:bomb", {"mib": 100}, artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    (size,) = _arrived(outcome, tmp_path / "out").values()
    assert outcome.result_json == str(size).encode()
    assert size < MIB
    assert outcome.files[0].media_type == "application/gzip"


async def test_more_files_than_we_take_are_refused(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:many", {"count": 600}, artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert _arrived(outcome, tmp_path / "out") == {}


async def test_a_working_folder_that_is_a_link_is_not_followed(target, tmp_path: Path) -> None:
    outcome = await target.attack("hand_back.py:no_folder", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert _arrived(outcome, tmp_path / "out") == {}


async def test_a_file_is_not_read_while_it_changes(target, tmp_path: Path) -> None:
    """Nothing of the call lives when its files are read: what arrives is one content, of the size that was said.

    It may be the beginning of that content: the kernel ends a process between two pages of what it writes.
    """
    outcome = await target.attack("hand_back.py:changing", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    (size,) = _arrived(outcome, tmp_path / "out").values()
    content = (tmp_path / "out" / "changing").read_bytes()
    assert len(content) == size
    assert content == b"before" or len(set(content)) <= 1
