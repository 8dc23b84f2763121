"""A scan policy is read whole or refused with its line, and says which level every finding gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts.write_scan_policy_reference import EXAMPLE, PAGE, page
from skillyard.governance.errors import PolicyFileError
from skillyard.governance.report import Exploitation, Finding, PackageRef, Severity, Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scan_policy_file import parse_policy_file
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

JINJA = PackageRef(Ecosystem.PYPI, "jinja2", "2.10")
VULNERABLE = Finding("advisory", Verdict.FLAG, Severity.MEDIUM, "affected", JINJA, "GHSA-1", cvss=6.5)
SIGNAL = Finding("undeclared_import", Verdict.FLAG, Severity.LOW, "imports x")


def policy_of(text: str) -> ScanPolicy:
    return ScanPolicy().with_file(parse_policy_file(f'version: "1"\n{text}', file="policy.yaml"))


def test_the_settings_name_the_file_and_the_file_says_more_than_they(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('version: "1"\nblock_at: critical\nprivate_names: [acme-*]\nrules:\n  undeclared_import: block\n')
    settings = Settings(scan_policy=file, advisories_max_age_days=3, source_builds="allow", minimum_release_age_days=2)
    policy = ScanPolicy.from_settings(settings)
    assert (policy.block_at, policy.private_names) == (Severity.CRITICAL, ("acme-*",))
    assert policy.rules == {"undeclared_import": Verdict.BLOCK}
    assert (policy.max_age, policy.source_builds, policy.minimum_release_age_days) == (timedelta(days=3), True, 2)
    file.write_text('version: "1"\nmax_age_days: 1.5\nminimum_release_age_days: 14\n')
    stricter = ScanPolicy.from_settings(settings)
    assert (stricter.max_age, stricter.minimum_release_age_days) == (timedelta(days=1.5), 14)


def test_a_policy_file_that_is_gone_is_an_error_and_not_the_default(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="cannot be read"):
        ScanPolicy.from_settings(Settings(scan_policy=tmp_path / "gone.yaml"))


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ('version: "2"', 1, "version"),
        ("block_at: high", 1, "version"),
        ('version: "1"\nblok_at: high', 2, "blok_at"),
        ('version: "1"\nblock_at: awful', 2, "block_at"),
        ('version: "1"\nblock_at: unknown', 2, "block_at"),
        ('version: "1"\nblock_at_cvss: 11', 2, "block_at_cvss"),
        ('version: "1"\nblock_at_cvss: nan', 2, "block_at_cvss"),
        ('version: "1"\nmax_age_days: "0"', 2, "max_age_days"),
        ('version: "1"\nrules:\n  advisory: flag\n  source_build: forgive', 4, "rules.source_build"),
        ('version: "1"\nrules:\n  advisory: flag\n  undeclared_imports: flag', 4, "rules.undeclared_imports"),
        ('version: "1"\nrules:\n  "no rule": flag', 3, "rules.no rule"),
        ('version: "1"\nprivate_names:\n  - acme-*\n  - ""', 4, "private_names.1"),
        ('version: "1"\nscanner_timeout: soon', 2, "scanner_timeout"),
        ('version: "1"\nrules: &a {}', 2, None),
        ("- not a mapping", 1, None),
        ("", 1, None),
    ],
)
def test_what_is_wrong_names_its_line_and_field(text: str, line: int, field: str | None) -> None:
    with pytest.raises(PolicyFileError) as raised:
        parse_policy_file(text, file="policy.yaml")
    assert (raised.value.file, raised.value.line, raised.value.field) == ("policy.yaml", line, field)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_refused_as_one(text: str) -> None:
    try:
        assert parse_policy_file(text, file="f").version == "1"
    except PolicyFileError:
        return


def test_a_misspelt_rule_says_which_may_be_meant_and_those_of_plug_ins_are_taken() -> None:
    with pytest.raises(PolicyFileError, match="is undeclared_import "):
        policy_of("rules: {undeclared_imports: block}")
    assert policy_of('rules: {"acme-scan:left_pad": block}').rules == {"acme-scan:left_pad": Verdict.BLOCK}


def test_a_score_can_block_what_its_severity_would_only_flag() -> None:
    assert ScanPolicy().level_of(VULNERABLE) is Verdict.FLAG
    assert policy_of("block_at_cvss: 6.5").level_of(VULNERABLE) is Verdict.BLOCK
    assert policy_of("block_at_cvss: 6.6").level_of(VULNERABLE) is Verdict.FLAG
    assert policy_of("block_at_cvss: 1").level_of(replace(VULNERABLE, cvss=None)) is Verdict.FLAG


def test_what_attackers_use_already_can_block() -> None:
    used = replace(VULNERABLE, exploitation=Exploitation(kev_added=date(2026, 1, 1)))
    probable = replace(VULNERABLE, exploitation=Exploitation(epss=0.99))
    assert [ScanPolicy().level_of(one) for one in (used, probable)] == [Verdict.FLAG, Verdict.FLAG]
    strict = policy_of("block_known_exploited: true")
    assert [strict.level_of(one) for one in (used, probable)] == [Verdict.BLOCK, Verdict.FLAG]


@pytest.mark.parametrize("block_at", ["critical", "high", "medium", "low"])
def test_unknown_severity_counts_as_high(block_at: str) -> None:
    unknown = replace(VULNERABLE, severity=Severity.UNKNOWN, cvss=None)
    expected = Verdict.FLAG if block_at == "critical" else Verdict.BLOCK
    assert policy_of(f"block_at: {block_at}").level_of(unknown) is expected


@pytest.mark.parametrize("level", ["pass", "flag", "block", "indeterminate"])
def test_a_rule_gets_the_level_that_is_written(level: str) -> None:
    assert policy_of(f"rules: {{undeclared_import: {level}}}").level_of(SIGNAL).name == level.upper()


def test_no_policy_lets_malware_pass_or_takes_what_cannot_be_told_for_known() -> None:
    lenient = policy_of("block_at: critical\nrules: {advisory: pass, malicious_package: pass}")
    malware = replace(VULNERABLE, advisory="MAL-2025-1", severity=Severity.UNKNOWN)
    named_otherwise = replace(VULNERABLE, advisory="GHSA-1", aliases=("MAL-2025-1",))
    assert lenient.level_of(malware) is Verdict.BLOCK
    assert lenient.level_of(named_otherwise) is Verdict.BLOCK
    undetermined = replace(VULNERABLE, rule="advisory_undetermined", level=Verdict.INDETERMINATE)
    assert lenient.level_of(undetermined) is Verdict.INDETERMINATE


def test_the_digest_changes_with_whatever_a_policy_says() -> None:
    texts = (
        "",
        "block_at: low",
        "block_at_cvss: 7",
        "block_known_exploited: true",
        "max_age_days: 2",
        "rules: {'a:b': flag}",
        "rules: {'a:b': block}",
        "required_scanners: [ours]",
        "scanner_timeout: 5",
        "private_names: [a]",
        "known_names: [a]",
        "minimum_release_age_days: 1",
    )
    assert len({policy_of(text).digest for text in texts}) == len(texts)
    assert policy_of("private_names: [b, a]").digest == policy_of("private_names: [a, b]").digest


def test_the_reference_is_written_from_the_code_and_its_example_is_read() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()
    assert ScanPolicy().with_file(parse_policy_file(EXAMPLE, file="example.yaml")).rules
