"""The static scan of a typical skill: 30 files of text, Python, shell and configuration, this project's own.

``p50`` is a scan as an installation runs it: in the warm worker, in a child of its own with limits, its result checked.
``first_p50`` includes starting the worker, once in a minute at most. ``inside_p50`` is the same scan in this process,
so that the rest is what the walls cost. There is nothing that does the same to be measured beside it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from skillyard.governance.static.scanner import scan_folder, warm_up
from skillyard.governance.static.worker import Worker

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result

_SCANS, _STARTS = 40, 3
_ROOT = Path(__file__).parent.parent
_PARTS = (("docs/how-to/*.md", 12), ("benchmarks/[a-l]*.py", 12), ("skills/*/scripts/*.*", 4), ("skills/*/SKILL.md", 2))


async def measure(effort: Effort = FULL) -> Result:
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-static-") as made:
        folder = Path(made)
        size = _fill(folder)
        warm: list[list[float]] = []
        inside: list[list[float]] = []
        first: list[list[float]] = []
        warm_up()
        for _ in range(effort.rounds):
            first.append([_first(folder) for _ in range(effort.of(_STARTS))])
            worker = Worker()
            worker.scan(folder)
            warm.append([_timed(lambda worker=worker: worker.scan(folder)) for _ in range(effort.of(_SCANS))])  # type: ignore[misc]
            worker.close()
            inside.append([_timed(lambda: scan_folder(folder)) for _ in range(effort.of(_SCANS // 4))])
    return Result(
        name="static_scan",
        unit="ms",
        better="lower",
        ours={
            "p50": typical(warm, 0.5),
            "p99": typical(warm, 0.99),
            "inside_p50": typical(inside, 0.5),
            "first_p50": typical(first, 0.5),
            "scanned_kib": round(size / 1024, 1),
        },
        peers={},
        floor=None,
        rounds=effort.rounds,
    )


def _fill(folder: Path) -> int:
    """Copy the files in, under names of their own; how many bytes they have."""
    files = [path for pattern, most in _PARTS for path in sorted(_ROOT.glob(pattern))[:most]]
    if len(files) != sum(most for _, most in _PARTS):
        raise RuntimeError(f"30 files were to be scanned, and there are {len(files)}")
    for number, path in enumerate(files):
        shutil.copyfile(path, folder / f"{number:02}-{path.name}")
    return sum(path.stat().st_size for path in files)


def _first(folder: Path) -> float:
    worker = Worker()
    try:
        return _timed(lambda: worker.scan(folder))
    finally:
        worker.close()


def _timed(scan: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    scan()
    return (time.perf_counter_ns() - began) / 1e6
