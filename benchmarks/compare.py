"""``python -m benchmarks.compare [--baseline FILE] [--accept] [NAME…]``: the gate.

Measures quickly, compares with the committed baseline, and ends with 1 if anything is 1.5 times worse; ``--accept``
makes what was measured the baseline. Something that is worse is measured once more before it is believed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.claims import measured, measuring, unknown
from benchmarks.effort import QUICK
from benchmarks.gate import BASELINE, FACTOR, Finding, better_of, compare, read_baseline, table, write_baseline
from benchmarks.machine import machine

GATED = (
    "warm_call",
    "warm_call_heavy",
    "throughput",
    "cold_call",
    "install_first_result",
    "shared_packages_disk",
    "hot_swap",
)
"""Claims with something beside them; what they have in common is that a slow machine is slow for both."""


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    names = options.names or list(GATED)
    if (wrong := unknown(names)) is not None:
        print(wrong, file=sys.stderr)
        return 2
    if options.accept:
        with measuring():
            write_baseline(options.baseline, [measured(name, QUICK) for name in names])
        print(f"written to {options.baseline}")
        return 0
    try:
        baseline = read_baseline(options.baseline)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    missing = [name for name in names if name not in baseline["claims"]]
    if missing:
        print(f"{options.baseline} has no {', '.join(missing)}; `make bench-baseline` adds them", file=sys.stderr)
        return 2
    with measuring():
        findings = tuple(finding for name in names for finding in _judged(name, baseline["claims"][name]))
    return _report(findings, baseline)


def _judged(name: str, baseline: dict[str, float]) -> tuple[Finding, ...]:
    findings = compare(measured(name, QUICK), baseline)
    if any(finding.failed for finding in findings):
        print(f"{name} is worse; once more", file=sys.stderr, flush=True)
        findings = better_of(findings, compare(measured(name, QUICK), baseline))
    return findings


def _report(findings: tuple[Finding, ...], baseline: dict[str, Any]) -> int:
    print(table(findings))
    here, there = machine(), baseline["machine"]
    print(f"\nload average {os.getloadavg()[0]:.2f} now, {there['load']:g} at the baseline of {baseline['date'][:10]}")
    differing = [name for name in ("cpu", "cores", "kernel", "docker", "cgroup") if here[name] != there[name]]
    if differing:
        print(f"the baseline is of a machine that differs in: {', '.join(differing)}")
    failed = [finding for finding in findings if finding.failed]
    if failed:
        print(f"{len(failed)} of {len(findings)} are more than {FACTOR:g} times worse, or what must never happen")
    return 1 if failed else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description="Is it slower than it was?")
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims to compare; default: all that have a peer")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="what to compare with")
    parser.add_argument("--accept", action="store_true", help="make what is measured the baseline")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
