"""Timing calls, and what is told of many timings."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

Call = Callable[[], Awaitable[object]]
Turn = Callable[[], Awaitable[list[float]]]
"""Measures for a while; the times, in milliseconds."""


def most_memory() -> float:
    """Most MiB that this process had in memory. ``getrusage`` would count what the process had that started it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


async def alternating(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[list[float]]]:
    """Each turn's times, round by round: what disturbs the machine for a while disturbs all of them."""
    taken: dict[str, list[list[float]]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            taken[name].append(await turn())
    return taken


async def back_to_back(call: Call, count: int) -> list[float]:
    """Milliseconds of each of ``count`` calls, one after the other."""
    taken = []
    for _ in range(count):
        began = time.perf_counter_ns()
        await call()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken


async def paced(call: Call, count: int, per_second: float) -> list[float]:
    """Milliseconds of each call, begun on a fixed beat: how calls feel that come now and then."""
    taken = []
    beat = time.perf_counter()
    for _ in range(count):
        beat += 1 / per_second
        await asyncio.sleep(max(0.0, beat - time.perf_counter()))
        began = time.perf_counter_ns()
        await call()
        taken.append((time.perf_counter_ns() - began) / 1e6)
    return taken


async def rate(call: Call, clients: int, seconds: float) -> tuple[float, list[float]]:
    """Calls a second that ``clients`` get together, each calling again as soon as it is answered; and their times."""
    end = time.perf_counter() + seconds
    taken: list[float] = []

    async def client() -> None:
        while time.perf_counter() < end:
            began = time.perf_counter_ns()
            await call()
            taken.append((time.perf_counter_ns() - began) / 1e6)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(taken) / (time.perf_counter() - began), taken


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * round(share * 100) // 100) - 1)]


def typical(rounds: Sequence[Sequence[float]], share: float) -> float:
    """The median over the rounds of each round's percentile: one disturbed round does not decide."""
    return round(statistics.median(percentile(values, share) for values in rounds), 3)
