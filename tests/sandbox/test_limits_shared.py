"""What a call takes from others: memory, processes, processor time, descriptors. Each with its outcome, and no trace.

The kernel keeps these limits by control groups, of which there are two versions: tests say on which they ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.guest import kernel
from skillyard.sandbox.outcome import OutcomeState
from skillyard.skills.permissions import MIB

ROOT = Path("/sys/fs/cgroup")
VERSION = "cgroup-v2" if (ROOT / "cgroup.controllers").exists() else "cgroup-v1"
on_this_host = pytest.mark.usefixtures("cgroup")

SMALL = {"memory_bytes": 96 * MIB, "scratch_bytes": 8 * MIB}
Clean = Callable[..., Awaitable[None]]


@pytest.fixture(params=[VERSION])
def cgroup(request: pytest.FixtureRequest) -> str:
    """The version of control groups of this host, for the names of tests."""
    return str(request.param)


@pytest.fixture
def clean(call) -> Clean:
    """The sandbox serves a call that finds nothing of those before, and only the guest's own processes run."""

    async def look(running) -> None:
        assert running.alive
        outcome = await call(running, "scripts/hostile.py:find_things")
        assert outcome.state is OutcomeState.SUCCEEDED, outcome
        assert orjson.loads(outcome.result_json) == {"found": [], "strays": []}

    return look


@pytest.fixture
def clean_or_gone(clean: Clean, engine: Engine) -> Clean:
    """Where a limit may cost the guest itself: it serves a clean call, or its container is really away."""

    async def look(running) -> None:
        if await running.ready():
            await clean(running)
        else:
            await running.stop()
            assert await engine.inspect(running.container) is None

    return look


# Time


@pytest.mark.parametrize("function", ["stops_itself", "stops_its_group", "busy_in_c", "in_vain"])
async def test_a_call_that_hears_nothing_is_ended_at_its_time(start, call, clean: Clean, function: str) -> None:
    running = await start()
    outcome = await call(running, f"scripts/greedy.py:{function}", timeout_seconds=0.5)
    assert outcome.state is OutcomeState.TIMED_OUT
    await clean(running)


async def test_a_crowd_that_hears_nothing_is_ended_at_its_time(start, call, clean: Clean) -> None:
    running = await start()
    outcome = await call(running, "scripts/greedy.py:deaf_crowd", {"count": 20}, timeout_seconds=0.5)
    assert outcome.state is OutcomeState.TIMED_OUT
    await clean(running)


# Memory


@on_this_host
async def test_a_child_that_is_killed_for_memory_does_not_fail_a_call_that_copes(start, call, clean: Clean) -> None:
    running = await start(limits=SMALL)
    outcome = await call(running, "scripts/greedy.py:child_eats", {"mib": 400})
    assert outcome.state is OutcomeState.SUCCEEDED
    assert outcome.result_json == b'{"signal":9}'
    await clean(running)


@on_this_host
async def test_a_call_whose_bystander_is_killed_for_memory_has_what_it_wanted(start, call, clean: Clean) -> None:
    """The kernel takes the largest: here the one that only held memory. The call never noticed, and succeeded."""
    running = await start(limits=SMALL)
    outcome = await call(running, "scripts/greedy.py:bystander_holds", {"held": 50, "wanted": 40})
    assert outcome.state is OutcomeState.SUCCEEDED, outcome
    assert outcome.result_json == b"40"
    await clean(running)


@on_this_host
async def test_a_call_that_is_larger_than_its_bystander_is_the_culprit(start, call, clean: Clean) -> None:
    running = await start(limits=SMALL)
    outcome = await call(running, "scripts/greedy.py:bystander_holds", {"held": 10, "wanted": 400})
    assert outcome.state is OutcomeState.OUT_OF_MEMORY
    assert outcome.reason is not None
    assert "at the memory limit" in outcome.reason
    await clean(running)


@on_this_host
async def test_a_call_that_hides_from_the_memory_limit_costs_itself_or_its_container(
    start, call, clean_or_gone: Clean
) -> None:
    running = await start(limits=SMALL)
    outcome = await call(running, "scripts/greedy.py:hides_and_eats", {"mib": 400})
    assert outcome.state in {OutcomeState.OUT_OF_MEMORY, OutcomeState.LOST}, outcome
    await clean_or_gone(running)


@on_this_host
@pytest.mark.parametrize(("function", "mib"), [("fill_memory_files", 60), ("fill_shared_memory", 400)])
async def test_memory_that_no_process_holds_counts_as_well(
    start, call, clean_or_gone: Clean, function: str, mib: int
) -> None:
    """Nothing that is killed frees it, so the kernel may have to take parts of the guest, and the container with it."""
    running = await start(limits={"memory_bytes": 96 * MIB, "scratch_bytes": 64 * MIB, "file_bytes": 64 * MIB})
    outcome = await call(running, f"scripts/greedy.py:{function}", {"mib": mib})
    assert outcome.state in {OutcomeState.OUT_OF_MEMORY, OutcomeState.LOST}, outcome
    await clean_or_gone(running)


@on_this_host
async def test_memory_of_one_call_is_not_held_against_the_next(start, call) -> None:
    running = await start(limits=SMALL)
    for _ in range(3):
        outcome = await call(running, "scripts/bombs.py:memory")
        assert outcome.state is OutcomeState.OUT_OF_MEMORY
        after = await call(running, "scripts/plain.py:fails", {"message": "of its own"})
        assert (after.state, after.reason) == (OutcomeState.FAILED, "ValueError: of its own")


@on_this_host
@pytest.mark.parametrize(
    ("entry", "state"), [("bombs.py:memory", "out_of_memory"), ("greedy.py:child_eats", "succeeded")]
)
async def test_no_process_that_stood_by_when_memory_ran_out_serves_a_call(
    start, call, engine: Engine, clean: Clean, entry: str, state: str
) -> None:
    """The kernel kills at once and its victim ends later: one that stood by may still look alive when it is called."""
    running = await start(limits=SMALL)
    found = await engine.inspect(running.container)
    assert found is not None
    relay = Path(f"/proc/{found['State']['Pid']}")
    before = set((relay / "task" / relay.name / "children").read_text().split())
    outcome = await call(running, f"scripts/{entry}", {"mib": 400} if "greedy" in entry else {})
    assert outcome.state == state
    await clean(running)
    # The zygote alone stays: it forked those that came after. One that was killed may take a moment to be gone.
    async with asyncio.timeout(60):
        while len(before & set((relay / "task" / relay.name / "children").read_text().split())) != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Processes


@on_this_host
@pytest.mark.parametrize("function", ["threads", "subprocesses"])
async def test_threads_and_programs_count_as_processes(start, call, clean: Clean, function: str) -> None:
    running = await start(limits={"processes": 24})
    outcome = await call(running, f"scripts/greedy.py:{function}", {"count": 200})
    assert outcome.state is OutcomeState.PROCESS_LIMIT, outcome
    await clean(running)


# Descriptors and streams


async def test_more_descriptors_than_granted_fail_the_call_with_the_reason(start, call, clean: Clean) -> None:
    running = await start(limits={"open_files": 64})
    outcome = await call(running, "scripts/greedy.py:descriptors", {"count": 1000})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason is not None
    assert outcome.reason.startswith("OSError: [Errno 24] Too many open files")
    await clean(running)


async def test_two_floods_at_once_end_the_call(start, call, clean: Clean) -> None:
    running = await start()
    outcome = await call(running, "scripts/greedy.py:floods_both", timeout_seconds=30.0)
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert len(outcome.stdout) <= MIB
    assert len(outcome.stderr) <= MIB
    await clean(running)


# Processors


async def groups_of(engine: Engine, container: str) -> dict[str, Path]:
    """Controller → the folder of a container's control group, of either version."""
    found = await engine.inspect(container)
    assert found is not None
    lines = Path(f"/proc/{found['State']['Pid']}/cgroup").read_text().splitlines()
    groups = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            name = controller or "unified"
            place = ROOT if VERSION == "cgroup-v2" else ROOT / name
            groups[name] = place / path.lstrip("/")
    return groups


async def cpu_used(engine: Engine, container: str) -> float:
    """Seconds of processor time that a container has used, by the kernel's count."""
    groups = await groups_of(engine, container)
    if VERSION == "cgroup-v2":
        return _field(groups["unified"] / "cpu.stat", "usage_usec") / 1e6
    return int((groups["cpuacct"] / "cpuacct.usage").read_text()) / 1e9


async def times_throttled(engine: Engine, container: str) -> int:
    groups = await groups_of(engine, container)
    return _field(groups.get("cpu", groups["unified"]) / "cpu.stat", "nr_throttled")


def _field(file: Path, name: str) -> int:
    return int(dict(line.split(" ", 1) for line in file.read_text().splitlines())[name])


@on_this_host
async def test_a_hog_leaves_a_polite_neighbour_its_share(start, call, engine: Engine) -> None:
    """Shares are by container: a hundred busy processes in one weigh as much as one process in another."""
    hog, polite = await start(limits={"processes": 128}), await start()
    crowd = asyncio.create_task(
        call(hog, "scripts/greedy.py:busy", {"processes": 64, "seconds": 20}, timeout_seconds=25.0)
    )
    while await cpu_used(engine, hog.container) < 1.0:
        assert not crowd.done(), crowd.result()
    before = [await cpu_used(engine, one.container) for one in (hog, polite)]
    outcome = await call(polite, "scripts/greedy.py:work", {"units": 500})
    after = [await cpu_used(engine, one.container) for one in (hog, polite)]
    crowd.cancel()
    await asyncio.gather(crowd, return_exceptions=True)
    assert outcome.state is OutcomeState.SUCCEEDED
    taken, got = after[0] - before[0], after[1] - before[1]
    # One process runs on one processor at most, so on two the hog may have the other; by processes it would be 64:1.
    assert got > taken / 4, f"the polite one got {got:.2f} s beside {taken:.2f} s"


@on_this_host
async def test_a_quota_holds_a_call_back(start, call, engine: Engine) -> None:
    running = await start(limits={"cpu_quota": 0.25})
    outcome = await call(running, "scripts/greedy.py:busy", {"processes": 2, "seconds": 1})
    assert outcome.state is OutcomeState.SUCCEEDED
    assert await times_throttled(engine, running.container) > 0
    assert outcome.usage.cpu_seconds is not None
    assert outcome.usage.wall_seconds is not None
    # A period's worth of slack on either side; without the quota two processors would be busy throughout.
    assert outcome.usage.cpu_seconds < 0.25 * (outcome.usage.wall_seconds + 1.0)


# The two versions of control groups, as their files are documented (Documentation/admin-guide/cgroup-v1/memory.rst and
# pids.rst, cgroup-v2.rst)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        (b"oom_kill", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),  # version 1, memory.oom_control
        (b"oom_kill", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n"),  # version 2, memory.events
        (b"max", "max 3\n"),  # both versions, pids.events
    ],
)
def test_the_counters_of_either_version_are_read(tmp_path: Path, field: bytes, content: str) -> None:
    file = tmp_path / "counters"
    file.write_text(content)
    assert kernel._Counter((str(tmp_path / "of-the-other-version"), str(file)), field).read() == 3
