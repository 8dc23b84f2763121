"""One client, a skill that does next to nothing, everything warm: what a call costs beside its work.

Ours goes through ``Runtime.invoke``: decided, admitted in a durable transaction, run in a hardened container in a
process of its own, recorded in a second durable transaction. The peers only run it.
"""

from __future__ import annotations

from benchmarks.measure import Call, back_to_back, paced, typical
from benchmarks.peers import open_peers
from benchmarks.results import Result
from benchmarks.yard import open_yard

ROUNDS = 5
_CALLS = 400
_PACED, _PER_SECOND = 60, 20.0
_RUNS, _EXECS = 6, 15


async def measure() -> Result:
    async with open_yard() as yard, open_peers(yard.runtime.settings, yard.skill, forks=1) as peers:
        (fork,) = peers.forks
        turns: dict[str, tuple[Call, int]] = {
            "ours": (yard.call, _CALLS),
            "fork": (fork.call, _CALLS),
            "docker exec": (peers.exec.call, _EXECS),
            "docker run": (peers.run.call, _RUNS),
        }
        for call, count in turns.values():
            await back_to_back(call, max(2, count // 20))  # warm
        taken: dict[str, list[list[float]]] = {name: [] for name in [*turns, "paced"]}
        for _ in range(ROUNDS):
            for name, (call, count) in turns.items():
                taken[name].append(await back_to_back(call, count))
            taken["paced"].append(await paced(yard.call, _PACED, _PER_SECOND))
    return Result(
        name="warm_call",
        unit="ms",
        better="lower",
        ours={
            "p50": typical(taken["ours"], 0.5),
            "p99": typical(taken["ours"], 0.99),
            "paced_p50": typical(taken["paced"], 0.5),
            "paced_p99": typical(taken["paced"], 0.99),
        },
        peers={name: typical(taken[name], 0.5) for name in ("docker run", "docker exec")},
        floor=typical(taken["fork"], 0.5),
        rounds=ROUNDS,
    )
