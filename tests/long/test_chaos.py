"""Whatever dies under a call, the call ends in exactly one state, nothing stays, and the server goes on by itself.

Everything happens on Docker Engines of the tests' own (``private_engine``), through a real server's HTTP interface.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.people import Agent, said
from tests.acceptance.skills import made
from tests.long.private_engine import PrivateEngine, until
from tests.long.scene import Background, Census, Scene, children, descendants, in_background, inner_pid

CODE = '''
import ctypes
import time

MARK = b"in-a-call"


def run(seconds: float = 0):
    """Shows its process by name to whoever looks for it from the outside."""
    ctypes.CDLL(None).prctl(15, MARK, 0, 0, 0)
    time.sleep(seconds)
    return seconds


def leave(size: int):
    with open("left.bin", "wb") as stream:
        stream.write(b"x" * size)
    return size
'''
MARK = "in-a-call"
SKILL = "acme/sleeper"
LEAVE = "scripts/main.py:leave"

Scenes = Callable[..., Scene]


@pytest.fixture
def yard(private_engine: PrivateEngine, scene: Scenes) -> Scene:
    return prepared(scene(private_engine))


def prepared(scene: Scene) -> Scene:
    """A server with a skill that has been called, so that a sandbox stands ready."""
    scene.serve()
    scene.people.install(made("sleeper", CODE, functions=("run", "leave"), memory="128MiB", timeout="20s"))
    assert in_background(scene.robot(), SKILL).wait().state == "succeeded"
    return scene


def begin(scene: Scene, agent: Agent, seconds: float = 15, **fields: object) -> tuple[Background, str, int]:
    """A call that runs: its answer to come, its container, its process."""
    before = {pid for _, pid in calls_under_way(scene.engine)}
    background = in_background(agent, SKILL, {"seconds": seconds}, **fields)
    container, pid = until(
        lambda: [found for found in calls_under_way(scene.engine) if found[1] not in before], "call that runs"
    )[0]
    return background, container, pid


def calls_under_way(engine: PrivateEngine) -> Iterator[tuple[str, int]]:
    for container in engine.containers(running=True):
        for pid in descendants(engine.relay(container)):
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == MARK:
                    yield container, pid


def check_served(agent: Agent) -> None:
    """The server serves calls, without having been told anything."""
    answer = agent.call(SKILL)
    assert answer.status_code == 200, said(answer)
    assert answer.json()["outcome"]["state"] == "succeeded", said(answer)


def check_served_again(agent: Agent, seconds: float = 90) -> None:
    """As above; machine errors are fine until what was broken has come back."""

    def served() -> bool:
        answer = agent.call(SKILL)
        assert answer.status_code in {200, 503}, said(answer)
        return answer.status_code == 200 and answer.json()["outcome"]["state"] == "succeeded"

    until(served, "call that is served again", seconds=seconds)


def settled(scene: Scene) -> Census:
    """What there is with one sandbox at rest."""
    until(lambda: len(scene.engine.containers()) == 1, "return to one sandbox", seconds=60)
    return scene.census()


# The server


def test_a_server_that_is_killed_loses_its_calls_once_and_leaves_nothing(yard: Scene) -> None:
    first, second = yard.robot(), yard.robot()
    before = settled(yard)
    calls = [begin(yard, first)[0], begin(yard, second)[0]]
    yard.server.kill()
    assert [call.wait().error is not None for call in calls] == [True, True]
    until(lambda: not yard.engine.containers(), "end of the containers of a dead server")
    yard.serve()
    states = yard.check_records()
    assert states == {"succeeded": 1, "lost": 2}
    check_served(yard.robot())
    yard.check_nothing_left(before)


def test_a_server_that_is_killed_while_its_containers_hear_nothing(yard: Scene) -> None:
    before = settled(yard)
    call, container, _ = begin(yard, yard.robot())
    yard.engine.docker("pause", container)
    yard.server.kill()
    assert call.wait().error is not None
    assert container in yard.engine.containers()
    yard.serve()
    assert container not in yard.engine.containers()
    assert yard.check_records() == {"succeeded": 1, "lost": 1}
    check_served(yard.robot())
    yard.check_nothing_left(before)


# The engine


@pytest.mark.parametrize("kind", ["private_engine", "lasting_engine"])
def test_an_engine_that_is_killed_loses_its_calls_and_comes_back(
    kind: str, request: pytest.FixtureRequest, scene: Scenes
) -> None:
    engine: PrivateEngine = request.getfixturevalue(kind)
    yard = prepared(scene(engine))
    robot = yard.robot()
    before = settled(yard)
    calls = [begin(yard, yard.robot())[0], begin(yard, robot)[0]]
    engine.kill()
    try:
        states = [call.wait().state for call in calls]
        assert states == ["lost", "lost"]
        refused = robot.call(SKILL)
        assert refused.status_code == 503, said(refused)
        assert refused.json()["code"] == "engine_unavailable", said(refused)
    finally:
        engine.start()
    check_served_again(robot)
    assert yard.check_records() == {"succeeded": 2, "lost": 2, "refused": 1}
    yard.check_nothing_left(before)


def test_an_engine_that_hangs_keeps_no_answer_back_and_serves_again_when_it_is_back(
    private_engine: PrivateEngine, scene: Scenes
) -> None:
    # Over the attached streams, which hang with it; a socket of its own would go on serving.
    # A start has enough time that it still hangs when the call that runs was ended.
    yard = prepared(scene(private_engine, channel="attached", start_timeout="20"))
    before = settled(yard)
    busy, _, _ = begin(yard, yard.robot(), timeout_seconds=5)
    os.kill(yard.engine.pid, signal.SIGSTOP)
    try:
        # A sandbox is taken, and another cannot be started; then not even the first can be reached, or removed.
        waiting = in_background(yard.robot(), SKILL)
        assert busy.wait(30).state == "timed_out"
        assert not waiting.done.is_set()
    finally:
        os.kill(yard.engine.pid, signal.SIGCONT)
    # The start that hung ends in its own time: served if the engine came back soon enough, else refused in words.
    answer = waiting.wait().answer
    assert answer is not None
    assert answer.is_success or answer.json()["code"] == "start_failed"
    check_served(yard.robot())
    ended = {"succeeded": 3} if answer.is_success else {"succeeded": 2, "refused": 1}
    assert yard.check_records() == {**ended, "timed_out": 1}
    yard.check_nothing_left(before)


def test_a_shim_that_is_killed_costs_its_call_and_nothing_else(yard: Scene) -> None:
    before = settled(yard)
    call, container, _ = begin(yard, yard.robot())
    os.kill(yard.engine.shims()[container], signal.SIGKILL)
    assert call.wait().state == "lost"
    check_served(yard.robot())
    assert yard.check_records() == {"succeeded": 2, "lost": 1}
    yard.check_nothing_left(before)


# The guest, from outside: the machine's own killer of processes, or an operator, may hit any of them.


def zygote_of(relay: int) -> int:
    """The first process that the relay started."""
    return min(children(relay), key=inner_pid)


@pytest.mark.parametrize("victim", ["relay", "zygote"])
def test_a_guest_that_loses_a_part_costs_its_call_and_the_container(yard: Scene, victim: str) -> None:
    before = settled(yard)
    call, container, _ = begin(yard, yard.robot())
    relay = yard.engine.relay(container)
    os.kill(relay if victim == "relay" else zygote_of(relay), signal.SIGKILL)
    assert call.wait().state == "lost"
    until(lambda: container not in yard.engine.containers(), "end of the container")
    check_served(yard.robot())
    assert yard.check_records() == {"succeeded": 2, "lost": 1}
    yard.check_nothing_left(before)


def test_a_zygote_that_dies_between_calls_costs_none(private_engine: PrivateEngine, scene: Scenes) -> None:
    # What is idle is looked at every five seconds, and would be stopped after some minutes.
    yard = prepared(scene(private_engine, idle_timeout="200"))
    before = settled(yard)
    (container,) = yard.engine.containers()
    os.kill(zygote_of(yard.engine.relay(container)), signal.SIGKILL)
    until(lambda: container not in yard.engine.containers(), "end of the container")
    check_served(yard.robot())
    assert yard.check_records() == {"succeeded": 2}
    yard.check_nothing_left(before)


def test_a_process_of_a_call_that_is_killed_costs_that_call_alone(yard: Scene) -> None:
    before = settled(yard)
    call, container, pid = begin(yard, yard.robot())
    os.kill(pid, signal.SIGKILL)
    assert call.wait().state == "killed"
    check_served(yard.robot())
    assert yard.engine.containers() == (container,)
    assert yard.check_records() == {"succeeded": 2, "killed": 1}
    yard.check_nothing_left(before)


@pytest.mark.parametrize("victim", ["relay", "zygote", "call"])
def test_a_guest_that_is_stopped_is_ended_at_its_time(yard: Scene, victim: str) -> None:
    before = settled(yard)
    call, container, pid = begin(yard, yard.robot(), timeout_seconds=5)
    relay = yard.engine.relay(container)
    os.kill({"relay": relay, "zygote": zygote_of(relay), "call": pid}[victim], signal.SIGSTOP)
    assert call.wait().state == "timed_out"
    # Only a relay that says nothing costs the container; stops of others are undone by it.
    assert (container in yard.engine.containers()) == (victim != "relay")
    check_served(yard.robot())
    assert yard.check_records() == {"succeeded": 2, "timed_out": 1}
    yard.check_nothing_left(before)


# The disk and the database


@pytest.fixture
def small_home(tmp_path: Path) -> Iterator[Path]:
    """A home on a file system of its own, of 24 MiB."""
    home = tmp_path / "small"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(home)], check=True, timeout=30)
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True, timeout=30)


def fill(home: Path) -> Path:
    """A file that takes every block that is left."""
    path = home / "ballast"
    with path.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)
    return path


def test_a_full_disk_admits_nothing_and_is_recovered_from(
    private_engine: PrivateEngine, scene: Scenes, small_home: Path
) -> None:
    yard = prepared(scene(private_engine, home=small_home))
    robot, busy = yard.robot(), yard.robot()
    check_served(robot)
    before = settled(yard)
    running, _, _ = begin(yard, busy, 6)
    ballast = fill(small_home)
    refused = until(lambda: full_answer(robot), "refusal for want of room")
    assert refused in {"admission_failed", "database_unavailable", "disk_full"}
    running.wait()
    ballast.unlink()
    check_served_again(robot)
    yard.check_records()
    yard.check_nothing_left(before)


def full_answer(agent: Agent) -> str | None:
    """The code of a refusal that is the machine's fault; ``None`` where the call was still served."""
    answer = agent.call(SKILL)
    assert answer.status_code in {200, 503, 507}, said(answer)
    return None if answer.status_code == 200 else str(answer.json()["code"])


def test_files_of_a_call_that_find_no_room_are_not_half_kept(
    private_engine: PrivateEngine, scene: Scenes, small_home: Path
) -> None:
    yard = prepared(scene(private_engine, home=small_home))
    robot = yard.robot()
    before = settled(yard)
    room = small_home / "ballast"
    room.write_bytes(b"x" * (free_bytes(small_home) - 6 * 1024 * 1024))
    call = in_background(robot, SKILL, {"size": 12 * 1024 * 1024}, entry=LEAVE).wait()
    assert call.state == "disk_full", call.answer
    kept = [path for path in (small_home / "artefacts").rglob("*") if path.is_file()]
    assert kept == []
    room.unlink()
    again = robot.call(SKILL, {"size": 1024}, entry=LEAVE)
    assert [file["size"] for file in again.json()["outcome"]["files"]] == [1024]
    yard.check_records()
    yard.check_nothing_left(before)


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.mark.timeout(420)
def test_a_database_that_is_locked_for_long_refuses_calls_and_keeps_ends(yard: Scene) -> None:
    robot = yard.robot()
    before = settled(yard)
    running, _, _ = begin(yard, yard.robot(), 5)
    holder = sqlite3.connect(yard.home / "skillyard.db", isolation_level=None, timeout=60)
    try:
        holder.execute("BEGIN IMMEDIATE")
        refused = robot.call(SKILL)
        assert refused.status_code == 503, said(refused)
        running.wait(90)
    finally:
        holder.rollback()
        holder.close()
    check_served_again(robot)
    states = yard.check_records()
    # What ran to its end is not called lost because the database could not take that at the time.
    assert states["lost"] == 0, states
    yard.check_nothing_left(before)


def test_a_server_that_is_stopped_for_long_goes_on(yard: Scene) -> None:
    """As a suspended machine does it: time passes in which neither the server nor its leases can be renewed."""
    before = settled(yard)
    call, _, _ = begin(yard, yard.robot(), 6, timeout_seconds=18)
    os.kill(yard.server.process.pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 6
        until(lambda: time.monotonic() > deadline, "passing of time")
    finally:
        os.kill(yard.server.process.pid, signal.SIGCONT)
    assert call.wait().state == "succeeded"
    check_served_again(yard.robot())
    yard.check_records()
    yard.check_nothing_left(before)
