"""SARIF that code scanning services take: the standard's required shape, and every finding with its place.

The standard's own JSON schema is not at hand from a package, so what it requires of the objects that are written is
said again here (SARIF 2.1.0, sections 3.13 to 3.58), with nothing but the properties that those objects may have.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson
from jsonschema import Draft7Validator
from skillyard.governance.formats.sarif import to_sarif
from tests.governance.formats.scanned import FILE, IN_A_FILE, INDIRECT, VULNERABLE, about, failed, waived

_TEXT: Final = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
_BAG: Final = {"type": "object"}
_LEVEL: Final = {"enum": ["none", "note", "warning", "error"]}


def _closed(required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


_ARTIFACT = _closed([], uri={"type": "string", "pattern": "^[^ \\\\]*$"}, uriBaseId={"type": "string"})
_REGION = _closed(["startLine"], startLine={"type": "integer", "minimum": 1}, snippet=_TEXT)
_LOCATION = _closed(
    [],
    physicalLocation=_closed(["artifactLocation"], artifactLocation=_ARTIFACT, region=_REGION),
    logicalLocations={
        "type": "array",
        "items": _closed([], name={"type": "string"}, fullyQualifiedName={"type": "string"}, kind={"type": "string"}),
    },
)
_SUPPRESSION = _closed(
    ["kind"],
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification={"type": "string"},
    properties=_BAG,
)
_RESULT = _closed(
    ["message", "ruleId", "ruleIndex", "partialFingerprints"],
    ruleId={"type": "string"},
    ruleIndex={"type": "integer", "minimum": 0},
    level=_LEVEL,
    message=_TEXT,
    locations={"type": "array", "items": _LOCATION},
    partialFingerprints={"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}},
    suppressions={"type": "array", "items": _SUPPRESSION},
    properties=_BAG,
)
_RULE = _closed(
    ["id"],
    id={"type": "string"},
    shortDescription=_TEXT,
    fullDescription=_TEXT,
    help=_TEXT,
    defaultConfiguration=_closed([], level=_LEVEL),
    properties=_BAG,
)
_NOTIFICATION = _closed(["message"], level=_LEVEL, message=_TEXT, descriptor=_closed(["id"], id={"type": "string"}))
_INVOCATION = _closed(
    ["executionSuccessful"],
    executionSuccessful={"type": "boolean"},
    toolExecutionNotifications={"type": "array", "items": _NOTIFICATION},
    properties=_BAG,
)
_DRIVER = _closed(
    ["name"], name={"type": "string"}, version={"type": "string"}, rules={"type": "array", "items": _RULE}
)
_RUN = _closed(
    ["tool", "results"],
    tool=_closed(["driver"], driver=_DRIVER),
    invocations={"type": "array", "items": _INVOCATION},
    originalUriBaseIds={"type": "object"},
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    results={"type": "array", "items": _RESULT},
    properties=_BAG,
)
SCHEMA = _closed(
    ["version", "runs"],
    **{"$schema": {"type": "string"}},
    version={"const": "2.1.0"},
    runs={"type": "array", "items": _RUN},
)


def run_of(written: bytes) -> Any:
    document = orjson.loads(written)
    Draft7Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    return run


def test_a_finding_in_a_file_has_its_line_its_evidence_and_what_to_do() -> None:
    run = run_of(to_sarif(about(IN_A_FILE)))
    (result,) = run["results"]
    assert result["level"] == "error"
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "scripts/run%20me.sh", "uriBaseId": "SKILLROOT"}
    assert physical["region"] == {"startLine": 3, "snippet": {"text": "bash -i >& /dev/tcp/…"}}
    (rule,) = run["tool"]["driver"]["rules"]
    assert (rule["id"], rule["help"]["text"]) == (result["ruleId"], IN_A_FILE.fix)
    assert result["properties"]["fileSha256"] == FILE


def test_a_package_is_shown_where_the_skill_asks_for_it() -> None:
    results = {one["ruleId"]: one for one in run_of(to_sarif(about(VULNERABLE, INDIRECT)))["results"]}
    for rule, purl in (("advisory", "pkg:pypi/jinja2@2.10"), ("typosquat", "pkg:pypi/markupsafe@1.0")):
        (place,) = results[rule]["locations"]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == "requirements.txt"
        assert place["physicalLocation"]["region"]["startLine"] == 2
        assert place["logicalLocations"][0]["fullyQualifiedName"] == purl
    (rule, *_) = run_of(to_sarif(about(VULNERABLE)))["tool"]["driver"]["rules"]
    assert rule["properties"]["security-severity"] == "8.6"


def test_a_waived_finding_is_suppressed_and_keeps_its_level() -> None:
    (result,) = run_of(to_sarif(waived()))["results"]
    assert result["level"] == "error"
    (suppression,) = result["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert suppression["justification"] == "not reachable"
    assert suppression["properties"]["owner"] == "ann"


def test_a_scan_that_could_not_look_did_not_succeed() -> None:
    run = run_of(to_sarif(failed()))
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "theirs is failed: it crashed" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert run["properties"]["verdict"] == "INDETERMINATE"
    assert run["results"] == []


def test_a_fingerprint_outlives_moved_lines_and_tells_equal_findings_apart() -> None:
    def prints(*findings: Any) -> list[str]:
        results = run_of(to_sarif(about(*findings)))["results"]
        return [one["partialFingerprints"]["skillyardFinding/v1"] for one in results]

    (before,), (moved,) = prints(IN_A_FILE), prints(replace(IN_A_FILE, line=40))
    assert before == moved
    assert prints(IN_A_FILE, replace(IN_A_FILE, line=40))[0] == before
    assert len(set(prints(IN_A_FILE, replace(IN_A_FILE, line=40), VULNERABLE))) == 3
