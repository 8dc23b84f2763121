"""``python -m benchmarks.recall [--half test] [--folder PATH]``: what the static scan finds of the labelled set.

Of the development half it names every miss and false alarm. Of the test half it prints totals and classes alone, so
that measuring does not turn into writing rules for it. A malicious skill is caught by BLOCK, or by INDETERMINATE where
something was hidden from the scan; a FLAG has a column of its own. A benign skill that is not PASS or FLAG is a false
alarm.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from skillyard.governance.report import Finding, Verdict
from skillyard.governance.static.scanned import Scanned
from skillyard.governance.static.scanner import scan_folder, verdict_of
from tests.corpus import Half, Label, LabelledSkill, corpus

_STOPS = (Verdict.BLOCK, Verdict.INDETERMINATE)
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Outcome:
    skill: LabelledSkill
    verdict: Verdict
    scanned: Scanned

    @property
    def stopped(self) -> bool:
        return self.verdict in _STOPS


def interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's score interval for a share, 95 %."""
    if not total:
        return 0.0, 1.0
    share = hits / total
    middle = share + _Z**2 / (2 * total)
    reach = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    divisor = 1 + _Z**2 / total
    return max(0.0, (middle - reach) / divisor), min(1.0, (middle + reach) / divisor)


def outcomes(half: Half) -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        return [_outcome(skill, Path(folder)) for skill in corpus(half)]


def _outcome(skill: LabelledSkill, folder: Path) -> Outcome:
    scanned = scan_folder(skill.write(folder))
    return Outcome(skill, verdict_of(scanned), scanned)


def table(all_of: Iterable[Outcome]) -> str:
    """A line a class, malicious ones first, and a total of each label."""
    lines = ["| label | class | skills | BLOCK | INDETERMINATE | FLAG | PASS | stopped | 95 % |", "| --- " * 9 + "|"]
    listed = list(all_of)
    for label in (Label.MALICIOUS, Label.BENIGN):
        of_label = [one for one in listed if one.skill.label is label]
        techniques = sorted({one.skill.technique for one in of_label})
        lines += [_line(label, name, [one for one in of_label if one.skill.technique == name]) for name in techniques]
        lines.append(_line(label, "**all**", of_label))
    return "\n".join(lines)


def _line(label: Label, technique: str, some: list[Outcome]) -> str:
    counts = Counter(one.verdict for one in some)
    stopped = sum(one.stopped for one in some)
    low, high = interval(stopped, len(some))
    columns = " | ".join(str(counts[verdict]) for verdict in (*_STOPS, Verdict.FLAG, Verdict.PASS))
    share = f"{stopped / len(some):.0%}" if some else "none"
    return f"| {label} | {technique} | {len(some)} | {columns} | {share} | {low:.0%} to {high:.0%} |"


def _named(one: Outcome, *, verbose: bool) -> str:
    head = f"{one.skill.technique}/{one.skill.name}: {one.verdict.name}; {one.skill.why}"
    details = [_told(finding) for finding in one.scanned.findings] + [f"    gap: {gap}" for gap in one.scanned.gaps]
    return "\n".join([head, *(details if verbose else details[:6])])


def _told(finding: Finding) -> str:
    return (
        f"    {finding.level.name} {finding.rule} {finding.file}:{finding.line} {finding.message} [{finding.evidence}]"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall")
    parser.add_argument("--half", choices=[half.value for half in Half], default=Half.DEVELOPMENT.value)
    parser.add_argument("--all", action="store_true", help="name every skill and its findings (development half)")
    chosen = parser.parse_args(arguments)
    half = Half(chosen.half)
    found = outcomes(half)
    if half is Half.DEVELOPMENT:
        for one in found:
            wrong = one.stopped is (one.skill.label is Label.BENIGN)
            if wrong or chosen.all:
                what = "MISSED" if one.skill.label is Label.MALICIOUS else "FALSE ALARM"
                print(f"{what if wrong else 'right'} {_named(one, verbose=chosen.all)}")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
