"""Taking hold of something in a thread, for somebody who may leave meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from skillyard.runtime.collect import _lock, _unlock
from skillyard.sandbox.folders import try_lock
from skillyard.threads import taken


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
