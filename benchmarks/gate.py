"""Is it slower than it was? Ratios to peers and to the floor are compared, not times: machines differ, ratios less so.

A baseline is ``{"claims": {name: {beside: ratio}}, "date", "commit", "machine"}``; a ratio says how many times better
ours is than what is beside it, as in ``results.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import Result

BASELINE = Path(__file__).parent / "baseline.json"
FACTOR = 1.5
"""So many times worse than the baseline is a failure: more than a busy machine or a noisy round explains."""

_NEVER = ("failed_calls", "lost_calls")
"""Figures of ours that have no baseline: anything but none is a failure."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison. ``worse`` is how many times worse than the baseline; below 1, better.

    ``None`` for ``before`` or ``now`` where the baseline or the measurement lacks it.
    """

    claim: str
    beside: str
    before: float | None
    now: float | None

    @property
    def worse(self) -> float | None:
        if self.before is None or self.now is None:
            return None
        return self.before / self.now if self.now else float("inf")

    @property
    def failed(self) -> bool:
        """What was compared and is not measured any more fails too; what is new does not."""
        if self.beside in _NEVER:
            return self.now != 0
        if self.now is None:
            return True
        return self.worse is not None and self.worse > FACTOR


def ratios(result: Result) -> dict[str, float]:
    """How many times better ours is than each peer, and than the floor."""
    found = dict(result.ratio())
    if result.floor is not None:
        mine = result.ours["p50"]
        found["floor"] = round(result.floor / mine if result.better == "lower" else mine / result.floor, 4)
    return found


def compare(result: Result, baseline: Mapping[str, float]) -> tuple[Finding, ...]:
    """Every ratio of a claim beside its baseline."""
    now = ratios(result)
    found = [Finding(result.name, beside, baseline.get(beside), now.get(beside)) for beside in {**baseline, **now}]
    never = [Finding(result.name, name, 0.0, result.ours[name]) for name in _NEVER if name in result.ours]
    return (*found, *never)


def better_of(first: tuple[Finding, ...], second: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Of two measurements of one claim, the better of each comparison: a disturbance passes, a regression stays.

    What must never happen is not forgiven.
    """
    again = {finding.beside: finding for finding in second}
    return tuple(_better(finding, again.get(finding.beside, finding)) for finding in first)


def _better(first: Finding, second: Finding) -> Finding:
    if first.beside in _NEVER:
        return first if first.failed else second
    if first.now is None or second.now is None:
        return second if first.now is None else first
    return max(first, second, key=lambda finding: finding.now or 0.0)


def table(findings: tuple[Finding, ...]) -> str:
    """For people, what failed first."""
    head = ("claim", "beside", "baseline", "now", "worse by", "")
    rows = [head]
    for finding in sorted(findings, key=lambda each: not each.failed):
        worse = "" if finding.worse is None or finding.beside in _NEVER else f"{finding.worse:.2f}"
        verdict = "FAILED" if finding.failed else "new" if finding.before is None else "ok"
        rows.append((finding.claim, finding.beside, _number(finding.before), _number(finding.now), worse, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"


def read_baseline(path: Path) -> dict[str, Any]:
    """Raises ``ValueError`` where there is none, or it is no baseline."""
    try:
        found = json.loads(path.read_text())
        claims = found["claims"]
    except (FileNotFoundError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no baseline ({error!r}); `make bench-baseline` writes one") from error
    if not isinstance(claims, dict) or not claims:
        raise ValueError(f"{path} holds no claims; `make bench-baseline` writes them")
    return dict(found)


def write_baseline(path: Path, results: list[Result]) -> None:
    """Accept these results; claims that were not measured keep what they had."""
    claims = dict(read_baseline(path)["claims"]) if path.exists() else {}
    claims |= {result.name: ratios(result) for result in results}
    last = results[-1]
    document = {
        "claims": dict(sorted(claims.items())),
        "date": last.date,
        "commit": last.commit,
        "machine": dict(last.machine),
    }
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(json.dumps(document, indent=2) + "\n")
    beside.replace(path)
