"""What signs stand together in one passage of a text, and how much that weighs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skillyard.governance.static.signs_words import (
    ADDRESSED,
    COVERT,
    JUDGED,
    KEPT,
    LOOSENED,
    OBEYED,
    PAID,
    PRIORITY,
    PRIVATE,
    SENT,
    SIGNS,
    TRACES,
    WEAK,
    Seen,
    seen,
)
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import View
from skillyard.governance.static.words_context import outline, place
from skillyard.governance.static.words_text import plain

_ANCHORS: Final = (*COVERT, PRIORITY, KEPT, JUDGED, OBEYED, LOOSENED, PAID, TRACES, PRIVATE)
"""What a passage is looked at for; the others are only looked for around them."""
_NEAR: Final = 450
_ALONE: Final = 1.5
"""From which weight on an anchor is looked at that has no other near it."""
_SLY: Final = frozenset({"untold", "lied", "judged", "kept", "paid", "priority", "replaced"})
_ACTS: Final = frozenset({"sent", "private", "destroyed", "loosened", "installed", "paid"})
_WHEN: Final = 1.0
"""What it adds that something of weight begins at a sign or a date."""
_VAGUE: Final = 0.25
_LEAST: Final = 2.5
_MOST_PASSAGES: Final = 60
_TRUSTED: Final = frozenset({Host.PRIVATE, Host.API, Host.OPEN, Host.INSTALLER, Host.REPOSITORY})


@dataclass(frozen=True, slots=True)
class Passage:
    view: View
    signs: tuple[Seen, ...]
    """One of each kind, in the order of the text."""

    @property
    def weight(self) -> float:
        return sum(one.sign.weight for one in self.signs)

    @property
    def counts(self) -> float:
        """What the passage weighs towards a block: general signs only count beside one that is hardly ever honest."""
        sly = bool(self.kinds & _SLY)
        extra = _WHEN if "triggered" in self.kinds and self.kinds & _ACTS else 0.0
        return max(self.definite + extra, self.weight - _VAGUE if sly and self.definite >= _LEAST else 0.0)

    @property
    def definite(self) -> float:
        """The weight without what is only said in a general way."""
        return sum(one.sign.weight for one in self.signs if one.sign not in WEAK)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(one.sign.kind for one in self.signs)

    @property
    def told(self) -> str:
        return ", ".join(one.sign.told for one in self.signs)


def passages(view: View, guarded: bool = False) -> Iterator[Passage]:
    """Where signs stand close together, a passage for each anchor that is in none before.

    ``guarded`` is a skill about attacks, which quotes them: there only what is neither quoted nor shown in a fence counts.
    """
    words = plain(view.text)
    lowered = words.lower()
    if len(lowered) != len(words):
        lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in words)
    anchors = sorted(
        (one for sign in _ANCHORS for one in seen(lowered, words, sign)), key=lambda one: (one.start, one.end)
    )
    borders = _borders(view)
    reached = -1
    count = 0
    for number, anchor in enumerate(anchors):
        if anchor.start < reached:
            continue
        section = bisect_right(borders, anchor.start) - 1
        first = max(borders[section], anchor.start - _NEAR)
        last = min(borders[section + 1], anchor.end + _NEAR * 2)
        around = [one for one in anchors[max(0, number - 40) : number + 200] if first <= one.start < last]
        if len({one.sign.kind for one in around}) < 2 and anchor.sign.weight < _ALONE:
            continue
        count += 1
        if count > _MOST_PASSAGES:
            return
        reached = anchor.end + _NEAR
        yield _passage(view, words, lowered, around, first, last, guarded)


def _passage(  # noqa: PLR0917 - where it is, and what was prepared of the text
    view: View, words: str, lowered: str, anchors: list[Seen], first: int, last: int, guarded: bool
) -> Passage:
    rest = (one for sign in SIGNS if sign not in _ANCHORS for one in seen(lowered, words, sign, first, last))
    kinds: dict[str, Seen] = {}
    for one in sorted([*anchors, *rest], key=lambda one: one.start):
        if one.sign.kind not in kinds and _meant(view, one, guarded):
            kinds[one.sign.kind] = one
    for sign, definite in WEAK.items():
        if definite is None or definite.kind not in kinds:
            found = next((one for one in seen(lowered, words, sign, first, last) if _meant(view, one, guarded)), None)
            if found:
                kinds[sign.kind] = found
    return Passage(view, tuple(sorted(kinds.values(), key=lambda one: one.start)))


def _meant(view: View, one: Seen, guarded: bool) -> bool:
    if one.sign in (SENT, ADDRESSED) and not _leaves(view.text[one.start : one.end + 200]):
        return False
    if one.sign is SENT and "](" in view.text[max(one.start, one.end - 12) : one.end]:
        return False  # a link that a person may follow
    where = place(view, one.start, one.end)
    if guarded and where.shown:
        return False
    if one.sign in (*COVERT, JUDGED, PRIORITY, KEPT):
        return not (where.about_attacks or where.quoted)
    return not (where.about_attacks or where.negated)


def _leaves(text: str) -> bool:
    """Whether an address there belongs to nobody that everybody knows."""
    named = list(urls(text))
    return not named or any(one.kind not in _TRUSTED for one in named)


def _borders(view: View) -> list[int]:
    """Where sections begin, and the end."""
    outlined = outline(view)
    found = [0]
    for number, start in enumerate(view.starts):
        if outlined.fences[number] is None and view.text.startswith("#", start) and number:
            found.append(start)
    return [*found, len(view.text) + 1]
