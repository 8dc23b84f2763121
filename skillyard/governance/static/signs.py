"""Signs that stand together: the scan's answer to attacks that no rule names.

An attack can be put in any words and any language, but it has to do something, somewhere, unnoticed. Single signs of
that are ordinary (``signs_words``, ``signs_code``). In one passage, in one script, or in both together with what other
rules show, they add up: what is added, and from which weight on it blocks, is written here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from skillyard.governance.report import Confidence, Severity, Verdict
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.signs_code import is_code, signs_of
from skillyard.governance.static.signs_passage import TAKEN_AWAY, Passage, lone_signs, passages
from skillyard.governance.static.signs_words import Seen
from skillyard.governance.static.tool_texts import DESCRIBED, SPOKEN, descriptions
from skillyard.governance.static.view import Language, View

COVERT_PASSAGE: Final = Rule(
    "covert_passage",
    "a passage has the agent do together what hardly an honest text asks for",
    Severity.HIGH,
    Verdict.BLOCK,
    "Each part may be ordinary; together they take, send or change something so that the person does not learn of it.",
    "Say openly what is done, to whom what is sent, and let the person agree to it; drop what is to be kept quiet.",
)
COVERT_CODE: Final = Rule(
    "covert_code",
    "a script does together what hardly an honest script does",
    Severity.HIGH,
    Verdict.BLOCK,
    "Each part may be ordinary; together they are how programs take, send or change something unnoticed.",
    "Name the addresses in SKILL.md, let errors be seen, and read and start only what the skill is for.",
)
ADDS_UP: Final = Rule(
    "signs_add_up",
    "the text, the scripts and other findings are suspicious together",
    Severity.HIGH,
    Verdict.BLOCK,
    "None of them would be enough; attacks that are spread over files look like that.",
    "Look at the findings one by one; mend those that are not needed.",
)
RULES: Final = (COVERT_PASSAGE, COVERT_CODE, ADDS_UP)

_PASSAGE: Final = 4.0
_PLAIN_PASSAGE: Final = 5.5
_PLAIN: Final = frozenset(
    "private searched sent addressed data encoded installed run destroyed spreads forever pasted started excused defiant triggered traces renewed unverified".split()
)
"""What the work of administrators is made of. Alone it weighs less, because nothing in it keeps anything from anybody."""
_CODE: Final = 4.0
_FEW: Final = 8
_FEW_FILES: Final = 12
_SMALL: Final = 16_000
_ACROSS: Final = 0.5
"""What signs in several files weigh less than in one."""
_SHORT: Final = 4_000
_ALSO: Final = frozenset({"traces", "encoded", "obeyed", "spreads"})
_TOGETHER: Final = 5.5
_TOGETHER_IN_CODE: Final = 5.0
_OTHERS: Final = {Severity.LOW: 0.5, Severity.MEDIUM: 0.75, Severity.HIGH: 1.0, Severity.CRITICAL: 1.0}
"""What a rule adds that flags, by its severity; at most ``_MOST_OTHERS`` in all."""
_MOST_OTHERS: Final = 2.0
_BASIS: Final = 3.0
"""What the text or the scripts must weigh by themselves."""
_PAIRS: Final[dict[frozenset[str], float]] = {
    frozenset({"payee", "amount"}): 1.5,
    frozenset({"agent", "loose"}): 1.0,
    frozenset({"wrecks", "hushed"}): 1.5,
    frozenset({"mines"}): 1.5,
    frozenset({"trigger", "wrecks"}): 1.0,
    frozenset({"payee", "wrecks"}): 1.5,
    frozenset({"payee", "trigger"}): 1.0,
    frozenset({"reaches", "outgoing"}): 0.5,
    frozenset({"secrets", "outgoing"}): 1.0,
    frozenset({"decoded", "dynamic", "muted"}): 0.5,
    frozenset({"encoded_out", "secrets"}): 1.0,
    frozenset({"encoded_out", "unnamed"}): 0.5,
    frozenset({"encoded_out", "looked_up"}): 1.0,
    frozenset({"encoded_out", "foreign_token"}): 1.0,
    frozenset({"assembled", "dynamic"}): 0.5,
    frozenset({"decoded_run", "decoded"}): 1.0,
    frozenset({"fetched_run", "unnamed"}): 0.5,
    frozenset({"evades", "dynamic"}): 0.5,
    frozenset({"evades", "outgoing"}): 0.5,
}
"""What only weighs where it meets."""
_CLIENTS: Final = frozenset({"outgoing", "outgoing_known", "unnamed", "unsaid", "muted", "repeats", "encoded_out"})
"""What any client of a service has."""
_HARMS: Final = frozenset(
    "outgoing outgoing_known wrecks shell_away payee fetched_run fetches persists secrets loose mines copied reaches assembled collects patches decoded looked_up hushed".split()
)
"""One of these is there wherever something is done to anybody."""
_UNREAD: Final = frozenset(
    {"comment", "Unicode tags", "variation selectors", "zero-width characters", DESCRIBED, SPOKEN}
)
_HIDDEN: Final = 2.0
_HIDDEN_MORE: Final = 1.0
_TALKS: Final = frozenset({Language.MARKDOWN, Language.TEXT})
_ABOUT_ATTACKS: Final = re.compile(
    r"(?:security|vulnerab|injection|attack|malicious|malware|audit|red.?team|pen.?test|threat|forensic|phishing|secrets? scan|hardening|guardrail|jailbreak|suspicious)",
    re.IGNORECASE,
)
_TALKED: Final = frozenset({"prompt_override", "persona_override", "forged_message", "message_markers"})


@dataclass(frozen=True, slots=True)
class _Script:
    """A script, a piece of one, or several of them as if they were one."""

    weight: float
    view: View
    signs: tuple[Seen, ...]
    """Those of ``view``, in its order."""
    every: tuple[Seen, ...]
    """Those that the weight is of, from whichever file."""


def detect(views: tuple[View, ...], shown: tuple[Shown, ...]) -> Iterator[Shown]:
    """What the signs of a whole skill come to."""
    words = "\n".join(view.text.lower() for view in views if view.language is Language.MARKDOWN and not view.via)
    small = len({view.file for view in views}) <= _FEW_FILES
    told, talked = _heaviest(views, small=small)
    all_done = list(_done(views, words))
    spread = _spread(all_done)
    done = max([*all_done, *([spread] if spread else [])], key=lambda one: one.weight, default=None)
    blocks = False
    if told and _blocks(told):
        blocks = True
        yield _passage_hit(COVERT_PASSAGE, told)
    if done and done.weight >= _CODE:
        blocks = True
        if not _is_named(done.view, shown):
            yield _code_hit(COVERT_CODE, done)
    if not blocks:
        hit = _together(told, done, shown, small=small) or _to_be_read(told, talked, done, shown, small=small)
        if hit is not None:
            yield hit


def _to_be_read(
    told: Passage | None, talked: Passage | None, done: _Script | None, shown: tuple[Shown, ...], *, small: bool
) -> Hit | None:
    """What only a person can tell: it is all in the open, or it is only talked about."""
    if told and _counts(told) >= _PASSAGE:
        return replace(_passage_hit(COVERT_PASSAGE, told), level=Verdict.FLAG)
    if talked and _counts(talked) >= _PASSAGE:
        return replace(_passage_hit(COVERT_PASSAGE, talked), confidence=Confidence.LOW)
    hit = _together(talked, done, shown, small=small) if talked else None
    return replace(hit, confidence=Confidence.LOW) if hit else None


def _heaviest(views: tuple[View, ...], *, small: bool) -> tuple[Passage | None, Passage | None]:
    """The passage that weighs most of what is meant, one that blocks before any other, and that of what is also talk."""
    found: dict[bool, Passage] = {}
    joined = [_joined(views, talk=talk) for talk in (False, True)] if small else []
    for one in (*_told(views), *joined):
        if one is not None and (one.talked not in found or _rank(one) > _rank(found[one.talked])):
            found[one.talked] = one
    return found.get(False), found.get(True)


def _rank(passage: Passage) -> tuple[bool, float]:
    return _blocks(passage), _counts(passage)


def _blocks(passage: Passage) -> bool:
    return _counts(passage) >= _PASSAGE and not _is_in_the_open(passage)


def _is_in_the_open(passage: Passage) -> bool:
    """Whether it asks for nothing that hides, deceives or takes over: administrators write so. It is for a person to read."""
    return passage.kinds <= _PLAIN and _counts(passage) < _PLAIN_PASSAGE and not _is_unread(passage)


def _is_named(view: View, shown: tuple[Shown, ...]) -> bool:
    """Whether a rule that names the attack stops the file anyway; then nothing is to be added."""
    return any(
        isinstance(one, Hit)
        and one.view.file == view.file
        and one.counts is Verdict.BLOCK
        and one.confidence is Confidence.HIGH
        for one in shown
    )


def _told(views: tuple[View, ...]) -> Iterator[Passage]:
    guarded = is_about_attacks(views)
    for view in views:
        if view.file.endswith((".csv", ".tsv")):
            continue
        if view.language in _TALKS and not is_code(view):
            yield from passages(view, guarded and not view.via)
        elif (described := descriptions(view)) is not None:
            yield from passages(described, guarded)


def _counts(passage: Passage) -> float:
    """What people do not see when they read the skill weighs more."""
    return passage.counts + (_HIDDEN_MORE if passage.weight >= _HIDDEN and _is_unread(passage) else 0.0)


def _is_unread(passage: Passage) -> bool:
    return passage.view.file.endswith(".svg") or any(step in _UNREAD for step in passage.view.via)


def _joined(views: tuple[View, ...], *, talk: bool) -> Passage | None:
    """The short texts of a skill as if they were one: taking, sending and keeping quiet may stand in three of them."""
    texts = [view for view in views if view.language in _TALKS and not view.via and len(view.text) <= _SHORT]
    if not 1 < len(texts) <= _FEW:
        return None
    kinds: dict[str, Seen] = {}
    for view in texts:
        for kind, one in lone_signs(view, talk=talk).items():
            kinds.setdefault(kind, one)
    if not all(kinds.keys() & some for some in TAKEN_AWAY):
        return None
    wanted = frozenset().union(*TAKEN_AWAY)
    signs = tuple(one for kind, one in kinds.items() if kind in wanted | _ALSO)
    return Passage(texts[0], signs, talked=talk)


def is_about_attacks(views: tuple[View, ...]) -> bool:
    """Whether the skill says of itself that attacks are its subject."""
    main = next((view for view in views if view.file == "SKILL.md" and not view.via), None)
    head = main.text[:2000] if main else ""
    return bool(_ABOUT_ATTACKS.search(head[: head.find("\n---", 4) if "\n---" in head[4:] else 600]))


def _done(views: Iterable[View], words: str) -> Iterator[_Script]:
    for view in filter(is_code, views):
        for signs in signs_of(view, words):
            yield _Script(weight_of(signs), view, signs, signs)


def _spread(done: list[_Script]) -> _Script | None:
    """The files of a small skill as if they were one: what is spread over them belongs together all the same."""
    if not 1 < len(done) <= _FEW or sum(len(one.view.text) for one in done) > _SMALL:
        return None
    every = tuple({one.sign.kind: one for script in reversed(done) for one in script.signs}.values())
    largest = max(done, key=lambda one: one.weight)
    return _Script(weight_of(every) - _ACROSS, largest.view, largest.signs, every)


def weight_of(signs: tuple[Seen, ...]) -> float:
    kinds = {one.sign.kind for one in signs}
    if not kinds & _HARMS:
        return 0.0
    met = sum(weight for pair, weight in _PAIRS.items() if pair <= kinds)
    return sum(one.sign.weight for one in signs) + met


def _together(
    told: Passage | None,
    done: _Script | None,
    shown: tuple[Shown, ...],
    *,
    small: bool,
) -> Hit | None:
    here = {told.view.file if told else "", done.view.file if done else ""}
    others = {
        one.rule
        for one in shown
        if isinstance(one, Hit) and one.counts is Verdict.FLAG and (small or one.view.file in here)
    }
    telling = done is not None and any(one.sign.kind not in _CLIENTS for one in done.signs)
    parts = [
        _counts(told) if told else 0.0,
        done.weight if done and telling and done.weight >= 2 else 0.0,
        _others(others),
    ]
    needed = _TOGETHER if parts[0] > parts[1] else _TOGETHER_IN_CODE
    if sum(parts) < needed or max(parts[:2]) < _BASIS:
        return None
    if done and parts[1] >= parts[0]:
        return _code_hit(ADDS_UP, done)
    return _passage_hit(ADDS_UP, told) if told else None


def _others(rules: set[Rule]) -> float:
    return min(_MOST_OTHERS, sum(_OTHERS[rule.severity] for rule in rules if rule.id not in _TALKED))


def _passage_hit(rule: Rule, passage: Passage) -> Hit:
    first = passage.signs[0]
    evidence = " … ".join(passage.view.text[one.start : one.end][:60].strip() for one in passage.signs)
    line = passage.view.line(first.start)
    return Hit(rule, passage.view, line, evidence, f"({passage.told})", Confidence.MEDIUM)


def _code_hit(rule: Rule, script: _Script) -> Hit:
    view = script.view
    evidence = " … ".join(view.text[one.start : one.end][:60].strip() for one in script.signs)
    told = ", ".join(one.sign.told for one in script.every)
    return Hit(rule, view, view.line(script.signs[0].start), evidence, f"({told})", Confidence.MEDIUM)
