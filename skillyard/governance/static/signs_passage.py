"""What signs stand together in one passage of a text, and how much that weighs."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from skillyard.governance.static.budget import Effort
from skillyard.governance.static.signs_deeds import DEEDS, ENROLLED, FAVOURED, MODE, PASTED, UNGUARDED
from skillyard.governance.static.signs_fronts import ELSEWHERE, FRONTS, SENT_ELSEWHERE, UNTOLD_ELSEWHERE
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
    Sign,
)
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import View
from skillyard.governance.static.words_context import Place, outline, place

_ANCHORS: Final = (
    *COVERT,
    PRIORITY,
    KEPT,
    JUDGED,
    OBEYED,
    LOOSENED,
    PAID,
    TRACES,
    PRIVATE,
    *DEEDS,
    *FRONTS,
    *ELSEWHERE,
)
"""What a passage is looked at for; the others are only looked for around them."""
_NEAR: Final = 450
_ALONE: Final = 1.5
"""From which weight on an anchor is looked at that has no other near it."""
_SLY: Final = frozenset({"untold", "lied", "judged", "kept", "paid", "priority", "replaced", "two_faced", "forged"})
_ACTS: Final = frozenset(
    {"sent", "private", "destroyed", "loosened", "installed", "paid", "extracted", "exposed", "enrolled"}
)
_IN_WORDS: Final = frozenset((*DEEDS, *FRONTS)) - {UNGUARDED, ENROLLED, PASTED, FAVOURED}
"""Deeds that are told in sentences: what looks like them in code is code."""
_DEED_KINDS: Final = frozenset(sign.kind for sign in (*DEEDS, *FRONTS)) - {"private"}
_SAID_OF_NOT: Final = frozenset((*COVERT, UNTOLD_ELSEWHERE, JUDGED, PRIORITY, KEPT, MODE))
"""What is said with "not" and "never" itself."""
_PROSE: Final = (None, "", "text", "txt", "md", "markdown", "plain", "plaintext", "json", "yaml")
_WAITS: Final = re.compile(
    r"\b(?:after|once|until|unless|when|if|only|whether|before|where|make sure|confirm(?: that)?|check(?: that)?)\b[^.\n]{0,24}$",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"(?<!!)\[[^\]\n]{0,200}\]\([^\n]{0,12}\Z")
_OWN_MAIL: Final = re.compile(
    r"\b(?:you|your\w*|me|user|username|name|my\w*)@\w|\b[\w.+-]{1,40}@[\w.-]{0,60}\.(?:local|lan|internal|intranet|home\.arpa)\b",
    re.IGNORECASE,
)
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
_MAKES_KEYS: Final = re.compile(r"\bssh-(?:keygen|copy-id|add)\b[^\n`]{0,100}\Z")
"""Makes a pair of keys, or hands out the public one."""
_RED_FLAG: Final = re.compile(r"(?:changed|new|bank|payment|payee|account)\b", re.IGNORECASE)
_SET_ASIDE: Final = re.compile(
    r"\b(?:flag|label|hold|warn|verify|suspicious|phish\w*|fraud\w*|scam\w*|calls? back|listed|ask|never pay|report|stop)\b",
    re.IGNORECASE,
)
_NAMED_ONLY: Final = re.compile(r"\b(?:curl|wget)\s*(?:-\w+\s*){0,3}(?:…|\.\.\.|\|)")
"""A habit that is spoken of: there is nothing that it would fetch."""
_THEY: Final = re.compile(r"\b(?:they|it|mails?|messages?|people|users?|customers?|who|that|which)\s\Z", re.IGNORECASE)
_LABEL: Final = re.compile(
    r"[\s>*+_-]{0,8}(?:does(?: not|n['’]t)(?: belong)?|do not|don['’]ts?|never|not|avoid|leave out|keep out|nicht|niemals|nunca|jamais|never (?:do|write|include))[\s*_]{0,4}[:：]",
    re.IGNORECASE,
)
"""What begins a line that lists what is not wanted."""
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
_HIDES: Final = frozenset({"untold", "lied", "two_faced", "forged"})
_BEHIND: Final = (
    (_HIDES, frozenset({"sent", "enrolled", "exposed"}), 0.5),
    (frozenset({"enrolled"}), frozenset({"traces", "sent"}), 0.5),
    (frozenset({"exempted", "judged"}), frozenset({"lied", "forged", "untold", "quiet"}), 0.5),
)
"""What it adds that something is done and, in the same passage, covered up."""
_VAGUE: Final = 0.25
_LEAST: Final = 2.5
_SAME: Final = 12
"""Characters by which two signs may differ in place and still be the same words."""
_PART: Final = 60_000
_SHARED: Final = 4_000
"""Characters that a part has in common with the next: more than a sign and what is looked at around it."""
_AGAIN: Final = 0.75
_MOST_AGAIN: Final = 2
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
    talked: bool = False
    """Whether signs in it are only talked about. Headings and quotation marks cost a liar nothing: it is worth a look."""

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
        extra += max((more for hides, hands, more in _BEHIND if self.kinds & hides and self.kinds & hands), default=0.0)
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

    ``guarded`` is a skill about attacks, which quotes them: there what is quoted or shown in a fence is talk. A passage
    that has talk in it comes twice: without it, and with it.
    """
    words = sentences(view.text)
    borders = _borders(view)
    effort = Effort(view.file, of_signs=True)
    reached = -1
    for begin, end in _parts(len(words)):
        part = _Part(words[begin:end], begin)
        anchors = sorted(_anchors(part, effort), key=lambda one: (one.start, one.end))
        starts = [one.start for one in anchors]
        for anchor in anchors:
            if anchor.start < reached or not part.has_around(anchor, len(words)):
                continue
            effort.check()
            section = bisect_right(borders, anchor.start) - 1
            first = max(borders[section], anchor.start - _NEAR)
            last = min(borders[section + 1], anchor.end + _NEAR * 2)
            around = anchors[bisect_left(starts, first) : bisect_left(starts, last)]
            if len({one.sign.kind for one in around}) < 2 and anchor.sign.weight < _ALONE:
                continue
            reached = min(last, anchor.end + _NEAR)
            reader = _Reader(view, guarded)
            yield _passage(reader, part, around, first, last)
            if reader.passed_over:
                yield replace(_passage(_Reader(view, guarded, talk=True), part, around, first, last), talked=True)


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of a text. Of a long one all signs at once would take more memory than a scan has."""

    words: str
    begin: int

    def seen(self, sign: Sign, first: int, last: int) -> Iterator[Seen]:
        for one in seen(self.words, sign, max(0, first - self.begin), min(last - self.begin, len(self.words))):
            yield Seen(sign, one.start + self.begin, one.end + self.begin)

    def has_around(self, anchor: Seen, length: int) -> bool:
        """Whether all that a passage around it may hold is in this part; otherwise it is in the one before or after."""
        end = self.begin + len(self.words)
        return (anchor.start - _NEAR >= self.begin or not self.begin) and (
            anchor.end + _NEAR * 2 <= end or end == length
        )


def _parts(length: int) -> Iterator[tuple[int, int]]:
    begin = 0
    while begin + _PART < length:
        yield begin, begin + _PART
        begin += _PART - _SHARED
    yield begin, length


def _anchors(part: _Part, effort: Effort) -> Iterator[Seen]:
    for sign in _ANCHORS:
        effort.check()
        yield from part.seen(sign, part.begin, part.begin + len(part.words))


def lone_signs(view: View, *, talk: bool = False) -> dict[str, Seen]:
    """The first of each definite kind anywhere in a short text; with ``talk`` also of those that are talked about."""
    words = sentences(view.text)
    reader = _Reader(view, False, talk)
    found: dict[str, Seen] = {}
    for sign in (*SIGNS, *DEEDS, *FRONTS, *ELSEWHERE, QUIET, SCRIPTED):
        one = next((one for one in seen(words, sign) if reader.means(one)), None)
        if one is not None:
            found.setdefault(sign.kind, one)
    return found


@dataclass(slots=True)
class _Reader:
    """Tells what is meant of what stands there; with ``talk`` also what is only talked about."""

    view: View
    guarded: bool
    talk: bool = False
    passed_over: bool = False
    """Whether it has met talk, and left it out."""

    def means(self, one: Seen) -> bool:
        where = _applies(self.view, one)
        if where is None:
            return False
        if self.talk or not _is_talk(self.view, one, where, self.guarded):
            return True
        self.passed_over = True
        return False


def _passage(reader: _Reader, part: _Part, anchors: list[Seen], first: int, last: int) -> Passage:
    view = reader.view
    rest = (one for sign in SIGNS if sign not in _ANCHORS for one in part.seen(sign, first, last))
    kinds: dict[str, Seen] = {}
    repeated = 0
    ended: dict[str, int] = {}
    for one in sorted([*anchors, *rest], key=lambda one: one.start):
        if one.sign.kind not in kinds and reader.means(one):
            kinds[one.sign.kind] = one
            ended[one.sign.kind] = one.end
        elif one.sign.kind in _DEED_KINDS and one.start >= ended.get(one.sign.kind, one.end) and reader.means(one):
            repeated += 1
            ended[one.sign.kind] = one.end
    for sign, definite in WEAK.items():
        if definite is None or definite.kind not in kinds:
            found = next((one for one in part.seen(sign, first, last) if reader.means(one)), None)
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


def _applies(view: View, one: Seen) -> Place | None:
    """Where a sign stands, unless what is said there is not what the sign tells: it is refused, agreed to, protected."""
    if _is_open(view, one):
        return None
    if one.sign is UNASKED and _agreed(view, one):
        return None
    if one.sign in (UNTOLD, UNTOLD_ELSEWHERE, QUIET) and _protects(view, one):
        return None
    if one.sign.kind == "loosened" and _WARNED.search(_line(view, one)):
        return None
    where = place(view, one.start, one.end)
    if (one.sign in _IN_WORDS or one.sign in (QUIET, SCRIPTED)) and where.fence not in _PROSE:
        return None
    return None if where.negated and one.sign not in _SAID_OF_NOT else where


def _is_open(view: View, one: Seen) -> bool:
    """Whether it is the ordinary thing that looks like the sign: a link, a public key, a red flag that is set aside."""
    text = view.text
    if one.sign in (SENT, SENT_ELSEWHERE, ADDRESSED):
        linked = one.sign is SENT and _LINK.search(text, one.start, one.end)
        return bool(linked) or not _leaves(text[one.start : one.end + 200])
    if one.sign is PRIVATE:
        made = _MAKES_KEYS.search(text, max(0, one.start - 120), one.start)
        return bool(made or _PUBLIC.search(text, one.start, one.end + 24))
    if one.sign is PAID:
        return bool(_RED_FLAG.match(text, one.start) and _SET_ASIDE.search(_line(view, one)))
    if one.sign is SCRIPTED:
        return bool(_THEY.search(text, max(0, one.start - 16), one.start))
    return one.sign.kind == "installed" and bool(_NAMED_ONLY.search(text, one.start, one.end))


def _is_talk(view: View, one: Seen, where: Place, guarded: bool) -> bool:
    """Whether the words are shown, or said of attacks, by how they stand there; whoever writes them decides that."""
    if where.about_attacks or (guarded and where.shown):
        return True
    if one.sign not in _SAID_OF_NOT and _LABEL.match(_line(view, one)):
        return True
    if one.sign.kind in _DEED_KINDS | {"paid", "quiet"} and _line(view, one).lstrip().startswith("|"):
        return True  # a row of a table, which tells what there is
    return one.sign in _SAID_OF_NOT and where.quoted


def _line(view: View, one: Seen) -> str:
    """The line that it stands on, as far as it is near."""
    begin = view.text.rfind("\n", 0, one.start) + 1
    return view.text[max(begin, one.start - 600) : one.start + 900].partition("\n")[0]


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
