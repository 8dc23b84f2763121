"""What a call leaves in its working folder comes back, and nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

import orjson
import pytest
from skillyard.errors import InputError
from skillyard.sandbox.artefacts import Receiving
from skillyard.sandbox.guest.frames import FrameError
from skillyard.sandbox.outcome import Call, InputFile, OutcomeState

FULL_DISK = Path(__file__).parent.parent / "assets" / "sandbox" / "full_disk.py"


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


async def test_files_are_on_disk_while_they_arrive_and_appear_when_all_are_there(start, entry, tmp_path: Path) -> None:
    running, out = await start(), tmp_path / "artefacts" / "call"
    staged_as = tmp_path / "staging" / "lease"
    held: list[bool] = []
    hold = running.channel.hold
    running.channel.hold = lambda held_now: (held.append(held_now), hold(held_now))  # type: ignore[method-assign]
    made = Call(
        entry=entry("scripts/bombs.py:artefacts"),
        input_json=b'{"count": 7, "size": 1000003}',
        artefacts_to=out,
        staged_as=staged_as,
    )
    call = asyncio.create_task(running.call(made))
    staged = tmp_path / "staging" / "lease.call"
    seen_staged = False
    while not call.done():
        seen_staged = seen_staged or staged.is_dir()
        assert not (out.exists() and staged.exists())
        await asyncio.sleep(0)
    outcome = await call
    assert seen_staged
    assert [file.size for file in outcome.files] == [1_000_003] * 7
    assert not staged.exists()
    assert held[::2] == [True] * len(held[::2]), "the guest is held while the disk is behind, and let go again"
    assert held[1::2] == [False] * len(held[::2])


async def test_a_file_that_shrinks_on_its_way_in_does_not_cost_the_container(
    start, call, entry, tmp_path: Path
) -> None:
    running, place = await start(), tmp_path / "shrinks"
    place.touch()
    os.truncate(place, 8 * 1024 * 1024)
    made = Call(entry=entry("scripts/plain.py:echo"), files=(InputFile("a", place),))
    task = asyncio.create_task(running.call(made))
    await asyncio.sleep(0)
    os.truncate(place, 1024 * 1024)
    with pytest.raises(InputError, match="became shorter"):
        await task
    assert running.alive
    assert (await call(running, "scripts/plain.py:echo", {"a": 1})).result_json == b'{"a":1}'


async def test_a_cancelled_call_keeps_no_file_on_the_host(start, entry, tmp_path: Path) -> None:
    running = await start()
    first = asyncio.Event()
    call = Call(
        entry=entry("scripts/saying.py:writes_and_waits"), artefacts_to=tmp_path / "out", staged_as=tmp_path / "staged"
    )
    task = asyncio.create_task(running.call(call, lambda _emitted: first.set()))
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_a_call_whose_container_goes_while_its_files_come_is_lost_and_keeps_none(
    start, entry, tmp_path: Path
) -> None:
    running = await start()
    staged = tmp_path / "lease.out"
    made = Call(
        entry=entry("scripts/bombs.py:artefacts"),
        input_json=b'{"count": 8, "size": 1000000}',
        artefacts_to=tmp_path / "out",
        staged_as=tmp_path / "lease",
    )
    hold, take = running.channel.hold, running.channel.data_received
    running.channel.hold = lambda _held: None  # type: ignore[method-assign]

    def take_no_more_than_the_beginning(data: bytes) -> None:
        take(data)
        if running._incoming is not None and running._incoming.receiving._paths:
            hold(True)

    async def cut_off() -> None:
        while not staged.exists():  # noqa: ASYNC110 - a thread makes it
            await asyncio.sleep(0.001)
        running.channel.abort()

    running.channel.data_received = take_no_more_than_the_beginning  # type: ignore[method-assign]
    cutting = asyncio.create_task(cut_off())
    outcome = await running.call(made)
    await cutting
    assert outcome.state is OutcomeState.LOST
    assert outcome.reason == "the container went away before the files it left had arrived"
    assert (outcome.files, outcome.result_json) == ((), None)
    assert list(tmp_path.iterdir()) == []


async def test_a_full_disk_of_the_host_is_a_typed_outcome_with_nothing_half_kept(tmp_path: Path, instance: str) -> None:
    """In a process of its own, whose disk is a small one of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=3m tmpfs '{disk}' && exec \"$@\""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    process = await asyncio.create_subprocess_exec(
        *command, sys.executable, str(FULL_DISK), str(disk), instance, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out.splitlines()[-1]) == {
        "too_much": ["disk_full", "the host has no room for the files that the call left", 0],
        "failed": ["failed", True, 0],
        "left": [],
        "little": ["succeeded", None, 1],
    }


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
        [{"path": "a", "size": 0}, {"path": "a/b", "size": 0}],
        [{"path": "a/b", "size": 0}, {"path": "a", "size": 0}],
    ],
)
def test_a_guest_that_was_taken_over_cannot_hand_back_what_it_likes(frames: list[object]) -> None:
    with pytest.raises(FrameError):
        _receive(frames)


def _receive(frames: list[object]) -> None:
    receiving = Receiving(limit=100, take=lambda _item: None)
    for frame in frames:
        if isinstance(frame, bytes):
            receiving.add(frame)
        else:
            receiving.start(orjson.dumps(frame))
