"""The door to the engine: what it leaves behind when those who knock go away."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from skillyard.sandbox.engine import Engine


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_a_caller_who_leaves_while_a_container_is_created_leaves_none_behind(
    engine: Engine, image: Any, turns: int
) -> None:
    labels = {"skillyard.test": uuid.uuid4().hex}
    creating = asyncio.create_task(engine.run_once(image=image.reference, command=["/bin/sleep", "60"], labels=labels))
    for _ in range(turns):
        await asyncio.sleep(0)
    assert creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    assert creating.cancelled()
    # One that the engine is still creating appears in a moment.
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert await engine.containers(labels) == ()
        await asyncio.sleep(0.1)
