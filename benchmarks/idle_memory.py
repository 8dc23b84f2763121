"""A hundred warm sandboxes that nobody calls: what each costs all told, and whether they sleep.

"All told" is what the host has less to give: containers with relay, zygote and spare children, the engine's process for
each of them, what the engine and the server grew by, and the kernel's own. Every one of them has served a call.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from skillyard.sandbox.engine import Engine
from skillyard.sandbox.hostconfig import LABEL_PREFIX

from benchmarks import host
from benchmarks.effort import FULL, Effort
from benchmarks.peers import IDLE, open_peers, running
from benchmarks.results import Result
from benchmarks.skills import SkillText
from benchmarks.yard import Yard, open_yard

_SANDBOXES, _BARE = 100, 25
_IDLE_SECONDS = 10.0
_SETTLE_SECONDS = 3.0
_STARTS_AT_ONCE = 4
_ATTEMPTS = 6
_MIB = 1024 * 1024
_ENGINE = ("dockerd", "containerd")

_CODE = """
import time

def run(until: float) -> int:
    time.sleep(max(0.0, until - time.time()))
    return 2
"""
_WAITER = SkillText(
    name="waiter",
    code=_CODE,
    input=b'{"until": 0}',
    answer=b"2",
)


async def measure(effort: Effort = FULL) -> Result:
    count, bare = effort.of(_SANDBOXES, least=8), effort.of(_BARE, least=4)
    async with (
        # As many as wanted, whatever limits a server has by default.
        open_yard(_WAITER, **_unlimited(count)) as yard,
        open_peers(yard.runtime.settings, yard.text, yard.skill) as peers,
    ):
        await yard.call()
        await yard.scale_to_zero()
        before = await _Seen.now()
        await _fill(yard, count)
        after = await _Seen.now()
        parts = await _parts(yard, count)
        await yard.scale_to_zero()
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(running(peers.engine, peers.work, IDLE)) for _ in range(bare)]
            alone = await _Containers.found(peers.engine, [container for container, _ in started])
            bare_memory = alone.memory()
    each = (before.available - after.available) / count
    engine_growth = (after.engine - before.engine) / count / _MIB
    server_growth = (after.server - before.server) / count / _MIB
    accounted = parts["container_charged"] + parts["engine_process_each"] + engine_growth + server_growth
    bare_accounted = bare_memory["container_charged"] + bare_memory["engine_process_each"]
    return Result(
        name="idle_memory",
        unit="MiB",
        better="lower",
        ours={
            "p50": round(each / _MIB, 2),
            "sandboxes": count,
            "accounted": round(accounted, 2),
            **parts,
            "engine_growth": round(engine_growth, 2),
            "server_growth": round(server_growth, 2),
        },
        peers={"bare container": round(bare_accounted, 2)},
        floor=None,
        rounds=1,
    )


def _unlimited(count: int) -> dict[str, Any]:
    return {
        "max_sandboxes": count + 4,
        "max_sandboxes_per_skill": count,
        "max_queue": 2 * count,
        "max_queue_per_workspace": 2 * count,
        "queue_timeout": 600,
        "idle_timeout": 3600,
        "start_timeout": 300,
        "skill_timeout": 300,
    }


@dataclass(frozen=True, slots=True)
class _Seen:
    """Bytes: what the host can give, what the engine and this process use."""

    available: int
    engine: int
    server: int

    @classmethod
    async def now(cls) -> _Seen:
        gc.collect()
        await asyncio.sleep(_SETTLE_SECONDS)
        engine = sum(host.proportional_memory(pid) for pid in host.processes(*_ENGINE))
        return cls(host.available_memory(), engine, host.proportional_memory(os.getpid()))


async def _fill(yard: Yard, count: int) -> None:
    """Calls that wait for each other's sandboxes to be there, until so many stand ready."""
    pool = yard.runtime.pool
    for attempt in range(_ATTEMPTS):
        until = time.time() + 5 + (attempt + 1) * count * 0.3
        calls = []
        for _ in range(count):
            while pool.counts().starting >= _STARTS_AT_ONCE:  # noqa: ASYNC110 - the pool counts, it tells nobody
                await asyncio.sleep(0.02)
            calls.append(asyncio.create_task(yard.call_with(b'{"until": %f}' % until)))
            await asyncio.sleep(0)
        await asyncio.gather(*calls)
        if pool.counts().idle >= count:
            return
    raise RuntimeError(f"{pool.counts().idle} sandboxes stand ready, not {count}")


async def _parts(yard: Yard, count: int) -> dict[str, float]:
    """What the parts use in MiB for each sandbox, and per cent of a processor for all of them together."""
    version = await yard.version()
    listed = await yard.runtime.engine.containers({f"{LABEL_PREFIX}skill": str(version.ref)})
    if len(listed) != count:
        raise RuntimeError(f"{len(listed)} containers for {count} sandboxes")
    containers = await _Containers.found(yard.runtime.engine, [container.id for container in listed])
    before, began = containers.spent(), time.perf_counter()
    await asyncio.sleep(_IDLE_SECONDS)
    after, took = containers.spent(), time.perf_counter() - began
    busy = {f"{name}_cpu_percent": round(100 * (after[name] - before[name]) / took, 2) for name in before}
    return {**containers.memory(), **busy}


@dataclass(frozen=True, slots=True)
class _Containers:
    """Running containers, and the engine's process for each of them."""

    groups: tuple[host.ControlGroup, ...]
    shims: frozenset[int]

    @classmethod
    async def found(cls, engine: Engine, containers: Sequence[str]) -> _Containers:
        described = [await engine.inspect(container) for container in containers]
        pids = [int(each["State"]["Pid"]) for each in described if each is not None]
        return cls(tuple(host.ControlGroup.of(pid) for pid in pids), frozenset(host.parent(pid) for pid in pids))

    def memory(self) -> dict[str, float]:
        """MiB for each container."""
        totals = {
            "container_charged": sum(group.charged() for group in self.groups),
            "container_anonymous": sum(group.anonymous() for group in self.groups),
            "engine_process_each": sum(host.proportional_memory(pid) for pid in self.shims),
        }
        return {name: round(total / len(self.groups) / _MIB, 2) for name, total in totals.items()}

    def spent(self) -> dict[str, float]:
        """Processor seconds so far."""
        return {
            "sandboxes": sum(group.seconds() for group in self.groups),
            "engine": sum(host.process_seconds(pid) for pid in (*self.shims, *host.processes(*_ENGINE))),
            "server": host.process_seconds(os.getpid()),
        }
