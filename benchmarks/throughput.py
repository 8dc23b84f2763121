"""Eight clients that call as fast as they are answered, on however many cores there are.

As ``warm_call``, with the server's default limits: at most so many sandboxes of one skill version as it allows. The
peers get as many containers.
"""

from __future__ import annotations

import statistics
from itertools import cycle

from benchmarks.effort import FULL, Effort
from benchmarks.llm_sandbox_peer import open_llm_sandbox
from benchmarks.measure import Call, rate, typical
from benchmarks.peers import Forks, open_peers
from benchmarks.results import Result
from benchmarks.yard import open_yard

CLIENTS = 8
_SECONDS = 3.0


async def measure(effort: Effort = FULL) -> Result:
    async with open_yard() as yard:
        containers = yard.runtime.settings.max_sandboxes_per_skill
        async with (
            open_peers(yard.runtime.settings, yard.text, yard.skill) as peers,
            open_llm_sandbox(peers.work, containers=containers) as llm,
        ):
            turns: dict[str, Call] = {
                "ours": yard.call,
                "bare fork": _spread([await peers.forks() for _ in range(containers)]),
                "docker exec": (await peers.exec()).call,
                "docker run": peers.run.call,
                "llm-sandbox, pooled session": llm.call,
            }
            for call in turns.values():
                await rate(call, CLIENTS, 0.5)  # warm
            rates: dict[str, list[float]] = {name: [] for name in turns}
            taken: list[list[float]] = []
            for _ in range(effort.rounds):
                for name, call in turns.items():
                    got, times = await rate(call, CLIENTS, max(1.5, _SECONDS * effort.share))
                    rates[name].append(got)
                    if name == "ours":
                        taken.append(times)
    middle = {name: round(statistics.median(found), 1) for name, found in rates.items()}
    return Result(
        name="throughput",
        unit="calls/s",
        better="higher",
        ours={
            "p50": middle["ours"],
            "slowest_round": round(min(rates["ours"]), 1),
            "call_p50_ms": typical(taken, 0.5),
            "call_p99_ms": typical(taken, 0.99),
        },
        peers={name: found for name, found in middle.items() if name != "ours"},
        floor=middle["bare fork"],
        rounds=effort.rounds,
    )


def _spread(forks: list[Forks]) -> Call:
    """Calls go to the containers in turn."""
    turn = cycle(forks)

    async def call() -> None:
        await next(turn).call()

    return call
