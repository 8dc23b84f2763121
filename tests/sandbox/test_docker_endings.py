"""Calls that do not come to their own end: cancelled, stopped, killed from outside, never begun."""

from __future__ import annotations

import asyncio
import os
import signal

import orjson
import pytest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import NotBegunError
from skillyard.sandbox.outcome import OutcomeState
from tests.guest_processes import guest_processes


async def test_cancelling_ends_the_call_and_keeps_the_sandbox(start, call) -> None:
    running = await start()
    started = asyncio.Event()
    slow = asyncio.create_task(call(running, "scripts/bombs.py:stubborn", on_output=lambda _: started.set()))
    await started.wait()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    assert running.alive
    outcome = await call(running, "scripts/hostile.py:find_things")
    assert outcome.state is OutcomeState.SUCCEEDED, outcome
    assert orjson.loads(outcome.result_json)["found"] == []


async def test_cancelling_twice_never_mixes_two_calls(start, call, wait_until_gone) -> None:
    running = await start()
    started = asyncio.Event()
    slow = asyncio.create_task(call(running, "scripts/bombs.py:stubborn", on_output=lambda _: started.set()))
    await started.wait()
    slow.cancel()
    await asyncio.sleep(0)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    if running.alive:
        assert (await call(running, "scripts/plain.py:echo", {"a": 1})).result_json == b'{"a":1}'
    else:
        with pytest.raises(NotBegunError):
            await call(running, "scripts/plain.py:echo", {"a": 1})
        await wait_until_gone()


async def test_stop_during_a_call_loses_the_call_and_leaves_nothing(start, call, wait_until_gone) -> None:
    running = await start()
    started = asyncio.Event()
    slow = asyncio.create_task(call(running, "scripts/bombs.py:stubborn", on_output=lambda _: started.set()))
    await started.wait()
    await running.stop()
    assert (await slow).state is OutcomeState.LOST
    assert not running.alive
    await running.stop()
    await wait_until_gone()


async def test_a_container_that_is_killed_from_outside_loses_its_call(start, call, engine: Engine) -> None:
    running = await start()
    started = asyncio.Event()
    slow = asyncio.create_task(call(running, "scripts/bombs.py:stubborn", on_output=lambda _: started.set()))
    await started.wait()
    await engine.kill(running.container)
    outcome = await slow
    assert outcome.state is OutcomeState.LOST
    assert not running.alive
    with pytest.raises(NotBegunError, match="gone before the call began"):
        await call(running, "scripts/plain.py:echo")


async def test_a_call_that_finds_the_zygote_ended_has_not_begun(start, call, engine: Engine) -> None:
    """Sent while the guest is stopped, so that it finds the call and the zygote's end together."""
    running = await start()
    processes = await guest_processes(engine, running.container)
    os.kill(processes.relay, signal.SIGSTOP)
    processes.kill_zygote()
    sent = asyncio.create_task(call(running, "scripts/plain.py:echo"))
    await asyncio.sleep(0)
    os.kill(processes.relay, signal.SIGCONT)
    with pytest.raises(NotBegunError, match="ended by signal 9"):
        await sent
    assert not running.alive
