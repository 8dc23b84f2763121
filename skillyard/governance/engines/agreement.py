"""What several engines said about the same packages, made one: each vulnerability once, and every disagreement shown.

Two findings of one package are one vulnerability where their sets of ids and aliases meet. The primary engine's finding
is the one that is kept. What only a second engine found counts with its severity, as if the primary had found it. What
only the primary found counts already; that the other did not see it is a FLAG of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from skillyard.governance.answers import Answer
from skillyard.governance.engines.names import ECOSYSTEMS, ENGINES, PRIMARY
from skillyard.governance.report import EvidenceState, Finding, PackageRef, Severity, Verdict

RULE: Final = "engines_disagree"
_WHY: Final = "One of the engines has other data, or read a record or a version wrongly; what it says may be missed."
_FIX: Final = "Compare the advisory's affected versions with the locked one, and report the engine that is wrong."


def agreed(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """The answers with the findings of second engines merged into the primary's, in the same order.

    An engine that did not run says nothing, neither for nor against; without a primary that ran, answers stay as they
    are.
    """
    primary = next((found for found, one in answers if one.scanner == PRIMARY and one.state is EvidenceState.RAN), None)
    if primary is None:
        return tuple(answers)
    known = list(primary)
    merged: list[Answer] = []
    for found, evidence in answers:
        if evidence.scanner in ENGINES and evidence.state is EvidenceState.RAN:
            alone = tuple(one for one in found if not _met(one, known))
            known += alone
            theirs = (one for one in primary if _is_for(evidence.scanner, one))
            unseen = (_only_ours(one, evidence.scanner) for one in theirs if not _met(one, found))
            merged.append(((*(_only_theirs(one, evidence.scanner) for one in alone), *unseen), evidence))
        else:
            merged.append((found, evidence))
    return tuple(merged)


def _met(finding: Finding, others: Iterable[Finding]) -> bool:
    names = _names(finding)
    return any(finding.package == other.package and not names.isdisjoint(_names(other)) for other in others)


def _names(finding: Finding) -> frozenset[str]:
    return frozenset({*finding.aliases, *([finding.advisory] if finding.advisory else [])})


def _is_for(engine: str, finding: Finding) -> bool:
    """Whether the engine could have found it: none knows of versions that nobody can judge, each has one ecosystem."""
    sure = finding.advisory is not None and finding.level is not Verdict.INDETERMINATE
    return sure and finding.package is not None and finding.package.ecosystem is ECOSYSTEMS[engine]


def _only_theirs(finding: Finding, engine: str) -> Finding:
    message = f"{engine} finds {finding.package} affected by {finding.advisory}; our own matching does not."
    return replace(finding, rule=RULE, message=message, why=_WHY, fix=_FIX)


def _only_ours(finding: Finding, engine: str) -> Finding:
    package: PackageRef | None = finding.package
    return Finding(
        rule=RULE,
        level=Verdict.FLAG,
        severity=Severity.LOW,
        message=f"{engine} does not find {package} affected by {finding.advisory}; our own matching does.",
        package=package,
        why=_WHY,
        fix=_FIX,
    )
