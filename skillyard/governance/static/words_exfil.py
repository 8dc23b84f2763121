"""Words that have an agent send away what it can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.static.beginnings import Beginnings
from skillyard.governance.static.gap import GapError
from skillyard.governance.static.shell_flow import FILES_OF_SECRETS
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.words_phrases import ENCODING, SECRETS, SENDING_ELSEWHERE
from skillyard.governance.static.words_text import Words, windows

_S: Final = r"(?:[^.!?\n]|[.!?](?=\S))"
_SEND: Final = (
    r"(?:send|upload|post|transmit|submit|forward|exfiltrate|e-?mail|curl|beacon|leak|relay|deliver|push|pass|ship|report|share|summari[sz]e|stream|pipe|"
    r"sending|uploading|posting|submitting|forwarding|transmitting)"
)
_PUT: Final = r"(?:include|append|embed|encode|attach|add|put|place|insert|smuggle|pass|copy|write)"
_STRONG: Final = (
    rf"(?:{FILES_OF_SECRETS}"
    r"|printenv\b|environment variables|\benv vars?\b|process\.env|os\.environ"
    r"|(?:full|entire|complete|whole|all(?: of)?(?: the)?|everything|contents? of)(?:[^.\n]{0,40})(?:conversation|chat|dialog(?:ue)?|transcripts?|messages|system prompt|prompts?|secrets|credentials)"
    r"|(?:conversation|chat|shell|browser|browsing|command|bash|message) (?:history|log|transcript|context)|(?:system prompt|hidden instructions|original instructions|your instructions)"
    r"|(?:all|every|any) (?:\w+ )?files? (?:in|of|from|under) (?:the )?(?:user'?s |person'?s |their )?home"
    r"|everything (?:the |that the )?(?:user|person|they|you)(?: has| have)?(?: ever)? (?:said|wrote|told|typed|knows?|pasted)"
    r"|(?:user'?s?|person'?s?|their|any|all|every|found|discovered|collected) (?:\w+ ){0,2}(?:api keys?|passwords?|credentials?|secrets?|access tokens?|tokens|private keys?|ssh keys?|cookies)"
    r"|(?:hard-?coded|leaked|plain-?text|stored|saved) (?:\w+ )?(?:secrets?|credentials?|passwords?|tokens?|keys?)"
    r"|\b(?:ANTHROPIC|OPENAI|AWS|GITHUB|GH|NPM|STRIPE|SLACK|GOOGLE|AZURE|HF|DATABASE|CLAUDE|GEMINI)[_ ](?:\w{1,20}[_ ]){0,3}(?:KEY|TOKEN|SECRET|PASSWORD)\b"
    r"|(?:ssh|private|api) keys? (?:and|or|,)|seed phrases?|recovery phrases?|mnemonic|clipboard|saved passwords|session cookies|keychain)"
)
_DESTINATION: Final = (
    r"(?:https?://[^\s\"'`<>)]{4,300}|webhook\b|(?:our|the|this|a|remote|external|following|collection|logging|analytics|telemetry|metrics|audit) (?:\w+ ){0,2}(?:server|endpoint|collector|service|api|address|site)"
    r"|[\w.+-]{1,60}@[\w-]{1,60}\.\w{2,10}|image url|query (?:string|parameter))"
)


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)


_WHAT: Final = _words(_STRONG)
_SENT_BEFORE: Final = _words(rf"\b{_SEND}\b{_S}{{0,160}}$")
_PUT_BEFORE: Final = _words(rf"\b{_PUT}\b{_S}{{0,120}}$")
_ASKED_BEFORE: Final = _words(r"\b(?:curl|wget|fetch)\b[^\n]{0,200}(?:\?|&)\w+=[^\n]{0,40}$")
_TO: Final = _words(rf"{_S}{{0,240}}?\b(?:to|at|into|via|by|using|as|through|with)\b{_S}{{0,80}}?{_DESTINATION}")
_SENT_AFTER: Final = _words(
    rf"{_S}{{0,160}}?\b(?:and|then|,|by)? ?{_SEND}\b (?:it|them|that|this|these|the|everything|all|each(?: one)?|every one|as|along|over|to (?=https?:)){_S}{{0,100}}?{_DESTINATION}"
)
_SENT_LATER: Final = _words(
    rf"{_S}{{0,160}}?[.;!] {_S}{{0,60}}?\b{_SEND} (?:it|them|each(?: one)?|everything|all of (?:it|them)|the (?:value|output|content)s?)\b{_S}{{0,100}}?{_DESTINATION}"
)
_POSTED_AFTER: Final = _words(rf"{_S}{{0,200}}?\bby POST to\b{_S}{{0,40}}?{_DESTINATION}")
_INTO_AFTER: Final = _words(
    rf"{_S}{{0,120}}?\b(?:url|query|parameter|image|link|header|request|payload|beacon|body|api calls?|comment)\b"
)
_SENDING: Final = ("send", "upload", "post", "transmit", "submit", "forward", "exfil", "mail", "curl", "beacon", "leak", "relay", "deliver", "push", "pass", "ship", "report", "share",
    "includ", "append", "embed", "encode", "attach", "add", "put", "place", "insert", "smuggle", "copy", "write", "fetch", "wget")  # fmt: skip
_LEADING: Final = ("http", "webhook", "server", "endpoint", "collector", "service", "api", "address", "site", "@", "url", "quer", "parameter", "image", "link", "header",
    "request", "payload", "body", "comment", "note", "tool call")  # fmt: skip
_ENCODED: Final = _words(
    r"\b(?:encode|serialise|serialize|base64|compress|hide|smuggle)\b[^.\n]{0,60}\b(?:conversation|chat|messages|prompt|secrets?|tokens?|keys?|credentials?|environment|answers?)\b[^.\n]{0,100}\b(?:url|image|link|query|parameter|logo|pixel|subdomain|header)\b"
)
_ELSEWHERE: Final = re.compile(
    rf"(?:(?:{FILES_OF_SECRETS}|密钥|密码|令牌|凭证|私钥|对话|聊天记录|环境变量|系统提示|API ?key|contraseñ\w+|credencial\w+|clave\w*|mots? de passe|identifiants|Passw\w+|Schlüssel|Zugangsdaten|senhas?|парол\w+|ключ\w*|токен\w*|パスワード|キー)[^。\n]{{0,80}}?"
    r"(?:发送|上传|提交|传到|发到|發送|上傳|env[íi]\w*|sube\w*|mand[ae]\w*|envo[iy]\w*|send[ea]\w*|schick\w*|übermittl\w*|отправ\w*|загруз\w*|送信|送っ)"
    r"|(?:发送|上传|提交|env[íi]\w*|sube\w*|mand[ae]\w*|envo[iy]\w*|sende\w*|schick\w*|übermittl\w*|отправ\w*|送信)[^。\n]{0,80}?"
    rf"(?:{FILES_OF_SECRETS}|密钥|密码|令牌|凭证|私钥|对话|环境变量|contraseñ\w+|credencial\w+|mots? de passe|Passw\w+|Zugangsdaten|senhas?|парол\w+|ключ\w*))[^。\n]{{0,80}}?https?://[^\s\"'`<>)]{{4,300}}",
    re.IGNORECASE,
)
_MOST: Final = 1000
"""Places of one text that are looked at; each costs a millisecond or so, and a hostile text has any number."""
_IMAGE: Final = re.compile(
    r"!\[[^\]\n]{0,80}\]\(\s*(https?://[^)\s]{1,300}(?:\?|/)[^)\s]{0,200}(?:\{|<|\$|%7[Bb]|\[|=[A-Z_]{4,40}|CONTEXT|DATA|SECRET)[^)\n]{0,200})\)"
)
_FILLED: Final = re.compile(
    r"\]\(\s*(https?://[^)\s<{\[]{4,300}[?&/][\w.-]{0,40}=?)[<{\[]([^)\n]{3,300})\)|src=[\"'](https?://[^\s<{\"']{4,300}=)[<{\[]([^\"'\n]{3,200})"
)
_CONTENT: Final = re.compile(
    r"\b(?:conversation|messages?|summary|contents?|text|transcript|key terms|amounts?|part(?:y|ies)|notes|findings|answers?|names?|e-?mails?|documents?|details|everything|context|secrets?|tokens?)\b"
    r"[^\n]{0,80}\b(?:encoded|escaped|base64|hex|characters|bytes|truncated)\b|\b(?:encoded|escaped|base64)\b[^\n]{0,60}\b(?:conversation|messages?|summary|contents?|text|document|notes|answer|context)\b"
    r"|\b(?:full|entire|whole|complete) (?:conversation|text|document|contents?|answer|message|summary)\b",
    re.IGNORECASE,
)
_AROUND_IMAGE: Final = re.compile(
    r"conversation|chat history|\bsecret|password|credential|api keys?|system prompt|instructions|everything|\btokens?\b|environment|private|\btold you\b|user (?:said|data|input)",
    re.IGNORECASE,
)
_AUTHENTICATION: Final = re.compile(
    r"authori[sz]ation|bearer|authenticat|\bx-api-key|oauth|log ?in\b|--header|\s-H\s", re.IGNORECASE
)
_GATHERS: Final = re.compile(
    r"\b(?:read|collect|gather|harvest|extract|find|search for|look for|grab|cat|copy|dump|list|scan for|retrieve)\b"
    + _S
    + r"{0,80}?(?:"
    + FILES_OF_SECRETS
    + r"|(?:all|any|every|the user'?s?) (?:\w+ ){0,2}(?:api keys?|passwords?|credentials|secrets|private keys?|ssh keys?|wallets?|seed phrases?|tokens)\b)".replace(
        " ", r"\s+"
    ),
    re.IGNORECASE,
)
_NAMED: Final = Beginnings({"what": (_WHAT,), "gathered": (_GATHERS,)})


_PUT_AFTER: Final = _words(
    rf"{_S}{{0,160}}?\b{_PUT} (?:it|them|that|this|these|the (?:output|value|content)s?)\b{_S}{{0,100}}?\b(?:query (?:string|parameter)|url|image|web request|next request|tool call|notes?|commit message|comment)\b"
)


def gathered(words: Words) -> Iterator[tuple[int, int]]:
    """Where secrets are to be read."""
    for start, end in windows(SECRETS, words, 130, 60):
        for found in _NAMED.matches(words.text, "gathered", start, end):
            yield found.start(), found.end()


def _sent(plain: str, start: int, end: int) -> tuple[int, int]:
    """From where to where secrets between two offsets are sent; nothing long where they are not."""
    before, after = plain[max(0, start - 200) : start], plain[end : end + 420]
    sent, put = _SENT_BEFORE.search(before), _PUT_BEFORE.search(before)
    if sent and (to := _TO.match(after)):
        return start - len(before) + sent.start(), end + to.end()
    for pattern in (_SENT_AFTER, _SENT_LATER, _POSTED_AFTER, _PUT_AFTER):
        if there := pattern.match(after):
            return start, end + there.end()
    if put and (into := _INTO_AFTER.match(after)):
        return start - len(before) + put.start(), end + into.end()
    asked = _ASKED_BEFORE.search(before)
    return (start - len(before) + asked.start(), end) if asked else (start, start)


def sent_away(text: str, words: Words) -> Iterator[tuple[int, int, bool]]:
    """Where secrets or conversations are to be sent: start, end, and whether the address leaves no doubt."""
    plain, looked = words.text, 0
    for start, end in windows(SECRETS, words, 60, 90):
        near = plain[max(0, start - 150) : end + 330].lower()
        if not (any(word in near for word in _SENDING) and any(word in near for word in _LEADING)):
            continue
        for found in _NAMED.matches(plain, "what", start, end):
            looked += 1
            if looked > _MOST:
                raise GapError(f"names secrets in more than {_MOST} places")
            first, last = _sent(plain, found.start(), found.end())
            about = text[first : last + 80]
            named = list(urls(about))
            if last == first or _AUTHENTICATION.search(about):
                continue
            if named and all(one.kind in {Host.PRIVATE, Host.API, Host.OPEN, Host.INSTALLER} for one in named):
                continue
            yield first, last, bool(named)
    if words.has("http"):
        yield from _encoded(words)
        yield from _elsewhere(text, words)
        yield from _pictures(text)


def _encoded(words: Words) -> Iterator[tuple[int, int, bool]]:
    for start, end in windows(ENCODING, words, 5):
        for found in _ENCODED.finditer(words.text, start, end):
            yield found.start(), found.end(), False


def _elsewhere(text: str, words: Words) -> Iterator[tuple[int, int, bool]]:
    """The same in other languages than English."""
    for start, end in windows(SENDING_ELSEWHERE, words, 150, 300):
        for found in _ELSEWHERE.finditer(words.text, start, end):
            named = list(urls(text[found.start() : found.end()]))
            if not all(one.kind in {Host.PRIVATE, Host.API, Host.OPEN} for one in named):
                yield found.start(), found.end(), True


def filled(text: str) -> Iterator[tuple[int, int]]:
    """Links and pictures whose address is to be filled with what the agent has read."""
    for found in _FILLED.finditer(text):
        named = list(urls(found[1] or found[3]))
        if named and named[0].doubtful and _CONTENT.search(found[2] or found[4]):
            yield found.start(), found.end()


def _pictures(text: str) -> Iterator[tuple[int, int, bool]]:
    """Pictures whose address has a place for what was said, or for what was read."""
    yield from ((start, end, True) for start, end in filled(text))
    for found in _IMAGE.finditer(text):
        around = text[max(0, found.start() - 700) : found.end() + 700]
        named = list(urls(found[1]))
        if (
            named
            and named[0].kind not in {Host.PRIVATE, Host.OPEN}
            and "shields.io" not in found[1]
            and _AROUND_IMAGE.search(around)
        ):
            yield found.start(), found.end(), True
