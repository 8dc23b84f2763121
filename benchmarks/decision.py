"""What deciding costs, alone: Allow for an agent under rules that were seen before, and under rules just changed."""

from __future__ import annotations

import time
from dataclasses import replace

from skillyard.governance.decision import Allow
from skillyard.runtime.decide import Decider

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result
from benchmarks.yard import open_yard

_DECISIONS = 2000


async def measure(effort: Effort = FULL) -> Result:
    async with open_yard() as yard:
        view = await yard.runtime.views.current(yard.agent.workspace)
        version = view.find(yard.request.skill)
        decider: Decider = yard.runtime.decider
        warm: list[list[float]] = []
        cold: list[list[float]] = []
        for _ in range(effort.rounds):
            for taken, keep in ((warm, True), (cold, False)):
                times = []
                for _ in range(effort.of(_DECISIONS)):
                    seen = view if keep else replace(view, rulings={})
                    began = time.perf_counter_ns()
                    decided = decider.decide(seen, yard.agent.id, version)
                    times.append((time.perf_counter_ns() - began) / 1e3)
                    if not isinstance(decided, Allow):
                        raise RuntimeError(f"the measured decision was {decided}")  # noqa: TRY004 - no argument's type
                taken.append(times)
    return Result(
        name="decision",
        unit="µs",
        better="lower",
        ours={
            "p50": typical(warm, 0.5),
            "p99": typical(warm, 0.99),
            "new_rules_p50": typical(cold, 0.5),
            "new_rules_p99": typical(cold, 0.99),
        },
        peers={},
        floor=None,
        rounds=effort.rounds,
    )
