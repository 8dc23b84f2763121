"""The report that people read: what, where, why and what to do, and nothing that a terminal would act on."""

from __future__ import annotations

from dataclasses import replace

from skillyard.governance.formats.text import report_lines, to_text
from skillyard.governance.report import Verdict
from tests.governance.formats.scanned import IN_A_FILE, VULNERABLE, about, failed, waived


def test_a_finding_says_where_what_was_seen_why_and_how_to_mend_it() -> None:
    text = to_text(about(IN_A_FILE)).decode()
    assert text.startswith("BLOCK  demo 1.2.0: would not be installed\n")
    place = text[text.index("scripts/run me.sh") :]
    for part in ("line 3: bash -i", str(IN_A_FILE.why), str(IN_A_FILE.fix), "waivers add --rule reverse_shell"):
        assert part in place


def test_a_package_says_who_asked_for_it_and_what_fixes_it() -> None:
    text = to_text(about(VULNERABLE)).decode()
    assert "jinja2==2.10  from requirements.txt:2" in text
    assert "known to be exploited; fixed in 2.10.1" in " ".join(text.split())


def test_a_waived_finding_is_still_there_with_its_waiver() -> None:
    text = " ".join(to_text(waived()).decode().split())
    assert "FLAG demo 1.2.0" in text
    assert "WAIVED PYSEC-2019-217" in text
    assert "waived by ann until 2026-07-01: not reachable" in text


def test_what_could_not_be_looked_at_comes_first_among_the_evidence() -> None:
    lines = list(report_lines(failed()))
    assert lines[0].startswith("INDETERMINATE")
    looked = lines[lines.index("looked at by") + 1 :]
    assert looked[0].split() == ["FAILED", "theirs", "2:", "it", "crashed"]


def test_what_a_policy_made_of_a_finding_is_said() -> None:
    passed = replace(IN_A_FILE, level=Verdict.PASS, said=Verdict.BLOCK)
    made = about()
    shown = replace(made, report=replace(made.report, findings=(passed,)))
    text = " ".join(to_text(shown).decode().split())
    assert "the policy makes it PASS, its scanner says BLOCK" in text


def test_many_places_of_one_rule_are_counted_and_not_a_page_each() -> None:
    found = [replace(IN_A_FILE, line=number, evidence=f"seen {number}") for number in range(1, 41)]
    text = to_text(about(*found)).decode()
    assert "and 35 more; --format json lists all" in text
    assert text.count(str(IN_A_FILE.why)) == 1


def test_foreign_text_cannot_act_on_the_terminal_and_lines_fit_it() -> None:
    evil = replace(IN_A_FILE, message="\x1b[2Jgone\r\n\u202egnp", evidence="\x1b]0;title\x07", file="a\x1b[31m.sh")
    for line in report_lines(about(evil), 60):
        assert line.isprintable()
        assert len(line) <= 60 or max(map(len, line.split())) > 40
