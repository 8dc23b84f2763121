"""A report as SARIF 2.1.0 (OASIS), for code scanning services and editors.

A waived finding is a result with a suppression. A scan that could not look everywhere is an invocation that did not
succeed, with a notification for each gap; its verdict is among the run's properties.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

import orjson

import skillyard
from skillyard.governance.formats.inventory import Inventory, purl
from skillyard.governance.report import Evidence, EvidenceState, Finding, Verdict
from skillyard.governance.waivers.waiver import how_to_waive

Document = dict[str, object]

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "skillyardFinding/v1"
"""Over rule, place and evidence but not the line, so that a finding stays the same one when lines move."""
_ROOT: Final = "SKILLROOT"
# What keeps a skill from running is an error to whoever fails a build on errors; so is what could not be told.
_LEVELS: Final[Mapping[Verdict, str]] = {
    Verdict.PASS: "note",
    Verdict.FLAG: "warning",
    Verdict.INDETERMINATE: "error",
    Verdict.BLOCK: "error",
}


def to_sarif(about: Inventory) -> bytes:
    """The document as indented JSON, ending with a line break."""
    return orjson.dumps(_document(about), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _document(about: Inventory) -> Document:
    report = about.report
    rules = list(dict.fromkeys(one.rule for one in report.findings))
    fingerprints = _fingerprints(report.findings)
    run: Document = {
        "tool": {
            "driver": {
                "name": "Skillyard",
                "version": skillyard.__version__,
                "rules": [_rule(rule, [one for one in report.findings if one.rule == rule]) for rule in rules],
            }
        },
        "invocations": [_invocation(report.evidence)],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder that was scanned."}}},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(one, rules.index(one.rule), fingerprint, about)
            for one, fingerprint in zip(report.findings, fingerprints, strict=True)
        ],
        "properties": {
            "verdict": report.verdict.name,
            "reasons": report.reasons,
            "bundleDigest": report.bundle_digest,
            "lockDigest": report.lock_digest,
            "policy": report.policy,
            "madeAt": report.made_at.isoformat(),
        },
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: str, found: Sequence[Finding]) -> Document:
    first = found[0]
    scores = [one.cvss for one in found if one.cvss is not None]
    properties: Document = {"tags": ["security"], "severity": first.severity.value}
    if scores:
        properties["security-severity"] = f"{max(scores):.1f}"
    described: Document = {
        "id": rule,
        "shortDescription": {"text": rule.replace("_", " ").replace("-", " ")},
        "defaultConfiguration": {"level": _LEVELS[max(_unwaived(one) for one in found)]},
        "properties": properties,
    }
    if first.why is not None:
        described["fullDescription"] = {"text": first.why}
    if first.fix is not None:
        described["help"] = {"text": first.fix}
    return described


def _result(finding: Finding, index: int, fingerprint: str, about: Inventory) -> Document:
    result: Document = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[_unwaived(finding)],
        "message": {"text": finding.message},
        "locations": _locations(finding, about),
        "partialFingerprints": {FINGERPRINT: fingerprint},
        "properties": _properties(finding),
    }
    if finding.waiver is not None:
        waiver = finding.waiver
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": waiver.reason,
                "properties": {"waiver": waiver.id, "owner": waiver.owner, "until": waiver.until.isoformat()},
            }
        ]
    return result


def _locations(finding: Finding, about: Inventory) -> list[Document]:
    if finding.file is not None:
        return [_place(finding.file, finding.line, finding.evidence)]
    if finding.package is None:
        return []
    logical = {"name": str(finding.package), "fullyQualifiedName": purl(finding.package).to_string(), "kind": "package"}
    places = [_place(origin.file, origin.line, None) for origin in about.declared_at(finding.package)]
    return [{**place, "logicalLocations": [logical]} for place in places] or [{"logicalLocations": [logical]}]


def _place(file: str, line: int | None, snippet: str | None) -> Document:
    physical: Document = {"artifactLocation": {"uri": quote(file), "uriBaseId": _ROOT}}
    if line is not None:
        region: Document = {"startLine": line}
        if snippet is not None:
            region["snippet"] = {"text": snippet}
        physical["region"] = region
    return {"physicalLocation": physical}


def _properties(finding: Finding) -> Document:
    found: Document = {
        "verdict": finding.level.name,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "evidence": finding.evidence,
        "why": finding.why,
        "fix": finding.fix,
        "waive": how_to_waive(finding),
        "fileSha256": finding.file_sha256,
        "advisory": finding.advisory,
        "aliases": finding.aliases,
        "fixedIn": finding.fixed_in,
        "purl": None if finding.package is None else purl(finding.package).to_string(),
        "cvss": finding.cvss,
        "cvssVector": finding.cvss_vector,
        "exploitation": finding.exploitation,
    }
    return {name: value for name, value in found.items() if value not in (None, ())}


def _invocation(evidence: Sequence[Evidence]) -> Document:
    gaps = [one for one in evidence if one.state is not EvidenceState.RAN]
    invocation: Document = {"executionSuccessful": not gaps and bool(evidence)}
    if gaps:
        invocation["toolExecutionNotifications"] = [
            {
                "level": "error",
                "message": {"text": f"{one.scanner} is {one.state}: {one.reason or 'it gave no reason'}"},
                "descriptor": {"id": f"evidence_{one.state.value}"},
            }
            for one in gaps
        ]
    return {**invocation, "properties": {"evidence": [_looked(one) for one in evidence]}}


def _looked(evidence: Evidence) -> Document:
    return {
        "scanner": evidence.scanner,
        "version": evidence.version,
        "state": evidence.state.value,
        "dataDate": None if evidence.data_date is None else evidence.data_date.isoformat(),
        "reason": evidence.reason,
        "skipped": evidence.skipped,
    }


def _fingerprints(findings: Sequence[Finding]) -> list[str]:
    """One for each finding; those that would be the same are told apart by their order."""
    seen: Counter[str] = Counter()
    made = []
    for one in findings:
        facts = (one.rule, one.file, one.evidence, str(one.package or ""), one.advisory or one.message)
        digest = hashlib.sha256(orjson.dumps(facts)).hexdigest()
        seen[digest] += 1
        made.append(f"{digest[:32]}:{seen[digest]}")
    return made


def _unwaived(finding: Finding) -> Verdict:
    return finding.level if finding.waiver is None else finding.waiver.level
