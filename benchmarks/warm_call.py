"""One client, a skill that does next to nothing, everything warm: what a call costs beside its work.

Ours goes through ``Runtime.invoke``: decided, admitted in a durable transaction, run in a hardened container in a
process of its own, recorded in a second durable transaction. The peers only run it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.effort import FULL, Effort
from benchmarks.llm_sandbox_peer import open_llm_sandbox
from benchmarks.measure import Call, alternating, back_to_back, paced, typical
from benchmarks.peers import open_peers
from benchmarks.results import Result
from benchmarks.yard import open_yard

_CALLS = 400
_PACED, _PER_SECOND = 60, 20.0
_RUNS, _EXECS, _SESSIONS = 6, 15, 8


async def measure(effort: Effort = FULL) -> Result:
    async with (
        open_yard() as yard,
        open_peers(yard.runtime.settings, yard.text, yard.skill) as peers,
        open_llm_sandbox(peers.work, containers=1) as llm,
    ):
        calls: dict[str, tuple[Call, int]] = {
            "ours": (yard.call, effort.of(_CALLS)),
            "bare fork": ((await peers.forks()).call, effort.of(_CALLS)),
            "docker exec": ((await peers.exec()).call, effort.of(_EXECS)),
            "docker run": (peers.run.call, effort.of(_RUNS)),
            "llm-sandbox, pooled session": (llm.call, effort.of(_SESSIONS)),
            "llm-sandbox, session kept open": (llm.call_kept, effort.of(_SESSIONS)),
        }
        for call, count in calls.values():
            await back_to_back(call, max(2, count // 20))  # warm
        turns = {name: partial(back_to_back, call, count) for name, (call, count) in calls.items()}
        turns["paced"] = partial(paced, yard.call, effort.of(_PACED), _PER_SECOND)
        taken = await alternating(turns, effort.rounds)
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
        peers={name: typical(taken[name], 0.5) for name in calls if name != "ours"},
        floor=typical(taken["bare fork"], 0.5),
        rounds=effort.rounds,
    )
