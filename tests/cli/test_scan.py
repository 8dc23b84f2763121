"""``skillyard scan`` on whatever there is to scan, in every format; and waivers from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.cli.conftest import SKILLS, Cli, serving, skill

LEGACY = SKILLS / "legacy-fetch"


def test_the_table_names_package_advisory_fix_and_origin(cli: Cli) -> None:
    scanned = cli("scan", LEGACY)
    assert scanned.code == 1
    assert scanned.out.startswith("BLOCK  legacy-fetch 0.9.0: would not be installed\n")
    for part in ("jinja2==2.10  from SKILL.md:", "PYSEC-2019-217", "fixed in 2.10.1", "looked at by"):
        assert part in scanned.out


def test_every_format_is_written_to_standard_output_or_a_file(cli: Cli) -> None:
    sarif = cli("scan", LEGACY, "--format", "sarif")
    assert sarif.code == 1
    assert json.loads(sarif.out)["runs"][0]["properties"]["verdict"] == "BLOCK"
    written = cli("scan", LEGACY, "--format", "cyclonedx", "--output", "bom.json")
    assert (written.code, written.out) == (1, "")
    bom = (cli.folder / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    as_json = cli("scan", LEGACY, "--format", "json").document
    assert (as_json["verdict"], as_json["skill"]) == ("BLOCK", "legacy-fetch")
    assert cli("scan", LEGACY, "--json", "--format", "sarif").code == 2


def test_requirements_are_scanned_without_installing_and_offline_is_indeterminate(cli: Cli, tmp_path: Path) -> None:
    given = tmp_path / "requirements.txt"
    given.write_text("idna==2.7\n")
    offline = {"index_url": "http://127.0.0.1:9/simple"}
    scanned = cli("scan", given, "--json", **offline)
    assert (scanned.code, scanned.document["verdict"]) == (1, "BLOCK")
    assert {one["advisory"] for one in scanned.document["findings"]} == {"PYSEC-2024-60"}
    assert "packages" in {one["scanner"] for one in scanned.document["evidence"] if one["state"] == "failed"}
    given.write_text("idna>=2.7\n")
    scanned = cli("scan", given, "--json", **offline)
    assert (scanned.code, scanned.document["verdict"]) == (3, "INDETERMINATE")


def test_a_skill_that_does_not_parse_is_indeterminate_and_not_an_empty_answer(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    (folder / "SKILL.md").write_text("---\nname: [\n---\n")
    scanned = cli("scan", folder)
    assert scanned.code == 3
    assert "FAILED  skill" in scanned.out
    assert "SKILL.md" in scanned.out


def test_a_policy_file_judges_one_scan_and_a_wrong_one_is_refused(cli: Cli) -> None:
    policy = cli.folder / "policy.yaml"
    policy.write_text('version: "1"\nblock_at: critical\nrequired_scanners: [theirs]\n')
    scanned = cli("scan", LEGACY, "--policy", policy, "--json")
    assert (scanned.code, scanned.document["verdict"]) == (3, "INDETERMINATE")
    assert {one["level"] for one in scanned.document["findings"] if one["advisory"]} <= {"FLAG", "BLOCK"}
    policy.write_text('version: "1"\nblock_at: awful\n')
    refused = cli("scan", LEGACY, "--policy", policy)
    assert refused.code == 2
    assert f"{policy}:2: block_at" in refused.err
    assert cli("serve", "--port", "0", scan_policy=str(policy)).code == 2


def test_a_waived_advisory_lets_a_skill_in_and_is_in_its_bill_of_materials(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, python="idna==2.7")
    with serving(cli) as server:
        assert server("install", folder).code == 1
        about = ("--package", "idna==2.7", "--advisory", "CVE-2024-3651", "--reason", "not reachable")
        given = server("waivers", "add", *about, "--expires-days", "30", "--json")
        assert given.code == 0
        assert server("install", folder).code == 0
        listed = server("waivers", "list")
        assert "CVE-2024-3651 in idna==2.7" in listed.out
        shown = server("report", "adder")
        assert shown.code == 0
        assert "waived by" in shown.out
        bom = json.loads(server("report", "adder", "--format", "cyclonedx").out)
        assert [one["analysis"]["state"] for one in bom["vulnerabilities"]] == ["exploitable"]
        malware = server("waivers", "add", *about[:2], "--advisory", "MAL-2025-1", *about[4:], "--expires-days", "1")
        assert "nothing waives that" in malware.err
        assert server("waivers", "revoke", str(given.document["id"])).code == 0
        assert server("report", "adder").code == 1
