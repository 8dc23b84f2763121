"""Second engines from the command line: which are there, how they get there, and what a scan says without one."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli

NOT_THERE = "is not installed"


def vulnerable(folder: Path) -> Path:
    skill = folder / "demo-skill"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nname: demo-skill\ndescription: Scan me.\n---\nRun.\n")
    (skill / "requirements.txt").write_text("six==1.16.0\n")
    return skill


def test_what_scans_run_and_is_not_there_is_exit_code_5_and_installing_mends_it(cli: Cli, tmp_path: Path) -> None:
    folder = str(tmp_path / "engines")
    listed = cli("engines", "list", "--json", engines_folder=folder)
    assert listed.code == 5
    by_name = {one["name"]: one for one in listed.document["engines"]}
    assert (by_name["pip-audit"]["in_use"], by_name["pip-audit"]["installed"]) == (True, False)
    assert (by_name["safety"]["in_use"], by_name["safety"]["installed"]) == (False, False)
    assert (by_name["npm-audit"]["in_use"], by_name["npm-audit"]["installed"]) == (False, True)
    installed = cli("engines", "install", "--json", engines_folder=folder)
    assert (installed.code, [one["installed"] for one in installed.document["engines"]]) == (0, [True])
    assert cli("engines", "list", engines_folder=folder).code == 0


def test_an_unknown_engine_is_wrong_usage_and_a_wrong_setting(cli: Cli) -> None:
    assert cli("engines", "install", "snyk").code == 2
    assert cli("engines", "list", engines='["snyk"]').code == 2


def test_a_scan_without_the_engine_that_the_settings_name_is_indeterminate(cli: Cli, tmp_path: Path) -> None:
    skill, empty = vulnerable(tmp_path), str(tmp_path / "empty")
    scanned = cli("scan", skill, "--json", engines_folder=empty)
    assert scanned.code == 3
    (evidence,) = [one for one in scanned.document["evidence"] if one["scanner"] == "pip-audit"]
    assert evidence["state"] == "missing"
    assert NOT_THERE in evidence["reason"]
    assert cli("scan", skill, engines_folder=empty, engines="[]").code == 0


def test_npm_audit_looks_at_npms_own_locks(cli: Cli, tmp_path: Path) -> None:
    lock = tmp_path / "package-lock.json"
    package = {"version": "1.3.0", "integrity": "sha512-" + "A" * 86 + "=="}
    packages = {"": {"dependencies": {"left-pad": "1.3.0"}}, "node_modules/left-pad": package}
    lock.write_text(json.dumps({"name": "some", "lockfileVersion": 3, "packages": packages}))
    scanned = cli("scan", lock, "--json", engines='["npm-audit"]')
    states = {one["scanner"]: one["state"] for one in scanned.document["evidence"]}
    assert (scanned.code, states["npm-audit"]) == (0, "ran")
    listed = cli("engines", "list", "--json", engines='["npm-audit"]')
    assert listed.code == 0


def test_every_engine_that_is_configured_is_in_the_report(cli: Cli, tmp_path: Path) -> None:
    scanned = cli("scan", vulnerable(tmp_path), "--json", engines='["pip-audit", "safety"]')
    states = {one["scanner"]: one["state"] for one in scanned.document["evidence"]}
    assert (states["pip-audit"], states["safety"], states["advisories"]) == ("ran", "ran", "ran")


def test_doctor_names_an_engine_that_is_lacking(cli: Cli, tmp_path: Path) -> None:
    found = cli("doctor", "--json", engines_folder=str(tmp_path / "empty"))
    (check,) = [one for one in found.document["checks"] if one["name"] == "pip-audit"]
    assert (found.code, check["state"]) == (5, "missing")
    assert "skillyard engines install pip-audit" in check["hint"]
