"""Writes ``docs/reference/scan-rules.md`` from the rules of the static scan (``make reference``).

It is committed, because people read it on the web; a test fails when it is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from skillyard.governance.static.registry import RULES
from skillyard.governance.static.rule import Rule

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/scan-rules.md"

_PAGE = """\
# Rules of the static scan

Every rule by its id, which does not change between releases. This page is written by `make reference` from the rules
themselves. How the scan works is in [Static scan](../concepts/static-scan.md).

A rule's level is what a hit does unless the policy says otherwise. A hit of low confidence (words that are quoted,
warned of or explained; commands in a guide to attacks) is a FLAG at most, whatever the rule's level.

| rule | level | severity | what it says | why it matters | what to do |
| --- | --- | --- | --- | --- | --- |
{rules}
"""


def page(rules: Iterable[Rule] = RULES) -> str:
    """The text of ``docs/reference/scan-rules.md``."""
    listed = sorted({rule.id: rule for rule in rules}.values(), key=lambda rule: rule.id)
    lines = (
        f"| `{rule.id}` | {rule.level.name} | {rule.severity} | {rule.title} | {rule.why} | {rule.fix} |"
        for rule in listed
    )
    return _PAGE.format(rules="\n".join(lines))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
