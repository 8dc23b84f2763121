"""A verdict in plain words: one sentence a reason, strongest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skillyard.governance.report import Evidence, EvidenceState, Finding, Verdict


def reasons_for(
    verdict: Verdict, findings: Iterable[Finding], evidence: Sequence[Evidence], packages: int | None
) -> tuple[str, ...]:
    """At least one sentence. Findings come in the order given; evidence that is missing comes before mere flags.

    ``packages`` is how many were looked at, ``None`` where that is not known any more.
    """
    ordered = tuple(findings)
    blocking = [_finding(one) for one in ordered if one.level is Verdict.BLOCK]
    unsure = [_finding(one) for one in ordered if one.level is Verdict.INDETERMINATE]
    flags = [_finding(one) for one in ordered if one.level is Verdict.FLAG]
    gaps = [_gap(one) for one in evidence if one.state is not EvidenceState.RAN]
    reasons = [*blocking, *gaps, *unsure, *flags]
    if verdict is Verdict.PASS:
        reasons = [_nothing(len(ordered), packages)]
    return (*reasons, *(_looked(one) for one in evidence if one.state is EvidenceState.RAN))


def _nothing(passing: int, packages: int | None) -> str:
    if passing:
        return (
            f"{passing} finding{'' if passing == 1 else 's'}, which the scan policy lets pass; nothing else was found."
        )
    where = "its packages" if packages is None else f"{packages} package{'' if packages == 1 else 's'}"
    return f"Nothing was found in {where} and the skill's own files."


def _finding(finding: Finding) -> str:
    place = "" if finding.file is None else f" ({finding.file}{'' if finding.line is None else f':{finding.line}'})"
    text = f"{finding.level.name} by rule {finding.rule}: {finding.message}{place}"
    if finding.waiver is None:
        return text
    waiver = finding.waiver
    return f"{text} Waived by {waiver.owner} until {waiver.until:%Y-%m-%d} (waiver {waiver.id}): {waiver.reason}"


def _gap(evidence: Evidence) -> str:
    words = {
        EvidenceState.FAILED: "failed",
        EvidenceState.STALE: "has only old data",
        EvidenceState.MISSING: "is missing",
    }
    why = evidence.reason or "it gave no reason"
    return f"INDETERMINATE because scanner {evidence.scanner} {words[evidence.state]}: {why}"


def _looked(evidence: Evidence) -> str:
    dated = "" if evidence.data_date is None else f" with data of {evidence.data_date:%Y-%m-%d}"
    return f"Scanner {evidence.scanner} {evidence.version} ran{dated}."
