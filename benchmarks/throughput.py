"""Eight clients that call as fast as they are answered, on however many cores there are.

As ``warm_call``, with the server's default limits: at most four sandboxes of one skill version.
"""

from __future__ import annotations

import statistics
from itertools import cycle

from benchmarks.measure import Call, rate, typical
from benchmarks.peers import Fork, open_peers
from benchmarks.results import Result
from benchmarks.yard import open_yard

CLIENTS = 8
ROUNDS = 5
_SECONDS = 3.0


async def measure() -> Result:
    async with open_yard() as yard:
        containers = yard.runtime.settings.max_sandboxes_per_skill
        async with open_peers(yard.runtime.settings, yard.skill, forks=containers) as peers:
            turns: dict[str, Call] = {
                "ours": yard.call,
                "fork": _spread(peers.forks),
                "docker exec": peers.exec.call,
                "docker run": peers.run.call,
            }
            for call in turns.values():
                await rate(call, CLIENTS, 0.5)  # warm
            rates: dict[str, list[float]] = {name: [] for name in turns}
            taken: list[list[float]] = []
            for _ in range(ROUNDS):
                for name, call in turns.items():
                    got, times = await rate(call, CLIENTS, _SECONDS)
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
        peers={name: middle[name] for name in ("docker run", "docker exec")},
        floor=middle["fork"],
        rounds=ROUNDS,
    )


def _spread(forks: tuple[Fork, ...]) -> Call:
    """Calls go to the containers in turn."""
    turn = cycle(forks)

    async def call() -> None:
        await next(turn).call()

    return call
