"""What detectors make of one text, as the rules that apply and what the strongest hit of each does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skillyard.governance.report import Verdict
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.languages import language_of
from skillyard.governance.static.view import View


def view(text: str, file: str = "SKILL.md", via: tuple[str, ...] = ()) -> View:
    return View(file, text, language_of(file, text), via=via)


def levels(detect: Callable[[View], Iterable[Shown]], seen: View) -> dict[str, Verdict]:
    """Each rule that applies, with the strongest of what its hits do."""
    strongest: dict[str, Verdict] = {}
    for one in detect(seen):
        if isinstance(one, Hit):
            strongest[one.rule.id] = max(strongest.get(one.rule.id, Verdict.PASS), one.counts)
    return strongest


def verdict(detect: Callable[[View], Iterable[Shown]], seen: View) -> Verdict:
    return max(levels(detect, seen).values(), default=Verdict.PASS)
