"""A bill of materials that other tools read: strict CycloneDX 1.6, packages, files, vulnerabilities and waivers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from skillyard.governance.formats.cyclonedx import to_cyclonedx
from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.report import Severity, Verdict
from tests.governance.formats.scanned import (
    FILE,
    IN_A_FILE,
    INDIRECT,
    OF_FILE,
    SCOPED,
    VULNERABLE,
    WAIVER,
    about,
    failed,
    waived,
)

JINJA = "pkg:pypi/jinja2@2.10"


def bom_of(inventory: Inventory) -> Any:
    written = to_cyclonedx(inventory)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written.decode()) is None
    return orjson.loads(written)


def test_every_package_and_file_is_a_component_with_its_hash() -> None:
    components = {one["bom-ref"]: one for one in bom_of(about())["components"]}
    assert components[JINJA]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    scoped = components["pkg:npm/%40scope/left-pad@1.2.0"]
    assert (scoped["group"], scoped["name"], scoped["purl"]) == (
        "@scope",
        "left-pad",
        "pkg:npm/%40scope/left-pad@1.2.0",
    )
    script = components["file:scripts/run me.sh"]
    assert (script["type"], script["hashes"][0]["content"]) == ("file", FILE)


def test_who_needs_whom_is_told() -> None:
    needs = {one["ref"]: one.get("dependsOn", []) for one in bom_of(about())["dependencies"]}
    assert {JINJA, "pkg:pypi/six@1.17.0", "pkg:npm/%40scope/left-pad@1.2.0"} <= set(needs["skill"])
    assert needs[JINJA] == ["pkg:pypi/markupsafe@1.0"]
    assert "pkg:pypi/markupsafe@1.0" not in needs["skill"]


def test_an_advisory_is_a_vulnerability_of_its_package_without_a_word_on_waivers() -> None:
    (found,) = bom_of(about(VULNERABLE, INDIRECT, IN_A_FILE))["vulnerabilities"]
    assert found["id"] == "PYSEC-2019-217"
    assert found["affects"] == [{"ref": JINJA, "versions": [{"version": "2.10", "status": "affected"}]}]
    (rating,) = found["ratings"]
    assert (rating["score"], rating["severity"], rating["method"]) == (8.6, "high", "CVSSv3")
    assert {one["id"] for one in found["references"]} == {"CVE-2019-10906", "GHSA-462w-v97r-4m45"}
    assert "analysis" not in found


def test_a_waiver_is_exported_as_vex_and_does_not_claim_that_there_is_no_risk() -> None:
    (found,) = bom_of(waived())["vulnerabilities"]
    analysis = found["analysis"]
    assert (analysis["state"], analysis["response"]) == ("exploitable", ["will_not_fix"])
    assert analysis["detail"] == "Waived until 2026-07-01T12:00:00+00:00 by ann (waiver 7): not reachable"


def test_a_waived_rule_in_a_file_is_a_statement_about_that_file() -> None:
    bom = bom_of(waived(VULNERABLE, IN_A_FILE, waivers=(WAIVER, OF_FILE)))
    of_file = next(one for one in bom["vulnerabilities"] if one["id"] == "reverse_shell")
    assert of_file["affects"] == [{"ref": "file:scripts/run me.sh"}]
    assert "waiver 8" in of_file["analysis"]["detail"]


def test_what_cannot_be_told_is_not_called_affected() -> None:
    untold = replace(VULNERABLE, level=Verdict.INDETERMINATE, severity=Severity.UNKNOWN, cvss=None, package=SCOPED)
    (found,) = bom_of(about(untold))["vulnerabilities"]
    assert found["affects"][0]["versions"] == [{"version": "1.2.0", "status": "unknown"}]
    assert found["ratings"] == [{"severity": "unknown"}]


def test_a_verdict_that_could_not_be_given_is_in_the_document() -> None:
    properties = {one["name"]: one["value"] for one in bom_of(failed())["metadata"]["properties"]}
    assert properties["skillyard:verdict"] == "INDETERMINATE"
    assert "it crashed" in properties["skillyard:scanner:theirs"]


def test_the_same_report_gives_the_same_document() -> None:
    assert to_cyclonedx(about(VULNERABLE)) == to_cyclonedx(about(VULNERABLE))
    assert bom_of(about(VULNERABLE))["serialNumber"] != bom_of(waived())["serialNumber"]
