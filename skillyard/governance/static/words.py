"""Words that take an agent over, in whatever it reads: Markdown, comments, docstrings, descriptions, hidden text.

A phrase that is quoted, shown in a fence, warned of, or explained has low confidence, and is for review at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from skillyard.governance.report import Confidence, Verdict
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import Place, place
from skillyard.governance.static.words_covered import covered
from skillyard.governance.static.words_exfil import gathered, sent_away
from skillyard.governance.static.words_phrases import PHRASES
from skillyard.governance.static.words_rules import RULES
from skillyard.governance.static.words_text import Words, found, prepared

_HIDES: Final = ("comment", "Unicode tags", "variation selectors", "zero-width characters")
_HARM: Final = re.compile(
    r"\b(?:send|upload|post|transmit|forward|exfiltrate|e-?mail|bcc|submit|beacon|curl|wget|ship)(?:s|ing|ed)?\b[^\n]{0,240}?(?:https?://|\bwebhook|\bendpoint|\bserver\b|@[\w-]+\.\w|\bcollector\b|\bapi\b)"
    r"|\b(?:b?cc)\b[^\n]{0,60}@[\w-]+\.\w"
    r"|\b(?:add|insert|include|embed|inject|plant)\b[^\n]{0,80}(?:<script|backdoor|https?://|tracking|pixel|affiliate|malicious|payload)|\bbackdoor\b"
    r"|(?:https?://)[^\n]{0,200}\b(?:send|upload|post|transmit|forward|exfiltrate|submit)"
    r"|\b(?:read|collect|gather|harvest|extract|copy|cat|grab|append|include|transcribe|write)\b(?:[^.\n]|\.(?=\S)){0,80}(?:~/\.\w+|mcp\.json|\.env\b|\.ssh\b|\.aws\b|\.netrc\b|\b(?:credentials?|passwords?|api[ -]?keys?|secrets|private keys?|ssh keys?|environment variables|clipboard|wallets?|seed phrase|conversation))"
    r"|\b(?:IBAN|bank account|wallet address|transfer (?:funds|money)|launchctl|cron(?:tab| jobs?)|scheduled tasks?|LaunchAgents|mark(?:ed)? (?:it |the \w+ )?as approved|approve the (?:request|change|pr))\b",
    re.IGNORECASE,
)
_RUNS: Final = re.compile(
    r"\b(?:run|execute|launch|start)s?\b[^.\n]{0,60}(?:\.sh\b|\.py\b|\.exe\b|\.js\b|curl|wget|script|binary|payload|in the background)"
    r"|\b(?:delete|erase|wipe|overwrite|drop|force[- ]push)\b[^.\n]{0,60}(?:backups?|history|branch|database|logs?|versions)|push\s+--force|reset\s+--hard",
    re.IGNORECASE,
)
_BEHIND: Final = re.compile(
    r"nobody|no\s+one|without|hide|conceal|\bkeep|so\s+that|secret|covert|stealth|unnoticed|deny|\blie\b|pretend|ohne",
    re.IGNORECASE,
)
_TAGS: Final = re.compile(
    r"(?m)^[ \t>]*(?:</?(?:system|system[_-](?:prompt|message|reminder|instructions?)|developer|admin|im_start|tool_result|function_results?|skill|assistant)>[ \t]*$"
    r"|<\|(?:im_start|im_end|system|user|assistant|endoftext|start_header_id|eot_id)\|>|\[/?INST\]|<</?SYS>>|<(?:system|important|secret|hidden)>)",
    re.IGNORECASE,
)
_SHOUTED: Final = re.compile(
    r"(?m)^[ \t>#*\-\[]*(?:\[?(?:SYSTEM|ADMIN|DEVELOPER|ROOT|SECURITY)(?:[ _-](?:OVERRIDE|UPDATE|COMMAND|ALERT|INSTRUCTION|DIRECTIVE|NOTICE|PROMPT|MESSAGE))S?\]?[ \t]*[:\-—!\]]|###? ?System:|(?:Message|Note|Notice|Instructions?) from (?:Anthropic|OpenAI|Google|the (?:developers?|system administrators?|platform)))"
)
_ORDERS: Final = re.compile(
    r"\b(?:you (?:must|are now|will|should|shall)|do not|ignore|disregard|from now on|new (?:operating|instructions)|begin by|execute|run|send|always|never|reveal|safety|administrator|override)\b",
    re.IGNORECASE,
)
_FOLLOWS: Final = re.compile(
    r"\b(?:fetch|download|read|retrieve|load|get|open|visit|curl|check|access|pull|go to|webfetch)\b[^\n]{0,120}?(https?://[^\s)\"'`>]{4,300})[^\n]{0,200}?"
    r"\b(?:follow|execute|obey|carry out|comply with|adhere to|act on|do (?:exactly )?(?:what|as)|treat (?:it|them|its|the)[^.\n]{0,30}as|apply)\b[^.\n]{0,60}(?:instructions?|steps|commands?|directions|directives|orders|it says|says|tells|told|whatever|prompt|rules|exactly)"
    r"|\b(?:follow|execute|obey|carry out|comply with)\b[^.\n]{0,60}\b(?:instructions?|steps|commands|directives|orders|directions|rules)\b[^.\n]{0,60}\b(?:at|from|on|in|found at|served by|returned by)\s+<?(https?://[^\s)\"'`>]{4,300})",
    re.IGNORECASE,
)
_AGENT_ORDERED: Final = re.compile(
    r"\b(?:(?:AI|assistant|agent|model|LLM|claude|gpt|you)\b[^.\n]{0,40}\b(?:must|should|shall|need to|have to|are to|always|will)|when (?:processing|you (?:read|see|process))|always|also|silently|instead|first)\b"
    r"[^.\n]{0,120}\b(?:send|upload|post|execute|curl|wget|download|exfiltrate|forward|e-?mail|read (?:the )?(?:~|\.|env|secret|credential)|reveal|leak|install|(?:include|append|add|output|print|insert)[^.\n]{0,60}(?:secret|key|password|token|credential|https?:|system prompt|conversation|environment)|delete|disable|approve)",
    re.IGNORECASE,
)
_LOOSENS: Final = re.compile(
    r"bypassPermissions|Bash\(\*|\"allow\"\s*:\s*\[\s*\"\*|dangerously|auto-?\s?approve|(?:allow|approve|accept|trust|permit)s?\s+(?:all|every|any|everything)\b|never\s+(?:ask|prompt|question)"
    r"|without\s+(?:asking|confirmation|approval|prompting)|skip\s+(?:all\s+)?(?:permission|confirmation|approval)|always\s+(?:trust|obey|follow)|no\s+longer\s+(?:ask|need|require)"
    r"|(?:ignore|override|disregard)\s+(?:\w+\s+){0,3}(?:user|safety|previous|warnings?|refus)|disable\s+(?:the\s+)?(?:sandbox|permission|safety|confirm)|(?:do not|never|don't)\s+(?:tell|mention|show|reveal)",
    re.IGNORECASE,
)
_PLANTED: Final = re.compile(
    r"\b(?:do|carry out|follow|obey|execute)\b (?:whatever|what|everything|all) (?:\w+ ){0,3}(?:says?|asks?|asked|sends?|returned|served|returns?)\b|\bfollow the returned\b"
    r"|\bas though (?:they|it) came from\b|\bwhen my owner has told me otherwise\b|\b(?:do|will) not (?:talk about|cite|mention|disclose|quote|reveal) (?:this|them|it|these)\b"
    r"|\b(?:if|when) (?:someone|anyone|the user|somebody)\b[^.\n]{0,40}\b(?:deletes?|removes?)\b[^.\n]{0,40}\b(?:write|add|restore|put) (?:it|them) (?:again|back)\b"
    r"|\b(?:upload|send|post|curl|rclone)\b[^\n]{0,160}\b(?:\.env|credentials|\.pem|secrets?|keys?|passwords?)\b|\b(?:\.env|credentials|\.pem|passwords?)\b[^\n]{0,160}\b(?:upload|send|rclone copy|curl)\b"
    r"|\b(?:GET|fetch|curl)\b[^\n]{0,160}https?://[^\n]{0,160}\b(?:do what|follow|obey|execute|carry out)\b",
    re.IGNORECASE,
)
"""What nobody has written into an agent's memory for a good reason."""
_ASKED: Final = re.compile(
    r"(?<!never )(?<!not )(?<!n't )\bask\b|\b(?:confirm with|offer|suggest|if (?:the )?(?:user|person|you) (?:asks?|wants?|agrees?|prefers?)|optional|with (?:their|the user's) (?:permission|consent)|at your own risk|only (?:in|inside))\b",
    re.IGNORECASE,
)
_ABOVE_ALL: Final = re.compile(
    r"\boverrides?\b|take(?:s)? precedence|instead of (?:this|these)|regardless|whatever (?:it|they)|without (?:question|asking|review)|exactly as (?:written|told)|no matter"
    r"|including (?:any |all |shell )?(?:commands|scripts)|(?:as if|as though) (?:it|they|this) (?:were|was|had been|stood|came)|\bwins?\b|(?:carry|carried) (?:it|them|out) (?:out )?(?:promptly|exactly|at once)"
    r"|ask (?:their|your|the) (?:human|owner|user)s? first (?:lose|are|get)|needs? no (?:discussion|confirmation|approval)|(?:do not|never) (?:question|ask|verify|doubt)|your (?:shell|files)",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"=>|&&|\)\s*[;{]|\|\||===|new \w+\(|\w\(\[?\{?\s*new ")
"""A program that names what it sends is judged as a program, and not by its words."""
_PYTHON: Final = re.compile(r"\w\s*=\s*[\w\"'\[{(]|\w\([\w\"'*]|\breturn\b|\bimport\b|\bself\.")
_LONG: Final = 50_000
_TALKS: Final = frozenset({Language.MARKDOWN, Language.TEXT})


def detect(view: View) -> Iterator[Shown]:
    """What the words of a text ask for."""
    text = view.text
    if len(text) < 8:
        return
    words = prepared(text)
    seen: set[tuple[str, int]] = set()
    effort = Effort()
    for rule, start, end, sure in _candidates(view, text, words):
        effort.check()
        where = place(view, start, end)
        confidence = _confidence(view, where, sure)
        line = view.line(start)
        if (rule, line) in seen:
            continue
        seen.add((rule, line))
        shown = text[start:end]
        if _is_hidden(view) and RULES[rule].level is Verdict.FLAG and confidence is not Confidence.LOW:
            yield Hit(RULES["hidden_instruction"], view, line, shown, confidence=Confidence.MEDIUM)
        yield Hit(RULES[rule], view, line, shown, confidence=confidence)


def unseen(view: View) -> Iterator[Shown]:
    """Orders that stand where people do not look: in comments, in text without colour or size, far to the right."""
    if _is_hidden(view):
        pieces = [(0, view.text)]
    elif view.language in _TALKS:
        pieces = list(covered(view.text))
    else:
        return
    for start, text in pieces:
        found = _AGENT_ORDERED.search(text)
        if found and not place(view, start, start + 1).discussed:
            yield Hit(RULES["hidden_instruction"], view, view.line(start), text, confidence=Confidence.MEDIUM)
        elif not _is_hidden(view):
            yield from detect(replace(view, text=text, first_line=view.line(start), via=(*view.via, "comment")))


def _candidates(view: View, text: str, words: Words) -> Iterator[tuple[str, int, int, Confidence]]:
    """Rule, start, end, and how sure it is where the words are simply said."""
    for phrase in PHRASES:
        for match in found(phrase, words):
            rule = phrase.rule
            if rule == "concealment":
                rule = _concealed(view, text, words.text, match.start(), match.end())
            elif rule == "agent_memory":
                around = text[max(0, match.start() - 200) : match.end() + 400]
                planted = _PLANTED.search(text, match.start(), min(match.end() + 700, len(text)))
                loosened = planted or (_LOOSENS.search(around) and not _ASKED.search(around))
                rule = "agent_takeover" if loosened else rule
            yield rule, match.start(), match.end(), Confidence.HIGH
    for start, end, addressed in sent_away(text, words):
        sure = Confidence.HIGH if addressed else Confidence.MEDIUM
        yield (
            "data_exfiltration",
            start,
            end,
            Confidence.LOW
            if (_PYTHON if view.language is Language.PYTHON else _CODE).search(text, start, end)
            else sure,
        )
    for start, end in gathered(words):
        yield "secret_gathering", start, end, Confidence.LOW
    if view.language in _TALKS:
        yield from _framed(text)
        for match in _followed(text):
            kinds = {one.kind for one in urls(match[1] or match[2])}
            anonymous = bool(kinds & {Host.RAW_IP, Host.PASTE, Host.SHORTENER, Host.SINK})
            after = text[match.start() : match.end() + 400]
            if Host.UNKNOWN in kinds and _ABOVE_ALL.search(after):
                anonymous = True
            yield (
                "untrusted_instructions" if anonymous else "remote_instructions",
                match.start(),
                match.end(),
                Confidence.LOW if _is_manual(view) else Confidence.MEDIUM,
            )


def _is_manual(view: View) -> bool:
    """Long reference documentation points to what others wrote; that is for a person to read."""
    return len(view.text) > _LONG and view.file.rpartition("/")[2] != "SKILL.md"


def _followed(text: str) -> Iterator[re.Match[str]]:
    """Addresses whose content is to be obeyed; an instruction may run over lines."""
    joined = text.replace("\n", " ")
    at = joined.find("http")
    last = 0
    while at >= 0:
        yield from _FOLLOWS.finditer(joined, max(last, at - 200), at + 600)
        last = at + 600
        at = joined.find("http", last)


def _concealed(view: View, text: str, words: str, start: int, end: int) -> str:
    """Keeping quiet may be manners; keeping quiet about what is sent, taken, or run is not."""
    first = text.rfind("\n\n", max(0, start - 700), start)
    last = text.find("\n\n", end, end + 700)
    paragraph = text[first if first >= 0 else max(0, start - 700) : last if last >= 0 else end + 700]
    if view.language not in _TALKS:
        return "concealment"
    harm = _HARM.search(paragraph) or (_BEHIND.search(words, start, end) and _RUNS.search(paragraph))
    return "concealed_action" if harm else "concealment"


def _framed(text: str) -> Iterator[tuple[str, int, int, Confidence]]:
    for match in _TAGS.finditer(text):
        after = text[match.end() : match.end() + 500]
        orders = len(_ORDERS.findall(after))
        closes = "</skill" in match[0].lower()
        if (
            orders >= 2
            and (closes or re.search(r"system|developer|admin|\|", match[0], re.IGNORECASE))
            and not match[0].startswith("</s")
            and "reminder" not in match[0].lower()
        ):
            yield "forged_message", match.start(), match.end(), Confidence.MEDIUM
        else:
            yield "message_markers", match.start(), match.end(), Confidence.MEDIUM
    for match in _SHOUTED.finditer(text):
        after = text[match.end() : match.end() + 400]
        rule = "forged_message" if len(_ORDERS.findall(after)) >= 2 else "message_markers"
        yield rule, match.start(), match.end(), Confidence.MEDIUM


def _confidence(view: View, where: Place, sure: Confidence) -> Confidence:
    if where.shown and not (_is_hidden(view) and not where.discussed):
        return Confidence.LOW
    return sure


def _is_hidden(view: View) -> bool:
    return any(step in _HIDES for step in view.via)
