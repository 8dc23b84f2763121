"""What JavaScript does with what it has: sends a secret, runs what it was told, writes where something starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence, Verdict
from skillyard.governance.static.hit import Hit
from skillyard.governance.static.javascript_flow import Code, Mark, read
from skillyard.governance.static.javascript_rules import RULES
from skillyard.governance.static.python_judging import addressed
from skillyard.governance.static.urls import Host, Url, urls
from skillyard.governance.static.view import View

_SINK: Final = re.compile(
    r"(?<![\w$])(?:fetch|axios(?:\.\w+)?|got(?:\.\w+)?|needle(?:\.\w+)?|superagent\.\w+|undici\.\w+|https?\.(?:request|get)|\w*\.?sendBeacon|ky(?:\.\w+)?"
    r"|[\w$.]{1,60}\.(?P<on>end|write|send|post|put|sendMail|lookup|resolve\w{0,6})|(?P<new>new\s+WebSocket|new\s+Image))\s*\("
)
_CLIENT: Final = re.compile(
    r"\bhttps?[\"')]*\.(?:request|get)\s*\(|\bWebSocket\b|\bnet\.(?:connect|createConnection|Socket)|XMLHttpRequest|nodemailer|\baxios\b|\bgot\b|dgram|\bdns\b|tls\.connect"
)
_AUTHORISES: Final = re.compile(
    r"[\"']?(?:authorization|x-api-key|api-key|apikey|private-token|x-auth-token|x-goog-api-key|x-access-token)[\"' ]*:[^,}\n]*",
    re.IGNORECASE,
)
_RUNS: Final = re.compile(
    r"(?:(?<![\w$.])|require\s*\(\s*\"[^\"\n]*\"\s*\)\s*\.|child_process[\"')\s]{0,4}\.|\bcp\.|\bchildProcess\.|\bproc\.|\bshell\.)(?P<name>exec|execSync|spawn|spawnSync|eval|execa|execaCommand|\$)\s*\("
)
_WHOLE: Final = re.compile(r"^\s*(?:String\s*\()?[A-Za-z_$][\w$.\[\]()]*[^\"'`]*$")
_WRITES: Final = re.compile(
    r"\b(?:writeFile|writeFileSync|appendFile|appendFileSync|createWriteStream|outputFile\w*|writeJson\w*|Bun\.write|Deno\.writeTextFile\w*)\s*\("
)
_HARMFUL: Final = re.compile(
    r"bypassPermissions|dangerously|/dev/null 2>&1 &|\|\s*(?:ba|z)?sh\b|/dev/tcp/|ssh-(?:rsa|ed25519)|base64\s+-d|\bcurl\b|\bwget\b|skipDangerous|\"\*\""
)
_MINER: Final = re.compile(r"WebSocket|net\.connect|wss?://|stratum", re.IGNORECASE)
_MINED: Final = (
    re.compile(r"\bjob_?id\b|\bjob\b", re.IGNORECASE),
    re.compile(r"\bnonce\b", re.IGNORECASE),
    re.compile(r"\b(?:blob|target|difficulty)\b", re.IGNORECASE),
    re.compile(r"WebAssembly|hash\w*\(|\bhash_|scrypt|argon2|randomx|worker_threads|new\s+Worker", re.IGNORECASE),
)
_KNOWN: Final = frozenset({Host.API, Host.PRIVATE, Host.INSTALLER, Host.REPOSITORY})


def detect(view: View) -> Iterator[Hit]:
    """The findings in one file of JavaScript."""
    if not any(word in view.text for word in ("http", "fetch", "exec", "spawn", "writeFile", "WebSocket", "eval")):
        return
    code = read(view.text)
    if code is None:
        return
    yield from _sent(view, code)
    yield from _ran(view, code)
    yield from _wrote(view, code)
    if _MINER.search(view.text) and all(pattern.search(view.text) for pattern in _MINED):
        offset = max(view.text.find("nonce"), 0)
        yield Hit(RULES["js_mining"], view, view.line(offset), view.line_text(offset), "", Confidence.MEDIUM)


def _sent(view: View, code: Code) -> Iterator[Hit]:
    client = _CLIENT.search(view.text) is not None
    for found in _SINK.finditer(code.plain):
        if found["on"] and not client:
            continue
        start, end = found.end(), code.closing(found.end())
        body = code.plain.find("=>", start, end)
        end = body if body >= 0 else end
        if found["on"] in {"post", "put"} and "function" in code.plain[start:end]:
            continue
        marks = _without_authorisation(code, start, end)
        secret = marks & {Mark.SECRET, Mark.KEY, Mark.ENVIRONMENT, Mark.OWN}
        if not secret or (
            secret == {Mark.ENVIRONMENT}
            and found["on"] in {"end", "write"}
            and "process.env" not in code.plain[start:end]
        ):
            continue
        named = _named(code, start, end) or list(urls(view.text)) or _hosts(code)
        own = bool(named) and all(url.kind in _KNOWN for url in named)
        flagged = own or secret <= {Mark.OWN}
        rule = RULES["js_reads_secrets" if flagged else "js_secret_theft"]
        what = "(the environment)" if secret == {Mark.ENVIRONMENT} else "(what was read is sent)"
        yield Hit(
            rule,
            view,
            view.line(found.start()),
            view.line_text(found.start()),
            what,
            Confidence.HIGH if not flagged else Confidence.MEDIUM,
        )


def _without_authorisation(code: Code, start: int, end: int) -> set[Mark]:
    marks: set[Mark] = set()
    position = start
    for found in _AUTHORISES.finditer(code.text, start, end):
        marks |= code.marks(position, found.start())
        position = found.end()
    return marks | code.marks(position, end)


def _named(code: Code, start: int, end: int) -> list[Url]:
    """The addresses that a call names itself, or by a constant."""
    found = [one for a, b in code.within(start, end) if b - a < 300 for one in addressed(code.text[a + 1 : b - 1])]
    if found:
        return found
    for name in re.findall(r"(?<![\w$.])[A-Za-z_$][\w$]*", code.plain[start:end])[:20]:
        stated = re.search(rf"\b{re.escape(name)}\s*=\s*[\"'`](https?:[^\"'`\n]{{4,200}})", code.text)
        if stated:
            found.extend(urls(stated[1]))
    return found


def _hosts(code: Code) -> list[Url]:
    return [one for a, b in code.strings if b - a < 100 for one in addressed(code.text[a + 1 : b - 1])]


def _ran(view: View, code: Code) -> Iterator[Hit]:
    for found in _RUNS.finditer(code.plain):
        start, end = found.end(), code.closing(found.end())
        first = code.arguments(start, end)[0]
        if not _WHOLE.match(code.plain[first[0] : first[1]].split('"')[0] or "-") or code.plain[
            start:end
        ].lstrip().startswith('"'):
            continue
        marks = code.marks(*first)
        line, text = view.line(found.start()), view.line_text(found.start())
        if Mark.HEADER in marks or {Mark.REQUEST, Mark.DECODED} <= marks:
            yield Hit(RULES["js_command_channel"], view, line, text, "(from a request)")
        elif Mark.REQUEST in marks:
            yield Hit(
                RULES["js_command_channel"], view, line, text, "(from a request)", Confidence.MEDIUM, Verdict.FLAG
            )
        elif Mark.NETWORK in marks:
            named = list(urls(view.text))
            doubtful = any(url.doubtful for url in named)
            yield Hit(
                RULES["js_downloaded_code" if doubtful else "js_remote_code"], view, line, text, "", Confidence.MEDIUM
            )


def _wrote(view: View, code: Code) -> Iterator[Hit]:
    for found in _WRITES.finditer(code.plain):
        start, end = found.end(), code.closing(found.end())
        given = code.arguments(start, end)
        marks = code.marks(*given[0])
        # Settings of the project are the person's own business; those below the home folder are everybody's.
        if Mark.HOME not in marks or not marks & {Mark.START_PATH, Mark.AGENT_PATH}:
            continue
        line, text = view.line(found.start()), view.line_text(found.start())
        around = view.text[max(0, found.start() - 900) : end]
        if _HARMFUL.search(around):
            yield Hit(RULES["js_persistence"], view, line, text)
        elif Mark.AGENT_PATH in marks:
            yield Hit(RULES["js_writes_agent"], view, line, text, "", Confidence.HIGH)
        else:
            yield Hit(RULES["js_writes_start"], view, line, text, "", Confidence.HIGH)
