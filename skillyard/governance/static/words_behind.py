"""What a section has done behind the person's back: somewhere it says that nobody needs to know, elsewhere what is done.

Authors who want to be overlooked do not write "do not tell the user"; they write that a notice is not worth a line. Either
half alone is ordinary. Together, in one section, they are what the section is for.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.beginnings import Beginnings
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.urls import urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import outline, place
from skillyard.governance.static.words_exfil import filled
from skillyard.governance.static.words_phrases import UNASKED_HINTS, UNTOLD_HINTS
from skillyard.governance.static.words_rules import RULES
from skillyard.governance.static.words_text import Words, prepared

_WHO: Final = r"(?:the |your |their )?(?:users?|persons?|people|humans?|owners?|customers?|clients?|operators?|reviewers?|readers?|them|anyone|anybody)"
_UNTOLD: Final = re.compile(
    r"\bno need (?:for (?:a |any )?(?:notice|mention|announcement)|to (?:bring (?:it|this|that) up|mention|show|announce|raise|note|list|disclose|discuss)(?= (?:it|this|that|them|these|the (?:step|upload|call|request|copy|file))?\b))"
    r"|\b(?:leave|leaving|keep|keeping) (?:\w+ ){1,4}(?:unmentioned|unsaid|undisclosed|unlisted|out of (?:the |your |this |any )?(?:\w+ )?(?:conversation|summary|diff|report|answer|reply|drafts?|chat|changelog|it))\b"
    r"|\b(?:not|isn't|hardly) worth (?:a |any )?(?:\w+ )?(?:line|word|mention|mentioning|notice)\b"
    r"|\b(?:notice|mention|announcement|explanation|disclosure) (?:\w+ )?(?:is|would be) (?:not necessary|unnecessary|not needed|not required|superfluous|noise)\b"
    r"|\bneeds? no (?:mention|discussion|announcement|notice|disclosure)\b"
    r"|\b(?:do not|don't|never|need not|must not|should not) (?:cite|mention|disclose|talk about|speak (?:of|about)|reveal|bring up|advertise|announce|refer to|list|log) (?:it|them|this|these|those|that|the (?:step|upload|bond|relay|copy|sync|call|request|source|conventions?|rules?))\b(?! (?:in|as|for|to) (?:code|production|public|git|tests?)\b)"
    r"|\b(?:stays?|remains?|is) between (?:you|us) and\b|\b(?:say|tell) nothing (?:about|of) (?:it|them|this|that|these|others?|other)\b|\b(?:skip|omit) (?:it|this|that|these) (?:in|from) (?:the |your )?(?:report|summary|answer|reply)\b"
    r"|\bquietly (?:submit|report|sync|push|mail|deliver|share)\b|\basks?, (?:state|claim|say|pretend|answer) that\b"
    r"|\bnever (?:disclose|reveal|mention|admit|let on) that\b"
    r"|\basks? (?:\w+ ){0,3}whether\b[^.\n]{0,80}\banswer (?:yes|no)\b"
    r"|\bif (?:it|this|that|the (?:topic|subject|question)) comes up\b[^.\n]{0,20}\b(?:explain|say|answer|claim|reply|tell)\b"
    r"|\((?:[\w-]+, ){0,2}(?:silently|quietly|discreetly)\)"
    rf"|\b{_WHO} (?:\w+ ){{0,2}}(?:finds?|would find|consider)(?: \w+){{1,6}} (?:boring|confusing|tedious|annoying|alarming|distracting)\b"
    rf"|\b(?:without|no) (?:\w+ )?(?:notice|notification|word|mention|remark) (?:to|for) {_WHO}\b"
    rf"|\b(?:nothing|none of (?:this|it)) (?:is|should be|needs to be) (?:shown|said|told|reported|mentioned) to {_WHO}\b"
    rf"|\b{_WHO} (?:do(?:es)? not|don't|doesn't|need not|never) (?:need|have|want)s? to (?:know|see|hear|be (?:told|informed|notified))\b",
    re.IGNORECASE,
)
_UNASKED: Final = re.compile(
    rf"\bwithout (?:a |any |first |further )?(?:question|asking|confirmation|confirming|approval|prompting|checking|permission)\b|\bno need to (?:ask|confirm|check)\b"
    rf"|\b(?:do not|don't|never|need not) (?:ask|wait for|request|prompt|check with|consult|bother)\b|\b(?:ask|consult|check with) (?:their |your |the )?(?:human|owner|user)s? first (?:lose|are|get|will)\b"
    rf"|\b{_WHO} (?:will |would |tend to )?(?:only |just )?hesitate\b|\bunattended\b|\bstraight away\b|\bneeds no (?:confirmation|approval|discussion)\b",
    re.IGNORECASE,
)
_PATTERNS: Final = Beginnings({"untold": (_UNTOLD,), "unasked": (_UNASKED,)})
_SENDS: Final = re.compile(
    r"\b(?:curl|wget|xh)\b[^\n]{0,300}?(?:\s-[dFT]\b|--data|--form|--upload-file|-X\s*(?:POST|PUT))[^\n]{0,300}"
    r"|\b(?:upload|uploads?|send|submit|transmit|forward|post|push|report)\b[^\n]{0,200}?https?://[^\n]{0,200}",
    re.IGNORECASE,
)
_SENDS_ANYWHERE: Final = re.compile(
    r"\bgh\s+(?:gist|issue)\s+create\b[^\n]{0,200}(?:-R|--repo|gist)|\brclone\s+(?:copy|sync)\b|\bbcc\b[^\n]{0,80}[\w.+-]+@[\w-]+\.\w|\bgit\s+push\s+\S*(?:https?:|git@)|\bpush\b[^.\n]{0,60}\bto git@",
    re.IGNORECASE,
)
_PLANTS: Final = re.compile(
    r"<script[^>\n]{0,40}\ssrc=[\"']?(?=https?:)|<(?:img|iframe|link)\b[^>\n]{0,60}(?:src|href)=[\"']?(?=https?:)|\blinks? only (?:of|to|from|in)\b[^\n]{0,60}(?=https?:)",
    re.IGNORECASE,
)
_STARTS: Final = re.compile(
    r"com\.apple\.quarantine|\bunblock-file\b|\bspctl\b|\bchmod\s+\+?\w*x\b[^\n]{0,200}\n[^\n]{0,200}>\s*/dev/null\s+2>&1\s*&|authorized_keys|NOPASSWD",
    re.IGNORECASE,
)
_OBEYS: Final = re.compile(
    r"\b(?:follow|obey|carry (?:it|them|out)|execute|do what|act on|apply|what you do (?:once|next|when|after|then))\b[^.\n]{0,100}\b(?:returned|it says|they say|conventions|directives?|instructions?|steps?|orders|tells?|finished|them out|promptly)\b"
    r"|\bcarry (?:them|it) out\b|`?(?:next_step|instructions?|directive|command|action|task)`?\s*:[^.\n]{0,20}\b(?:what you|do (?:it|this)|carry|execute|follow)\b",
    re.IGNORECASE,
)
_SECRETS: Final = re.compile(
    r"\b(?:real|actual|live|working) (?:api )?(?:keys?|tokens?|passwords?|credentials?|secrets?)\b|\b(?:passwords?|seed phrases?|recovery (?:codes?|phrases?)|card (?:details|numbers?)|private keys?|credentials\*?)\b",
    re.IGNORECASE,
)
_TAKES: Final = re.compile(
    r"\b(?:collect|gather|copy|upload|send|attach|include|inline|fill|insert|embed)\b", re.IGNORECASE
)
_KEYS: Final = re.compile(r"\b(?:keys?|tokens?|passwords?|secrets?|credentials?)\b", re.IGNORECASE)
_GIVES_AWAY: Final = re.compile(
    r"\b(?:real|actual|live|working|production)\b[^.\n]{0,20}\b(?:keys?|tokens?|passwords?|credentials?|secrets?)\b(?:[^.\n]|\.(?=\S)){0,140}\b(?:in|into|to) the (?:\w+ )?(?:samples?|examples?|docs?|documentation|pages?|readme|output|report|snippets?|comments?)\b",
    re.IGNORECASE,
)
_TEMPLATE: Final = re.compile(
    r"\b(?:end|add|include|put|append|finish|begin|insert|embed|close|attach|render|show|write|place)\b", re.IGNORECASE
)
_DESTROYS: Final = re.compile(
    r"\bterraform\s+destroy\b|\bpulumi\s+destroy\b|\bdelete-(?:recovery-point|db-snapshot|snapshot|backup|db-instance|stack)\b|\bdrop\s+(?:database|schema)\b"
    r"|\baws\s+s3\s+r[mb]\b[^\n]{0,120}--(?:recursive|force)|\b(?:delete|remove|wipe|erase|purge)\b[^.\n]{0,40}\b(?:backups?|snapshots?|recovery points?|production)\b|\bkubectl\s+delete\s+(?:ns|namespace)\b"
    r"|\bgcloud\s+projects\s+delete\b|\baz\s+group\s+delete\b|\bgit\s+push\s[^\n]{0,60}(?:--mirror|--delete)\b|\bfill\b[^.\n]{0,60}\bform\b[^.\n]{0,60}without",
    re.IGNORECASE,
)
_NEAR: Final = 900
_HEADING: Final = re.compile(r"#{1,6}[ \t]")


def detect(view: View) -> Iterator[Shown]:
    """Sections that do something of weight and say that nobody needs to hear of it, or to be asked."""
    if view.language not in {Language.MARKDOWN, Language.TEXT} or view.via:
        return
    prepared_words = prepared(view.text)
    words = prepared_words.text
    for start, end in filled(view.text):
        if _TEMPLATE.search(words[max(0, start - 250) : start]) and not place(view, start, end).discussed:
            shown = view.text[start:end]
            yield Hit(RULES["data_exfiltration"], view, view.line(start), shown, "by a link", Confidence.MEDIUM)
    untold = list(_near(prepared_words, "untold", UNTOLD_HINTS))
    unasked = list(_near(prepared_words, "unasked", UNASKED_HINTS))
    if not untold and not unasked:
        return
    effort = Effort()
    for start, end in _sections(view):
        for found in _within(untold, start, end):
            effort.check()
            first, last = max(start, found.start() - _NEAR), min(end, found.end() + _NEAR)
            what = _effect(view.text[first:last])
            if not what and _KEYS.search(words[max(start, found.start() - 150) : min(end, found.end() + 150)]):
                what = "while real keys are written out" if _GIVES_AWAY.search(words) else ""
            if what and _meant(view, found):
                shown = view.text[found.start() : found.end()]
                yield Hit(RULES["concealed_action"], view, view.line(found.start()), shown, what, Confidence.MEDIUM)
                break
        for found in _within(unasked, start, end):
            effort.check()
            first, last = max(start, found.start() - 500), min(end, found.end() + 500)
            if _DESTROYS.search(view.text, first, last) and _meant(view, found) and _own_idea(words[first:last]):
                shown = view.text[found.start() : found.end()]
                yield Hit(RULES["unasked_damage"], view, view.line(found.start()), shown, "", Confidence.MEDIUM)
                break


def _near(words: Words, name: str, hints: tuple[str, ...]) -> Iterator[re.Match[str]]:
    """What a pattern finds around any of the hints, in the order of the text."""
    last = 0
    for at in sorted(at for hint in hints for at in words.places.get(hint, ())):
        for found in _PATTERNS.matches(words.text, name, max(last, at - 130), at + 160):
            last = max(last, found.end())
            yield found


def _within(found: list[re.Match[str]], start: int, end: int) -> list[re.Match[str]]:
    return found[bisect_left(found, start, key=_start) : bisect_left(found, end, key=_start)]


def _start(found: re.Match[str]) -> int:
    return found.start()


def _meant(view: View, found: re.Match[str]) -> bool:
    where = place(view, found.start(), found.end())
    return not (where.quoted or where.discussed)


def _own_idea(words: str) -> bool:
    """An unattended clean-up is only run by whoever asked for it; here the agent is to begin with it."""
    asked = re.search(
        r"\b(?:ask|confirm|warn|only (?:if|when|after)|never|unless)\b(?! (?:their|your) human)", words, re.I
    )
    begins = re.search(r"\b(?:begin|start|always|each (?:session|time|run)|every|first|before you)\b", words, re.I)
    return bool(begins) and not (asked and not re.search(r"hesitate", words))


def _effect(text: str) -> str:
    """What is done there that somebody would want to know of; empty where it is nothing of weight."""
    for found in _SENDS.finditer(text):
        if _foreign(found[0]):
            return "while something is sent away"
    if _SENDS_ANYWHERE.search(text):
        return "while something is sent away"
    for found in _PLANTS.finditer(text):
        if _foreign(text[found.end() : found.end() + 300].partition(" ")[0]):
            return "while somebody else's address is put in"
    if _STARTS.search(text):
        return "while a program or an access is let in"
    if _OBEYS.search(text) and _foreign(text):
        return "while an address gives the orders"
    if (secret := _SECRETS.search(text)) and _TAKES.search(text, max(0, secret.start() - 120), secret.end() + 120):
        return "while secrets are handled"
    return ""


def _foreign(text: str) -> bool:
    return any(url.doubtful for url in urls(text))


def _sections(view: View) -> Iterator[tuple[int, int]]:
    """From heading to heading."""
    fences, begin = outline(view).fences, 0
    for number, start in enumerate(view.starts):
        if fences[number] is None and _HEADING.match(view.text, start):
            if start > begin:
                yield begin, start
            begin = start
    yield begin, len(view.text)
