"""Folders of work in progress: gone when the work is over, however it ends."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from skillyard.sandbox.folders import Place, Staging


class Slow(Staging):
    """Making a folder takes until it is let."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.made, self.let = threading.Event(), threading.Event()

    def _make(self) -> Place:
        place = super()._make()
        self.made.set()
        self.let.wait()
        return place


async def test_a_folder_whose_maker_leaves_while_it_is_made_does_not_stay(tmp_path: Path) -> None:
    """On a slow disk; its lock would be held for as long as this process lives, and no sweep would take it away."""
    staging = Slow(tmp_path / "staging")

    async def work() -> None:
        async with staging.place():
            raise AssertionError("it was cancelled before")

    working = asyncio.create_task(work())
    await asyncio.to_thread(staging.made.wait)
    working.cancel()
    await asyncio.sleep(0)
    staging.let.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert list(staging.root.iterdir()) == []
    opened = [one.readlink() for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    assert [path for path in opened if path.is_relative_to(tmp_path)] == []
