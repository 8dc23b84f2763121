"""``python -m benchmarks.delta_sync [--changes N] [--engine sqlite|postgresql]``: what changed, at two sizes.

A mirror of 1,000 and one of 100,000 skills each follow 100 changed skills, five times. A delta has to cost the same at
both sizes, and at 100,000 at most 1/500 of the bytes of reading everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys

from benchmarks.sync_yard import change, yard

_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    for skills in wanted.sizes:
        with yard(skills, wanted.engine) as both:
            whole = both.sync()
            deltas = []
            for round_ in range(_ROUNDS):
                asyncio.run(change(both.hub_database, wanted.changes, round_=round_))
                deltas.append(both.sync())
        size = statistics.median(one["bytes"] for one in deltas)
        figures = {
            "seconds_p50": statistics.median(one["seconds"] for one in deltas),
            "bytes": size,
            "whole_bytes": whole["bytes"],
            "whole_to_delta": round(whole["bytes"] / size, 1),
            "whole_seconds": whole["seconds"],
            "whole_cpu_seconds": whole["cpu_seconds"],
            "rss_mb": whole["rss_mb"],
        }
        said = {"name": "delta_sync", "engine": wanted.engine, "skills": skills, "changes": wanted.changes, **figures}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
