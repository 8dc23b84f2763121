"""A version is replaced while fifty calls a second arrive: does a call fail, and how long until the new one serves?

Ours is an upgrade to new content with the same packages: fetched, parsed, resolved, scanned, stored, started beside the
old, checked, the pointer moved, the old drained. The peer stops its container and starts another.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from skillyard.sandbox.outcome import OutcomeState

from benchmarks.effort import FULL, Effort
from benchmarks.measure import Call, percentile
from benchmarks.peers import FORK, Forks, Peers, Work, open_peers, running
from benchmarks.results import Result
from benchmarks.skills import SMALL
from benchmarks.yard import Yard, open_yard

_PER_SECOND = 50.0
_SWAPS = 10
_PAUSE_SECONDS = 0.6
"""Between two swaps, and before the first and after the last."""


@dataclass(slots=True)
class _Load:
    """Calls that were begun on a beat, however long earlier ones take."""

    taken: list[float] = field(default_factory=list)
    failed: int = 0
    lost: int = 0
    why: set[str] = field(default_factory=set)

    async def during(self, call: Call, work: Callable[[], Awaitable[None]]) -> None:
        working = asyncio.create_task(_framed(work))
        calls: set[asyncio.Task[None]] = set()
        beat = time.perf_counter()
        while not working.done():
            calls.add(asyncio.create_task(self._one(call)))
            beat += 1 / _PER_SECOND
            await asyncio.sleep(max(0.0, beat - time.perf_counter()))
        await asyncio.gather(*calls)
        await working

    async def _one(self, call: Call) -> None:
        began = time.perf_counter_ns()
        try:
            await call()
        except _LostError:
            self.lost += 1
        except Exception as error:  # noqa: BLE001 - whatever it was, the call failed, which is what is counted
            self.failed += 1
            self.why.add(f"{type(error).__name__}: {error}")
        self.taken.append((time.perf_counter_ns() - began) / 1e6)

    def figures(self) -> dict[str, float]:
        return {
            "failed_calls": self.failed,
            "lost_calls": self.lost,
            "calls": len(self.taken),
            "longest_call_ms": round(max(self.taken), 1),
            "call_p50_ms": round(percentile(self.taken, 0.5), 2),
        }


class _LostError(Exception):
    """A call of which nobody knows what it did."""


async def measure(effort: Effort = FULL) -> Result:
    swaps = effort.of(_SWAPS, least=3)
    async with (
        open_yard(SMALL) as yard,
        open_peers(yard.runtime.settings, yard.text, yard.skill, environment=await yard.environment()) as peers,
    ):
        ours, our_load = await _ours(yard, swaps)
        for why in our_load.why:
            print(f"a call failed during a swap: {why}", file=sys.stderr)
        restart, restart_load = await _restarting(peers, yard.folder, swaps)
    return Result(
        name="hot_swap",
        unit="ms",
        better="lower",
        ours={
            "p50": round(percentile(ours, 0.5), 1),
            "slowest": round(max(ours), 1),
            "swaps": swaps,
            **our_load.figures(),
        },
        peers={"restart": round(percentile(restart, 0.5), 1)},
        peer_figures={"restart": restart_load.figures()},
        floor=None,
        rounds=1,
    )


async def _ours(yard: Yard, swaps: int) -> tuple[list[float], _Load]:
    """Milliseconds from the request until the pointer had moved, and the calls meanwhile."""
    taken: list[float] = []
    folders = [yard.text.at(f"1.0.{number + 1}").write(yard.folder) for number in range(swaps)]

    async def call() -> None:
        invocation = await yard.runtime.invoke(yard.request)
        if invocation.outcome.state is OutcomeState.LOST:
            raise _LostError
        if invocation.outcome.state is not OutcomeState.SUCCEEDED or invocation.outcome.result_json != yard.text.answer:
            raise RuntimeError(invocation.outcome.reason)

    async def swap() -> None:
        for folder in folders:
            began = time.perf_counter_ns()
            swapped = await yard.upgrade(folder)
            taken.append((time.perf_counter_ns() - began) / 1e6)
            if not swapped.moved:
                raise RuntimeError(f"the pointer did not move: {swapped.reason}")
            await asyncio.sleep(_PAUSE_SECONDS)

    load = _Load()
    await load.during(call, swap)
    return taken, load


async def _restarting(peers: Peers, folder: Path, swaps: int) -> tuple[list[float], _Load]:
    """Milliseconds from stopping the old until the new answered, and the calls meanwhile."""
    taken: list[float] = []
    texts = [replace(peers.work.text, name=f"restarted-{number}") for number in range(swaps)]
    works = [replace(peers.work, text=text, skill=text.write(folder)) for text in texts]
    current: list[Forks] = []

    async def call() -> None:
        if not current:
            raise ConnectionRefusedError
        await current[0].call()

    async def up(stack: AsyncExitStack, work: Work) -> None:
        _, connection = await stack.enter_async_context(running(peers.engine, work, FORK))
        current[:] = [Forks(work, connection)]
        await current[0].call()

    async def restart() -> None:
        for work in works:
            began = time.perf_counter_ns()
            current.clear()
            await stack.aclose()
            await up(stack, work)
            taken.append((time.perf_counter_ns() - began) / 1e6)
            await asyncio.sleep(_PAUSE_SECONDS)

    load = _Load()
    async with AsyncExitStack() as stack:
        await up(stack, peers.work)
        await load.during(call, restart)
    return taken, load


async def _framed(work: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(_PAUSE_SECONDS)
    await work()
