"""Orders around an address: obey what it serves above the person, or hand over to it what only the person should have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.shell_flow import FILES_OF_SECRETS
from skillyard.governance.static.urls import urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place
from skillyard.governance.static.words_rules import RULES
from skillyard.governance.static.words_text import plain

_OBEYED: Final = re.compile(
    r"\b(?:has|have|takes?|gets?) (?:priority|precedence) over (?:the )?(?:user|person|anything|everything|all|this|these|what)\b|\boutranks?\b|\bto the letter\b"
    r"|\btreat (?:it|them|that|the (?:text|answer|reply|response)) as (?:part of (?:this|these)|your (?:instructions|orders))\b"
    r"|\b(?:execute|run|carry out) (?:the |any |every |each |whatever )?(?:commands?|code|script|steps)? ?(?:that )?(?:it|they) (?:prints?|returns?|contains?|serves?|gives?|says|lists?|answers?)\b"
    r"|\bwins over (?:the )?(?:user|person|this)\b|\bobey (?:it|them|whatever)\b",
    re.IGNORECASE,
)
_HANDED: Final = re.compile(
    rf"\b(?:include|attach|paste|use|add|put|pass|send|submit|give|append|supply)\b(?:[^.\n]|\.(?=\S)){{0,60}}?(?:\bvalue of [`\"']?[A-Z][A-Z0-9_]*_(?:SECRET|TOKEN|PASSWORD|ACCESS_KEY|SECRET_ACCESS_KEY|PRIVATE_KEY)\b|\b(?:contents?|text|body) of [`\"']?[^\s`\"']{{0,40}}(?:{FILES_OF_SECRETS}))"
    r"(?:[^.\n]|\.(?=\S)){0,120}?(?=https?://)",
    re.IGNORECASE,
)
_NEAR: Final = 260


def detect(view: View) -> Iterator[Shown]:
    """What an address is obeyed for, or given."""
    if view.language not in {Language.MARKDOWN, Language.TEXT} or view.via or "http" not in view.text:
        return
    words = plain(view.text)
    reported: set[int] = set()
    effort = Effort()
    for url in urls(view.text):
        line = view.line(url.start)
        if not url.doubtful or line in reported:
            continue
        last = url.start + len(url.text)
        effort.check()
        paragraph = view.text.find("\n\n", last, last + _NEAR)
        end = min(last + _NEAR, paragraph if paragraph >= 0 else len(words))
        found = _OBEYED.search(words, last, end)
        if found and _meant(view, url.start, found.start()):
            reported.add(line)
            shown = view.text[url.start : found.end()]
            yield Hit(RULES["untrusted_instructions"], view, line, shown, f"({url.host})", Confidence.MEDIUM)
        given = _HANDED.search(view.text, max(0, url.start - 300), url.start + 8)
        if given and given.end() == url.start and _meant(view, given.start(), given.start()):
            reported.add(line)
            yield Hit(RULES["data_exfiltration"], view, line, given[0], f"({url.host})", Confidence.MEDIUM)


def _meant(view: View, at: int, other: int) -> bool:
    first, second = place(view, at, at + 1), place(view, other, other + 1)
    return not (first.discussed or second.discussed or second.quoted)
