"""A whole catalogue for the first time: ``python -m benchmarks.first_sync [--skills N] [--engine sqlite|postgresql]``.

A follower with an empty mirror reads a hub of 100,000 skills (200,500 entries) over loopback HTTP, checks every entry,
keeps it with the search index and the digest, and compares that with the hub's signed head. Bars: 60 s, and 300 MB at
most in the follower's process.

Beside it a client that knows the names already asks the same hub for one skill after the other, and keeps nothing: what
is left to a mirror where there is no feed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from typing import Any

import httpx

from benchmarks.effort import FULL, Effort
from benchmarks.results import Result
from benchmarks.sync_yard import Yard, documents, yard

SKILLS = 100_000
_ASKED = 300
_PEER = "skill by skill"


async def measure(effort: Effort = FULL) -> Result:
    """Once on each engine: a first sync happens once, and takes as long as all rounds of other claims."""
    skills = effort.of(SKILLS)
    sqlite, peer = await asyncio.to_thread(_figures, skills, "sqlite", effort.of(_ASKED))
    postgresql, _ = await asyncio.to_thread(_figures, skills, "postgresql", 0)
    return Result(
        name="first_sync_100k",
        unit="skills/s",
        better="higher",
        ours={
            "p50": round(skills / sqlite["seconds"], 1),
            "whole_s": round(sqlite["seconds"], 1),
            "processor_s": round(sqlite["cpu_seconds"], 1),
            "memory_mb": round(sqlite["rss_mb"], 1),
            "postgresql_p50": round(skills / postgresql["seconds"], 1),
            "postgresql_whole_s": round(postgresql["seconds"], 1),
            "postgresql_processor_s": round(postgresql["cpu_seconds"], 1),
            "postgresql_memory_mb": round(postgresql["rss_mb"], 1),
        },
        peers={_PEER: round(peer, 1)},
        floor=None,
        rounds=1,
    )


def _figures(skills: int, engine: str, asked: int) -> tuple[dict[str, Any], float]:
    """Of a first sync; and how many skills a second the peer gets, where it is asked for any."""
    with yard(skills, engine) as both:
        return both.sync(), _skill_by_skill(both, asked) if asked else 0.0


def _skill_by_skill(both: Yard, count: int) -> float:
    """Skills a second."""
    made = random.Random(1)
    keys = [documents(number, made)[0][0].key for number in range(count)]
    with httpx.Client(
        base_url=both.url, headers={"Authorization": f"Bearer {both.token}"}, timeout=60, trust_env=False
    ) as client:
        began = time.perf_counter()
        for key in keys:
            client.get(f"/v1/marketplace/skills/{key}").raise_for_status()
        return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--skills", type=int, default=SKILLS)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    figures, _ = _figures(wanted.skills, wanted.engine, 0)
    sys.stdout.write(
        json.dumps({"name": "first_sync", "engine": wanted.engine, "skills": wanted.skills, **figures}) + "\n"
    )


if __name__ == "__main__":
    main()
