"""`make bench-compare`, for real: it passes on this tree, and it fails where a figure got worse."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BASELINE = ROOT / "benchmarks" / "baseline.json"
SECONDS = 900


def compare(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-m", "benchmarks.compare", *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def left() -> str:
    """What benchmarks would have left on the engine."""
    found = ""
    for kind in (("ps", "--all"), ("image", "ls")):
        command = ["docker", *kind, "--quiet", "--filter", "label=skillyard-bench"]
        found += subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return found


@pytest.mark.timeout(SECONDS + 60)
def test_nothing_got_slower_beside_its_peers() -> None:
    done = compare()
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "load average" in done.stdout
    assert left() == ""


@pytest.mark.timeout(SECONDS + 60)
def test_a_baseline_that_was_better_fails_the_gate_and_the_table_says_which(tmp_path: Path) -> None:
    doctored = json.loads(BASELINE.read_text())
    # As if a cold call had been three times faster beside the engine's own work.
    doctored["claims"]["cold_call"]["bare Docker SDK"] *= 3
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(doctored))
    done = compare("--baseline", str(path), "cold_call")
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    first = done.stdout.splitlines()[1]
    assert "cold_call" in first
    assert "bare Docker SDK" in first
    assert first.endswith("FAILED")
    assert left() == ""
