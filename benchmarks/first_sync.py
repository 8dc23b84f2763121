"""``python -m benchmarks.first_sync [--skills N] [--engine sqlite|postgresql]``: a whole catalogue for the first time.

A follower with an empty mirror reads a hub of 100,000 skills (200,500 entries) over loopback HTTP, checks every entry,
keeps it with the search index and the digest, and compares that with the hub's signed head. Bars: 60 s, and 300 MB at
most in the follower's process.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.sync_yard import yard


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--skills", type=int, default=100_000)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    with yard(wanted.skills, wanted.engine) as both:
        figures = both.sync()
    sys.stdout.write(
        json.dumps({"name": "first_sync", "engine": wanted.engine, "skills": wanted.skills, **figures}) + "\n"
    )


if __name__ == "__main__":
    main()
