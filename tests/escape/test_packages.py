"""Packages are imported by the zygote: what a malicious one can do, which is much, and where it ends.

A call can do none of this; see ``test_guest.py``. That a package can is why no sandbox is shared between skills or
workspaces, and why packages are what governance decides on.
"""

from __future__ import annotations

import orjson
import pytest
from skillyard.sandbox.errors import StartError

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLEAN = {"found": [], "canary": []}


async def test_a_malicious_package_forges_the_answers_of_its_own_skill_and_of_no_other(target, one_more) -> None:
    """The threat model says so. The same files mounted beside it, and not imported, do nothing."""
    async with one_more(preload=("malicious",)) as bad:
        for _ in range(2):
            outcome = await bad.attack("leave.py:again")
            assert orjson.loads(outcome.result_json) == {"forged": True, "instead of": "fine"}
        assert await target.tell("leave.py:again") == "fine"


async def test_a_malicious_package_passes_notes_between_the_calls_of_its_own_sandbox(one_more) -> None:
    """The threat model says so. Another sandbox with the same package has other memory."""
    async with (
        one_more(preload=("malicious",)) as one,
        one_more(workspace="two", preload=("malicious",)) as two,
    ):
        assert (await one.tell("leave.py:with_a_friend", {"take": "canary"}))["instead of"] == "\0" * 6
        assert (await one.tell("leave.py:with_a_friend", {"take": "canary"}))["instead of"] == "canary"
        assert (await two.tell("leave.py:with_a_friend", {"take": "canary"}))["instead of"] == "\0" * 6


async def test_a_package_that_calls_the_server_itself_finds_nobody(one_more) -> None:
    """Before it is imported the relay has its connection, and the socket is gone."""
    async with one_more(preload=("calling",)) as target:
        assert await target.tell("leave.py:answer_of_the_server") in {"ENOENT", "ECONNREFUSED"}
        assert target.running.preload_failures == ()
        assert await target.leftovers() == CLEAN


async def test_a_package_that_talks_without_end_does_not_stop_its_calls(one_more) -> None:
    """Its words go through a pipe that the relay reads, and keeps the end of."""
    async with one_more(preload=("noisy",)) as target:
        for _ in range(6):
            assert await target.tell("leave.py:again") == "fine"


async def test_what_a_package_leaves_when_it_is_imported_is_gone_before_the_first_call(one_more) -> None:
    """Files, modes of folders, and a process, which is the zygote's child and has to be collected by it."""
    async with one_more(preload=("littering",)) as target:
        for _ in range(4):
            assert await target.leftovers() == CLEAN


async def test_a_sandbox_that_cannot_be_wiped_does_not_start(one_more) -> None:
    """What the package holds on to would be found by every call: the wipe sees it, and the container is given up."""
    with pytest.raises(StartError, match="a System V object stays"):
        async with one_more(preload=("clinging",)):
            pass
