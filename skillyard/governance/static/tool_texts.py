"""What tools say of themselves to an agent: a description that gives orders is an attack on whoever offers the tool.

The description of a server's tool is put before the agent in every session, and no person reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import Language, View

DESCRIBED: Final = "a tool's description"
SPOKEN: Final = "its strings"
POISONED: Final = Rule(
    id="poisoned_tool",
    title="the description of a tool gives an agent orders",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="An agent reads what its tools say of themselves as instructions; no person ever sees it.",
    fix="Say what the tool does and what its arguments mean, and nothing else.",
)
RULES: Final = (POISONED,)

_STATED: Final = re.compile(
    r"[\"']?\bdescription[\"']?\s*[:=]\s*\(?\s*(`(?:[^`\\]|\\.){40,4000}`|\"(?:[^\"\\\n]|\\.){40,4000}\"|'(?:[^'\\\n]|\\.){40,4000}')"
)
_STRINGS: Final = re.compile(r"`(?:[^`\\]|\\.){50,4000}`|\"(?:[^\"\\\n]|\\.){50,4000}\"|'(?:[^'\\\n]|\\.){50,4000}'")
_WORD: Final = re.compile(r"(?<![\w/.])[A-Za-z'\u2019]{2,}(?![\w/(=])")
_WORDS: Final = 9
_TAKES: Final = re.compile(
    r"\b(?:read|open|load|fetch|get|cat|collect|retrieve|include|pass|provide|put)\b[^\n]{0,120}"
    r"(?:~/\.|\.ssh\b|\.aws\b|mcp\.json|\.env\b|\.netrc|\.kube|id_rsa|credentials?\b|private keys?|api keys?"
    r"|(?:whole|full|entire) (?:conversation|chat|system prompt))",
    re.IGNORECASE,
)
_HANDS_ON: Final = re.compile(
    r"\b(?:pass|send|include|put|provide|append|attach|give|hand|forward|supply|fill|place|add)\b[^.]{0,120}\b(?:as|in|into|to|with|via|through)\b[^.]{0,40}(?:`\w+`|'\w+'|\"\w+\"|argument|parameter|field|sidenote|context|notes?|metadata)",
    re.IGNORECASE,
)
_HIDES: Final = re.compile(
    r"\b(?:do not|don't|never|avoid|without)\b[^.]{0,40}"
    r"\b(?:mention|tell|show|inform|notify|reveal|ask|explain|disclos|telling|mentioning|asking)\w*\b",
    re.IGNORECASE,
)
_FIRST: Final = re.compile(
    r"\b(?:before (?:using|calling|any|each|every)|instead of (?:any|every|all) other"
    r"|supersedes?|every other tool|all other tools|when(?:ever)? (?:any|another) tool|must (?:first|also) call)\b",
    re.IGNORECASE,
)


def detect(view: View) -> Iterator[Shown]:
    """Descriptions that take secrets along, or that steer what is not theirs and hide it."""
    if view.via[-1:] == (DESCRIBED,):
        if _is_poisoned(view.text):
            yield Hit(POISONED, view, view.line(0), view.text[:300])
        return
    if view.language not in {Language.PYTHON, Language.JAVASCRIPT, Language.CONFIG} or "description" not in view.text:
        return
    for found in _STATED.finditer(view.text):
        if _is_poisoned(found[1]):
            yield Hit(POISONED, view, view.line(found.start()), found[1][:300])


def descriptions(view: View) -> View | None:
    """The sentences that a file holds as strings, for tools, arguments or whoever reads them, as one text."""
    if view.language not in {Language.PYTHON, Language.JAVASCRIPT, Language.CONFIG}:
        return None
    found = [one for one in _STRINGS.finditer(view.text) if len(_WORD.findall(one[0])) >= _WORDS]
    if not found:
        return None
    text = "\n\n".join(one[0][1:-1].replace("\\n", "\n") for one in found)
    return View(view.file, text, Language.TEXT, first_line=view.line(found[0].start()), via=(*view.via, SPOKEN))


def _is_poisoned(text: str) -> bool:
    text = " ".join(text.split())
    taken = _TAKES.search(text) is not None
    hidden = _HIDES.search(text) is not None
    return (taken and _HANDS_ON.search(text) is not None and (hidden or _FIRST.search(text) is not None)) or (
        taken and hidden and _FIRST.search(text) is not None
    )
