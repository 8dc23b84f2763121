"""Many inside at once, or one alone; a process that dies lets go."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from skillyard.sandbox.gate import Gate, GateBusyError

HOLDER = """
import asyncio, sys
from pathlib import Path
from skillyard.sandbox.gate import Gate

async def main():
    async with Gate(Path(sys.argv[1])).inside():
        print("inside", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_many_may_be_inside_at_once(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    async with gate.inside(), gate.inside(), Gate(tmp_path / "gate").inside():
        with pytest.raises(GateBusyError):
            async with gate.alone(seconds=0):
                pass
    async with gate.alone(seconds=0):
        pass


async def test_who_comes_while_one_is_alone_waits_for_it(tmp_path: Path) -> None:
    gate, order = Gate(tmp_path / "gate"), []

    async def come() -> None:
        async with gate.inside():
            order.append("inside")

    async with gate.alone(seconds=1):
        waiting = asyncio.create_task(come())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.1)
        order.append("alone is done")
    await waiting
    assert order == ["alone is done", "inside"]


async def test_who_gives_up_waiting_leaves_no_lock(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    async with gate.alone(seconds=0):
        waiting = asyncio.create_task(gate._enter(1, None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with gate.alone(seconds=0):
        pass


async def test_a_killed_process_is_no_longer_inside(tmp_path: Path) -> None:
    file = tmp_path / "gate"
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(file), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"inside\n"
    with pytest.raises(GateBusyError):
        async with Gate(file).alone(seconds=0):
            pass
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    async with Gate(file).alone(seconds=10):
        pass
