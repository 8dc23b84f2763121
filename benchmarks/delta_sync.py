"""What changed, at two sizes: ``python -m benchmarks.delta_sync [--changes N] [--engine sqlite|postgresql]``.

A mirror of 1,000 and one of 100,000 skills each follow 100 changed skills, five times. A delta has to cost the same at
both sizes, and at 100,000 at most 1/500 of the bytes of reading everything. Beside it everything is read again, over a
mirror that has it all, as where there is no feed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from typing import Any

from benchmarks.effort import FULL, Effort
from benchmarks.results import Result
from benchmarks.sync_yard import change, yard

SIZES = (1_000, 100_000)
CHANGES = 100
_ROUNDS = 5


async def measure(effort: Effort = FULL) -> Result:
    """On SQLite. Nothing that a delta does knows how large the rest is, on either engine."""
    small, large = [
        await asyncio.to_thread(
            _figures, effort.of(size, least=2 * CHANGES), CHANGES, "sqlite", effort.rounds, anew=size == SIZES[-1]
        )
        for size in SIZES
    ]
    return Result(
        name="delta_100",
        unit="ms",
        better="lower",
        ours={
            "p50": round(large["seconds_p50"] * 1000, 1),
            "at_1000_p50": round(small["seconds_p50"] * 1000, 1),
            "times_fewer_bytes": large["whole_to_delta"],
        },
        peers={"reading everything again": round(large["anew_seconds"] * 1000, 1)},
        floor=None,
        rounds=effort.rounds,
    )


def _figures(skills: int, changes: int, engine: str, rounds: int, *, anew: bool) -> dict[str, Any]:
    with yard(skills, engine) as both:
        whole = both.sync()
        deltas = []
        for round_ in range(rounds):
            asyncio.run(change(both.hub_database, changes, round_=round_))
            deltas.append(both.sync())
        again = both.sync(anew=True) if anew else None
    size = statistics.median(one["bytes"] for one in deltas)
    return {
        "seconds_p50": statistics.median(one["seconds"] for one in deltas),
        "bytes": size,
        "whole_bytes": whole["bytes"],
        "whole_to_delta": round(whole["bytes"] / size, 1),
        "whole_seconds": whole["seconds"],
        "whole_cpu_seconds": whole["cpu_seconds"],
        "rss_mb": whole["rss_mb"],
        **({} if again is None else {"anew_seconds": again["seconds"]}),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    for skills in wanted.sizes:
        figures = _figures(skills, wanted.changes, wanted.engine, _ROUNDS, anew=False)
        said = {"name": "delta_sync", "engine": wanted.engine, "skills": skills, "changes": wanted.changes, **figures}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
