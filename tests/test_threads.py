"""Taking hold of something in a thread, for somebody who may leave meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from skillyard.runtime.collect import _lock, _unlock
from skillyard.sandbox.folders import try_lock
from skillyard.threads import beside, taken


async def test_a_lock_whose_taker_leaves_is_free_again_when_he_hears_of_it(tmp_path: Path) -> None:
    """On a slow disk. It would be held for as long as this process lives."""
    file, begun, let = tmp_path / "some.lock", threading.Event(), threading.Event()

    def take() -> int | None:
        begun.set()
        let.wait()
        return _lock(file)

    taking = asyncio.create_task(taken(take, lambda descriptor: _unlock(file, descriptor)))
    await asyncio.to_thread(begun.wait)
    taking.cancel()
    await asyncio.sleep(0)
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await taking
    descriptor = try_lock(file)
    assert descriptor is not None
    _unlock(file, descriptor)


async def test_what_cannot_be_taken_is_said_to_who_waits_and_to_nobody_who_left(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    def let_go(found: bytes) -> None:
        pytest.fail(f"there is no {found!r}")

    with pytest.raises(FileNotFoundError):
        await taken(missing.read_bytes, let_go)
    taking = asyncio.create_task(taken(missing.read_bytes, let_go))
    await asyncio.sleep(0)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking


async def test_what_is_reckoned_beside_others_is_there_in_the_end() -> None:
    begun, let = threading.Event(), threading.Event()

    def reckon() -> int:
        begun.set()
        let.wait()
        return 42

    async with beside(reckon) as reckoning:
        await asyncio.to_thread(begun.wait)
        let.set()
        assert await reckoning == 42


async def test_who_does_not_want_what_is_reckoned_does_not_wait_for_it() -> None:
    let = threading.Event()
    try:
        with pytest.raises(ZeroDivisionError):
            async with beside(let.wait):
                raise ZeroDivisionError
    finally:
        let.set()


async def test_what_cannot_be_reckoned_is_said_to_who_asks() -> None:
    async with beside(lambda: 1 // 0) as reckoning:
        with pytest.raises(ZeroDivisionError):
            await reckoning
