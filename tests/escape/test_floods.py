"""Taking all there is of something: the call ends as what it was, or the container goes; the next call is served."""

from __future__ import annotations

import asyncio

import pytest
from skillyard.sandbox.outcome import OutcomeState
from skillyard.skills.permissions import MIB

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_processes_without_end(target) -> None:
    target.may_end = True  # A storm may be faster than the sweep, which then gives the container up.
    outcome = await target.attack("flood.py:processes", timeout_seconds=2.0)
    assert outcome.state is OutcomeState.PROCESS_LIMIT


async def test_threads_without_end(target) -> None:
    assert (await target.attack("flood.py:threads", timeout_seconds=10.0)).state is OutcomeState.PROCESS_LIMIT


async def test_memory_without_end(one_more) -> None:
    async with one_more(memory_bytes=96 * MIB, scratch_bytes=8 * MIB) as target:
        assert (await target.attack("flood.py:memory")).state is OutcomeState.OUT_OF_MEMORY
        assert await target.leftovers() == {"found": [], "canary": []}


async def test_memory_taken_by_many_who_hide_behind_the_guest(one_more) -> None:
    """They may lower their own turn below the guest's, so that the kernel ends a bystander: then the container goes."""
    async with one_more(memory_bytes=96 * MIB, scratch_bytes=8 * MIB) as target:
        outcome = await target.attack("flood.py:memory_in_hiding", {"processes": 24}, timeout_seconds=5.0)
        assert outcome.state in {OutcomeState.OUT_OF_MEMORY, OutcomeState.LOST}
        if outcome.state is OutcomeState.LOST:
            assert not target.alive
        await target.ready()
        assert await target.leftovers() == {"found": [], "canary": []}


async def test_files_in_memory_that_no_mount_counts(one_more) -> None:
    async with one_more(memory_bytes=96 * MIB, scratch_bytes=8 * MIB) as target:
        assert (await target.attack("flood.py:nameless_memory")).state is OutcomeState.OUT_OF_MEMORY
        assert await target.leftovers() == {"found": [], "canary": []}


async def test_memory_of_the_kernels(target) -> None:
    """Full sockets count for the container and end with the descriptors that may be had."""
    assert 50 < await target.tell("flood.py:kernel_memory") < 256


@pytest.mark.parametrize("place", ["/scratch/work", "/tmp", "/dev/shm"])
async def test_a_full_folder(target, place: str) -> None:
    assert (await target.attack("flood.py:files", {"place": place})).state is OutcomeState.DISK_FULL


async def test_more_files_than_the_folder_counts(target) -> None:
    assert (await target.attack("flood.py:inodes", {"place": "/tmp"})).state is OutcomeState.DISK_FULL


async def test_folders_deeper_than_any_path(target) -> None:
    assert await target.tell("flood.py:folders") == "deep"


async def test_descriptors_without_end(target) -> None:
    assert await target.tell("flood.py:descriptors") < 256


@pytest.mark.parametrize("stream", [1, 2])
async def test_output_without_end(target, stream: int) -> None:
    outcome = await target.attack("flood.py:output", {"stream": stream})
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert len(outcome.stdout) + len(outcome.stderr) == MIB


async def test_events_without_end(target) -> None:
    heard: list[object] = []
    outcome = await target.attack("flood.py:events", on_output=heard.append)
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert len(heard) <= 2048


async def test_a_result_that_is_too_large(target) -> None:
    outcome = await target.attack("flood.py:result")
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert outcome.result_json is None


async def test_a_stack_without_end(target) -> None:
    outcome = await target.attack("flood.py:stack")
    assert outcome.state in {OutcomeState.KILLED, OutcomeState.OUT_OF_MEMORY}


async def test_a_file_that_is_too_large(target) -> None:
    assert (await target.attack("flood.py:large_file")).state is OutcomeState.DISK_FULL


async def test_no_limit_can_be_raised(target) -> None:
    answers = await target.tell("flood.py:raise_limits")
    assert set(answers.values()) <= {"ValueError", "OSError", "PermissionError"}


async def test_a_polite_neighbour_is_served_beside_a_hog(target, one_more) -> None:
    """By weight: the hog slows the neighbour down, and cannot keep it from its answers."""
    async with one_more(workspace="two") as neighbour:
        served = 0
        while served < 3:  # For as many hogs as that takes; one is enough by far, unless the machine is slow.
            hog = asyncio.create_task(target.attack("flood.py:processor", {"count": 30}, timeout_seconds=3.0))
            while not hog.done():
                assert await neighbour.tell("leave.py:again") == "fine"
                served += not hog.done()
            assert (await hog).state is OutcomeState.TIMED_OUT
