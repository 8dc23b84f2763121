"""What one call leaves and another finds: in the same sandbox, and in the neighbour's."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from skillyard.sandbox.errors import NotBegunError
from skillyard.sandbox.outcome import OutcomeState

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLEAN = {"found": [], "canary": []}


@pytest.fixture
def canary() -> str:
    return f"canary{uuid.uuid4().hex[:12]}"


async def test_files_of_every_kind_are_gone(target, canary: str) -> None:
    assert await target.tell("leave.py:files", {"canary": canary}) == "left"
    assert await target.leftovers(canary) == CLEAN


async def test_marks_on_the_folders_that_stay_are_gone(target, canary: str) -> None:
    """Attributes, access lists, times, modes, and the flags that file systems keep of an inode."""
    assert await target.tell("leave.py:marks", {"canary": canary}) == "marked"
    assert await target.leftovers(canary) == CLEAN


async def test_folders_that_changed_places_are_put_back(target, canary: str) -> None:
    assert await target.tell("leave.py:rearrange") == "rearranged"
    assert await target.leftovers(canary) == CLEAN


async def test_a_count_of_inodes_that_lies_does_not_save_the_next_calls_files(target, canary: str) -> None:
    """The attacker makes the count too high and it falls again; the victim's file must not fit into the gap."""
    assert await target.tell("leave.py:miscount", {"canary": "a"}) == "miscounted"
    assert await target.tell("leave.py:one_file_each", {"canary": canary}) == "written"
    assert await target.leftovers(canary) == CLEAN


async def test_files_without_names_do_not_make_the_count_lie(target, canary: str) -> None:
    for count in (1, 3):
        assert await target.tell("leave.py:orphans", {"count": count}) == "held"
        assert await target.tell("leave.py:one_file_each", {"canary": canary}) == "written"
        assert await target.leftovers(canary) == CLEAN


async def test_hundreds_of_objects_that_outlive_processes_are_gone(target, canary: str) -> None:
    """System V memory, queues and semaphores, POSIX queues: more than one read of the kernel's tables shows."""
    made = await target.tell("leave.py:objects", {"canary": canary, "count": 400})
    assert made == {"shm": 400, "msg": 400, "sem": 400, "mq": 8}
    assert await target.leftovers(canary) == CLEAN


async def test_memory_that_a_stray_holds_is_gone(target, canary: str) -> None:
    assert await target.tell("leave.py:attached_memory", {"canary": canary}) == "attached"
    assert await target.leftovers(canary) == CLEAN


async def test_a_process_that_left_its_group_and_is_deaf_is_gone(target) -> None:
    assert await target.tell("leave.py:stray") == "left"
    assert await target.leftovers() == CLEAN


async def test_processes_that_replace_each_other_are_gone_or_cost_the_container(target) -> None:
    target.may_end = True
    assert await target.tell("leave.py:nursery_of_strays") == "left"
    try:
        outcome = await target.attack("leave.py:look")
    except NotBegunError:
        assert not target.alive
    else:
        assert outcome.result_json == b'{"found":[],"canary":[]}'


async def test_timers_and_exit_handlers_do_not_run_after_the_call(target) -> None:
    assert await target.tell("leave.py:timers") == "set"
    for _ in range(3):
        assert await target.leftovers() == CLEAN


async def test_connections_on_the_loopback_are_forgotten(target) -> None:
    """The kernel would keep an ended connection for a minute, and its port from the next call."""
    assert await target.tell("leave.py:connections", {"port": 8123}) == "connected"
    assert await target.leftovers() == CLEAN
    assert await target.tell("leave.py:bind", {"port": 8123}) == "got None"


async def test_abstract_names_held_by_a_ring_of_descriptors_are_free_again(target, canary: str) -> None:
    """The kernel finds such rings by itself, in its own time, which is milliseconds."""
    assert await target.tell("leave.py:sockets", {"canary": canary}) == "bound"
    async with asyncio.timeout(60):
        while (await target.attack("leave.py:sockets", {"canary": canary})).state is not OutcomeState.SUCCEEDED:
            pass


async def test_a_canary_written_everywhere_is_read_nowhere_by_the_next_call(target, canary: str) -> None:
    assert await target.tell("leave.py:everything", {"canary": canary}) == "written"
    for _ in range(3):
        assert await target.leftovers(canary) == CLEAN


async def test_a_canary_is_never_read_by_the_neighbour(target, one_more, canary: str) -> None:
    """Two workspaces, the same skill and packages, at the same time: before, while and after it is written."""
    async with one_more(workspace="two") as neighbour:
        assert await neighbour.leftovers(canary) == CLEAN
        writing = asyncio.create_task(target.attack("leave.py:everything", {"canary": canary}))
        while not writing.done():
            assert await neighbour.leftovers(canary) == CLEAN
        assert (await writing).state is OutcomeState.SUCCEEDED
        assert await neighbour.leftovers(canary) == CLEAN


async def test_nobody_sees_what_the_neighbour_reads(target) -> None:
    """Both read the same files of the same packages: watches on those would tell when."""
    assert await target.tell("leave.py:watch") == {
        "inotify": "EPERM",
        "fanotify": "EPERM",
        "dnotify": "EPERM",
        "lease": "EACCES",
    }


async def test_a_neighbour_who_takes_all_descriptors_under_way_does_not_stop_ours(one_more) -> None:
    """The kernel counts descriptors that are being sent for the user, across containers, against the sender's limit:
    a call of one workspace would keep the relays of all others from handing out processes. Here the count is between
    the limits of the two, so that no other test feels it."""
    async with one_more(workspace="two") as hog, one_more(open_files=64) as target:
        begun = asyncio.Event()
        hogging = asyncio.create_task(
            hog.attack(
                "guest.py:descriptors_under_way", {"count": 150}, timeout_seconds=15.0, on_output=lambda _: begun.set()
            )
        )
        async with asyncio.timeout(60):
            await begun.wait()
        for _ in range(8):
            assert await target.tell("leave.py:again") == "fine"
        assert not hogging.done()
        hogging.cancel()
        await asyncio.gather(hogging, return_exceptions=True)
        assert await hog.tell("leave.py:again") == "fine"


async def test_what_the_threat_model_says_it_does_not_stop_is_still_so(target, one_more) -> None:
    """Two skills that both want to can signal each other by a lock on a file that both have. Where this fails, it is
    stopped at last: then docs/threat-model.md is to say so."""
    async with one_more(workspace="two") as neighbour, asyncio.timeout(60):
        held = asyncio.Event()
        holding = asyncio.create_task(
            target.attack("leave.py:locks", {"take": True}, timeout_seconds=15.0, on_output=lambda _: held.set())
        )
        await held.wait()
        assert await neighbour.tell("leave.py:locks", {"take": False}) == "somebody has it"
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        while await neighbour.tell("leave.py:locks", {"take": False}) != "nobody has it":
            pass
