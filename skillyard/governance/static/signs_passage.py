"""What signs stand together in one passage of a text, and how much that weighs."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skillyard.governance.static.signs_deeds import DEEDS, ENROLLED, FAVOURED, MODE, PASTED, UNGUARDED
from skillyard.governance.static.signs_seen import seen, sentences
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
    QUIET,
    SCRIPTED,
    SENT,
    SIGNS,
    TRACES,
    UNASKED,
    UNTOLD,
    WEAK,
    Seen,
)
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import View
from skillyard.governance.static.words_context import outline, place

_ANCHORS: Final = (*COVERT, PRIORITY, KEPT, JUDGED, OBEYED, LOOSENED, PAID, TRACES, PRIVATE, *DEEDS)
"""What a passage is looked at for; the others are only looked for around them."""
_NEAR: Final = 450
_ALONE: Final = 1.5
"""From which weight on an anchor is looked at that has no other near it."""
_SLY: Final = frozenset({"untold", "lied", "judged", "kept", "paid", "priority", "replaced"})
_ACTS: Final = frozenset(
    {"sent", "private", "destroyed", "loosened", "installed", "paid", "extracted", "exposed", "enrolled"}
)
_IN_WORDS: Final = frozenset(DEEDS) - {UNGUARDED, ENROLLED, PASTED, FAVOURED}
"""Deeds that are told in sentences: what looks like them in code is code."""
_DEED_KINDS: Final = frozenset(sign.kind for sign in DEEDS) - {"private"}
_PROSE: Final = (None, "", "text", "txt", "md", "markdown", "plain", "plaintext", "json", "yaml")
_WAITS: Final = re.compile(
    r"\b(?:after|once|until|unless|when|if|only|whether|before|where|make sure|confirm(?: that)?|check(?: that)?)\b[^.\n]{0,24}$",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"(?<!!)\[[^\]\n]{0,200}\]\([^\n]{0,12}\Z")
_OWN_MAIL: Final = re.compile(r"\b(?:you|your\w*|me|user|username|name|my\w*)@\w", re.IGNORECASE)
_REFUSED: Final = re.compile(
    r"\b(?:never|do not|don['’]t|must not|cannot|may not|should not|refuse to)\b[^.\n]*$", re.IGNORECASE
)
_PROTECTED: Final = re.compile(
    r"\b(?:print|echo|log|display|show|read|commit|paste|expose|reveal|includ|output|store|shar|quot|writ|put|ask)\w*\b[^.\n]{0,40}"
    r"\b(?:(?:private |api |secret )?keys?|tokens?|secrets?|passwords?|credentials?|(?:their |its |the )?values?|id_(?:rsa|ed25519))\b|\.env\b",
    re.IGNORECASE,
)
_WARNED: Final = re.compile(
    r"\b(?:never|avoid|do not|don['’]t|must not|refuse|instead of|leave|keep)\b[^.\n]{0,60}(?:empty|auto-?approve|bypass|skip|disable|dangerously|Bash\(\*|--no-verify|turn(?:ing)? off|verify)|\b(?:empty|only in (?:a )?(?:throw-?away|container|sandbox|vm)\w*)\b",
    re.IGNORECASE,
)
_PUBLIC: Final = re.compile(r"\.pub\b|\bpublic keys?\b|/\*\.pub|known_hosts|\.ssh/config", re.IGNORECASE)
_PRINTED: Final = re.compile(
    r"\b(?:print|echo|log|commit|paste|expose|store|read)\w*\b[^.\n]{0,20}\b(?:them|it|those|these)\b", re.IGNORECASE
)
_CONSENTS: Final = re.compile(
    r"\b(?:ask|asks|asked|check with|confirm(?:s|ed)? with|offer|show|tell|warn|inform)\b (?:\w+ ){0,2}(?:user|person|them|customer|operator|owner|the \w+)\b[^.\n]{0,60}\b(?:first|before|whether|if|for (?:confirmation|approval|permission|consent)|and wait)\b"
    r"|\b(?:after|once|until|unless|only (?:if|when|after)|when|if) (?:the )?(?:user|person|they|customer|operator|owner)(?: \w+){0,2} (?:has |have |had )?(?:explicitly )?(?:confirm|approv|agree|consent|accept|ask|says? (?:so|yes)|said|want|request|opt)\w*"
    r"|\b(?:needs?|requires?|get|wait for|with) (?:the |an? )?(?:user|person|explicit|their)(?:'s)? (?:\w+ )?(?:to (?:type|confirm|approve)|approval|confirmation|consent|permission)\b|\bon request\b|\bafter (?:asking|confirmation|approval|a yes|they agree)\b|\bask (?:first|before)\b|\bopt-?in\b",
    re.IGNORECASE,
)
_UNASKED_KINDS: Final = frozenset({"unasked", "lied", "pressed", "mode"})
_CONSENT: Final = 1.0
"""What a passage weighs less in which the person is asked."""
TAKEN_AWAY: Final = (
    frozenset({"sent", "exposed", "enrolled"}),
    frozenset({"private", "data", "context", "searched"}),
    frozenset({"quiet", "untold", "scripted", "lied", "unasked"}),
)
"""Something of the person's goes somewhere, and that is not to be talked about."""
_BRUSHES: Final = frozenset({"unasked", "untold", "pressed", "forever", "pasted"})
_BRUSHED: Final = 0.5
"""What it adds that protection goes and nobody is asked, or somebody is talked into it."""
_WHEN: Final = 1.0
"""What it adds that something of weight begins at a sign or a date."""
_VAGUE: Final = 0.25
_LEAST: Final = 2.5
_SAME: Final = 12
"""Characters by which two signs may differ in place and still be the same words."""
_AGAIN: Final = 0.75
_MOST_AGAIN: Final = 2
_MOST_PASSAGES: Final = 60
_TRUSTED: Final = frozenset({Host.PRIVATE, Host.API, Host.OPEN, Host.INSTALLER, Host.REPOSITORY})


@dataclass(frozen=True, slots=True)
class Passage:
    view: View
    signs: tuple[Seen, ...]
    """One of each kind, in the order of the text."""
    lessened: float = 0.0
    """What it weighs less because it is spread over files."""
    repeated: int = 0
    """How often a deed is said once more in other words: what is said twice is meant."""

    @property
    def weight(self) -> float:
        return sum(one.sign.weight for one in self.signs) + self._insisted

    @property
    def _insisted(self) -> float:
        return _AGAIN * min(self.repeated, _MOST_AGAIN)

    @property
    def counts(self) -> float:
        """What the passage weighs towards a block: general signs only count beside one that is hardly ever honest."""
        sly = bool(self.kinds & _SLY) or all(self.kinds & some for some in TAKEN_AWAY)
        extra = _WHEN if self.kinds & {"triggered", "gated"} and self.kinds & _ACTS else 0.0
        extra += _BRUSHED if "loosened" in self.kinds and self.kinds & _BRUSHES else 0.0
        counts = max(self.definite + extra, self.weight - _VAGUE if sly and self.definite >= _LEAST else 0.0)
        return counts - self.lessened

    @property
    def definite(self) -> float:
        """The weight without what is only said in a general way."""
        return sum(one.sign.weight for one in self.signs if one.sign not in WEAK) + self._insisted

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
    words = sentences(view.text)
    anchors = sorted((one for sign in _ANCHORS for one in seen(words, sign)), key=lambda one: (one.start, one.end))
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
        reached = min(last, anchor.end + _NEAR)
        yield _passage(view, words, around, first, last, guarded)


def lone_signs(view: View) -> dict[str, Seen]:
    """The first of each definite kind anywhere in a short text."""
    words = sentences(view.text)
    found: dict[str, Seen] = {}
    for sign in (*SIGNS, *DEEDS, QUIET, SCRIPTED):
        one = next((one for one in seen(words, sign) if _meant(view, one, guarded=False)), None)
        if one is not None:
            found.setdefault(sign.kind, one)
    return found


def _passage(  # noqa: PLR0917 - where it is, and what was prepared of the text
    view: View, words: str, anchors: list[Seen], first: int, last: int, guarded: bool
) -> Passage:
    rest = (one for sign in SIGNS if sign not in _ANCHORS for one in seen(words, sign, first, last))
    kinds: dict[str, Seen] = {}
    repeated = 0
    ended: dict[str, int] = {}
    for one in sorted([*anchors, *rest], key=lambda one: one.start):
        if one.sign.kind not in kinds and _meant(view, one, guarded):
            kinds[one.sign.kind] = one
            ended[one.sign.kind] = one.end
        elif (
            one.sign.kind in _DEED_KINDS
            and one.start >= ended.get(one.sign.kind, one.end)
            and _meant(view, one, guarded)
        ):
            repeated += 1
            ended[one.sign.kind] = one.end
    for sign, definite in WEAK.items():
        if definite is None or definite.kind not in kinds:
            found = next((one for one in seen(words, sign, first, last) if _meant(view, one, guarded)), None)
            if found:
                kinds[sign.kind] = found
    for kind, one in list(kinds.items()):
        if any(
            other.sign is not one.sign
            and abs(other.start - one.start) <= _SAME
            and abs(other.end - one.end) <= _SAME
            and (other.sign.weight, other.sign.kind) > (one.sign.weight, kind)
            for other in kinds.values()
        ):
            del kinds[kind]
    asks = not kinds.keys() & _UNASKED_KINDS and _CONSENTS.search(view.text, first, last) is not None
    found_signs = tuple(sorted(kinds.values(), key=lambda one: one.start))
    return Passage(view, found_signs, lessened=_CONSENT if asks else 0.0, repeated=repeated)


def _meant(view: View, one: Seen, guarded: bool) -> bool:  # noqa: PLR0911 - one case a reason
    if one.sign in (SENT, ADDRESSED) and not _leaves(view.text[one.start : one.end + 200]):
        return False
    if one.sign is SENT and _LINK.search(view.text, one.start, one.end):
        return False  # a link that a person may follow
    where = place(view, one.start, one.end)
    if guarded and where.shown:
        return False
    if one.sign is UNASKED and _agreed(view, one):
        return False
    if one.sign in (UNTOLD, QUIET) and _protects(view, one):
        return False
    if one.sign is PRIVATE and _PUBLIC.search(view.text, one.start, one.end + 24):
        return False
    if one.sign.kind in _DEED_KINDS | {"paid", "quiet"} and view.line_text(one.start).lstrip().startswith("|"):
        return False  # a row of a table, which tells what there is
    if one.sign.kind == "loosened" and _WARNED.search(view.line_text(one.start)):
        return False
    if (one.sign in _IN_WORDS or one.sign in (QUIET, SCRIPTED)) and where.fence not in _PROSE:
        return False
    if one.sign in (*COVERT, JUDGED, PRIORITY, KEPT):
        return not (where.about_attacks or where.quoted)
    if one.sign is MODE:
        return not (where.about_attacks or where.quoted)
    return not (where.about_attacks or where.negated)


def _agreed(view: View, one: Seen) -> bool:
    """Whether somebody's consent is waited for, rather than claimed."""
    before = view.text[max(0, one.start - 90) : one.start]
    refused = "without" in view.text[one.start : one.start + 20].lower() and _REFUSED.search(before) is not None
    return refused or _WAITS.search(before[-40:]) is not None


def _protects(view: View, one: Seen) -> bool:
    """Whether it is the secret itself that is not to be shown."""
    if _PROTECTED.search(view.text[one.start : one.end + 60]):
        return True
    them = _PRINTED.search(view.text[one.start : one.end + 20]) is not None
    return them and any(one_of.search(view.text, max(0, one.start - 120), one.start) for one_of in PRIVATE.patterns)


def _leaves(text: str) -> bool:
    """Whether an address there belongs to nobody that everybody knows."""
    if _OWN_MAIL.search(text):
        return False
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
