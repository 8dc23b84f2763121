"""As ``warm_call``, for a skill that imports pandas and scikit-learn, on a beat: what preloading and spares are for.

A process forked from one with large packages has large page tables to copy, and a million pages that it touches for
the first time. "Fork without spares" pays for that within the call, ours and the floor before it.
"""

from __future__ import annotations

from functools import partial

from benchmarks.effort import FULL, Effort
from benchmarks.llm_sandbox_peer import open_llm_sandbox
from benchmarks.measure import Call, alternating, back_to_back, paced, typical
from benchmarks.peers import SPARE, open_peers
from benchmarks.results import Result
from benchmarks.skills import HEAVY
from benchmarks.yard import open_yard

_PACED, _PER_SECOND = 80, 20.0
_SLOW = 2


async def measure(effort: Effort = FULL) -> Result:
    async with open_yard(HEAVY) as yard:
        environment = await yard.environment()
        async with (
            open_peers(yard.runtime.settings, yard.text, yard.skill, environment=environment) as peers,
            open_llm_sandbox(peers.work, containers=1) as llm,
        ):
            fast: dict[str, Call] = {
                "ours": yard.call,
                "fork without spares": (await peers.forks()).call,
                "spare": (await peers.forks(SPARE)).call,
            }
            slow: dict[str, Call] = {
                "docker exec": (await peers.exec()).call,
                "docker run": peers.run.call,
                "llm-sandbox, pooled session": llm.call,
            }
            for call in (*fast.values(), *slow.values()):
                await back_to_back(call, 1)  # warm
            turns = {name: partial(paced, call, effort.of(_PACED), _PER_SECOND) for name, call in fast.items()}
            turns |= {name: partial(back_to_back, call, effort.of(_SLOW, least=1)) for name, call in slow.items()}
            taken = await alternating(turns, effort.rounds)
    return Result(
        name="warm_call_heavy",
        unit="ms",
        better="lower",
        ours={"p50": typical(taken["ours"], 0.5), "p99": typical(taken["ours"], 0.99)},
        peers={name: typical(taken[name], 0.5) for name in ("fork without spares", *slow)},
        floor=typical(taken["spare"], 0.5),
        rounds=effort.rounds,
    )
