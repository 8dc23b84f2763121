"""Every rule has one id, is explained, and stands on the reference page."""

from __future__ import annotations

from collections import Counter

from scripts.write_scan_rules_reference import PAGE, page
from skillyard.governance.report import Verdict
from skillyard.governance.static.registry import RULES


def test_the_page_is_what_the_rules_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make reference"


def test_ids_are_unique() -> None:
    assert [name for name, count in Counter(rule.id for rule in RULES).items() if count > 1] == []


def test_every_rule_is_for_people() -> None:
    for rule in RULES:
        assert rule.id == rule.id.lower()
        assert rule.why.endswith(".")
        assert rule.fix.endswith(".")
        assert rule.level in {Verdict.BLOCK, Verdict.FLAG, Verdict.INDETERMINATE}
