"""What a call leaves in its working folder comes back, and nothing else does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest
from skillyard.sandbox.artefacts import Receiving
from skillyard.sandbox.guest.frames import FrameError
from skillyard.sandbox.outcome import InputFile, OutcomeState


async def test_new_and_changed_files_come_back_and_untouched_ones_do_not(start, call, tmp_path: Path) -> None:
    outcome = await call(
        await start(),
        "scripts/plain.py:writes",
        {"files": {"new.txt": "new", "deep/er/new.txt": "deep", "changed.txt": "same size!"}},
        files=(InputFile("changed.txt", b"0123456789"), InputFile("deep/untouched.txt", b"untouched")),
        artefacts_to=tmp_path / "out",
    )
    assert outcome.state is OutcomeState.SUCCEEDED
    assert {file.path: file.location.read_text() for file in outcome.files} == {
        "new.txt": "new",
        "deep/er/new.txt": "deep",
        "changed.txt": "same size!",
    }
    for file in outcome.files:
        assert file.sha256 == hashlib.sha256(file.location.read_bytes()).hexdigest()
        assert file.size == file.location.stat().st_size
    stored = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert stored == {"new.txt", "deep/er/new.txt", "changed.txt"}


async def test_links_devices_and_odd_names_stay_and_are_named(start, call, tmp_path: Path) -> None:
    outcome = await call(await start(), "scripts/hostile.py:traps", artefacts_to=tmp_path)
    assert outcome.state is OutcomeState.SUCCEEDED
    assert [file.path for file in outcome.files] == ["shut/inside/good"]
    assert outcome.files[0].location.read_text() == "good"
    named = outcome.stderr.decode()
    for path in (
        "'link'",
        "'folder-link'",
        "'pipe'",
        "'socket'",
        "'twice'",
        "'second-name'",
        r"'bad-\udcff'",
        r"'new\n",
    ):
        assert f"skillyard: left out {path}" in named


async def test_files_of_a_failed_call_come_back_as_well(start, call, tmp_path: Path) -> None:
    outcome = await call(await start(), "scripts/tool.sh", artefacts_to=tmp_path)
    assert outcome.state is OutcomeState.FAILED
    assert [file.path for file in outcome.files] == ["made.txt"]


async def test_without_a_place_for_them_files_are_discarded(start, call) -> None:
    running = await start()
    assert (await call(running, "scripts/plain.py:writes", {"files": {"a": "b"}})).files == ()
    left = await call(running, "scripts/hostile.py:find_things")
    assert orjson.loads(left.result_json)["found"] == []


async def test_a_call_that_removes_its_working_folder_hands_back_nothing(start, call, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "gone.py").write_text(
        "import os\ndef run():\n    os.rmdir('/scratch/work')\n    os.symlink('/etc', '/scratch/work')\n"
    )
    running = await start(bundle=tmp_path)
    outcome = await call(running, "gone.py:run", artefacts_to=tmp_path / "out")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert outcome.files == ()
    assert b"removed its working folder" in outcome.stderr
    assert (await call(running, "gone.py:run")).state is OutcomeState.SUCCEEDED


async def test_many_bytes_come_back_whole(start, call, tmp_path: Path) -> None:
    outcome = await call(
        await start(), "scripts/bombs.py:artefacts", {"count": 7, "size": 1_000_003}, artefacts_to=tmp_path
    )
    assert outcome.state is OutcomeState.SUCCEEDED
    assert [file.size for file in outcome.files] == [1_000_003] * 7
    assert {file.sha256 for file in outcome.files} == {hashlib.sha256(b"x" * 1_000_003).hexdigest()}


@pytest.mark.parametrize(
    "frames",
    [
        [{"path": "../escape", "size": 1}],
        [{"path": "/etc/passwd", "size": 1}],
        [{"path": "a", "size": -1}],
        [{"path": "a", "size": 101}],
        [{"path": "a", "size": 60}, b"x" * 60, {"path": "b", "size": 60}],
        [{"path": "a", "size": 1}, b"xx"],
        [{"path": "a", "size": 2}, {"path": "b", "size": 1}],
        [{"path": "a", "size": 0}, {"path": "a", "size": 0}],
        [b"not announced"],
        [{"path": 5, "size": 1}],
        [["a list"]],
    ],
)
def test_a_guest_that_was_taken_over_cannot_hand_back_what_it_likes(frames: list[object]) -> None:
    with pytest.raises(FrameError):
        _receive(frames)


def _receive(frames: list[object]) -> None:
    receiving = Receiving(limit=100)
    for frame in frames:
        if isinstance(frame, bytes):
            receiving.add(frame)
        else:
            receiving.start(orjson.dumps(frame))
