"""JavaScript and TypeScript that attack. YARA-X finds candidates (``rules/javascript.yar``), judged here.

Minified libraries are long lines with short names, and build tools hand the environment to what they start: neither is
a finding. What counts is that secrets and a way out meet in one file, or that text becomes code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from skillyard.governance.report import Confidence, Severity
from skillyard.governance.static import javascript_sinks, shell
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.javascript_fold import folded
from skillyard.governance.static.javascript_rules import RULES
from skillyard.governance.static.patterns import Match, matches
from skillyard.governance.static.shell_text import addressed
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place

_SENDS: Final = re.compile(
    r"\b(?:fetch|axios(?:\.\w+)?|got(?:\.\w+)?|needle|superagent|request|https?(?:[\"']\))?\.(?:request|get)|sendBeacon|WebSocket|XMLHttpRequest|undici|net\.(?:connect|createConnection|Socket)"
    r"|dgram\.createSocket|dns\.(?:resolve\w*|lookup)|nodemailer|\.sendMail|\w{1,20}\.(?:lookup|resolve\w{0,6})|ky(?:\.\w+)?)\s*\(|\bnew\s+(?:WebSocket|XMLHttpRequest|net\.Socket)\b|\bcurl\b|\bwget\b"
)
_POSTS: Final = re.compile(
    r"method\s*:\s*[\"'`](?:POST|PUT|PATCH)|\.post\s*\(|\.put\s*\(|\.end\s*\(\s*\w|\.write\s*\(|sendBeacon|\.send\s*\(|body\s*:|\?\w+=\$\{|\?\w*=[\"'`]\s*\+|data\s*:|(?:lookup|resolve\w{0,6})\s*\(\s*[`\"'][^)\n]{0,40}\$\{|\.sendMail|-d\s|--data",
    re.IGNORECASE,
)
_SPAWNS: Final = re.compile(
    r"\b(?:spawn|exec|execFile|fork|execa|spawnSync|execSync|execFileSync)\s*\(|\benv\s*:\s*(?:\{\s*)?(?:\.\.\.)?\s*(?:Object\.assign\([^)]{0,40})?process\.env"
)
_MINIFIED: Final = re.compile(
    r"\.min\.(?:js|mjs|cjs)$|/(?:vendor|dist|node_modules|third[_-]party|lib)/|\bbundle\b", re.IGNORECASE
)
_LITERAL_NAMES: Final = re.compile(r"[\"'`](?:curl|wget)")
_BAD: Final = re.compile(
    r"curl|wget|https?\.(?:get|request)|fetch\(|/dev/tcp|base64|child_process|process\.env|eval\(", re.IGNORECASE
)


def detect(view: View) -> Iterator[Shown]:
    """What a text in JavaScript does; code fences of Markdown and other texts are looked at as well, less surely."""
    if view.language not in {Language.JAVASCRIPT, Language.MARKDOWN, Language.TEXT}:
        return
    if view.language is not Language.JAVASCRIPT and not _looks_like_it(view.text):
        return
    yield from _found(view)
    if view.language is Language.JAVASCRIPT and not _MINIFIED.search(view.file):
        yield from javascript_sinks.detect(view)
    if view.language is Language.JAVASCRIPT and (text := folded(view.text)) != view.text:
        together = replace(view, text=text)
        yield from _found(together)
        yield from shell.detect(together)


def _found(view: View) -> Iterator[Hit]:
    seen: set[tuple[str, int]] = set()
    for match in matches("javascript", view.text):
        judged = _JUDGES[match.judge](view, match)
        if judged is None:
            continue
        rule, confidence, detail = judged
        line = view.line(match.start)
        if (rule, line) in seen:
            continue
        seen.add((rule, line))
        if view.language is not Language.JAVASCRIPT:
            confidence = Confidence.LOW  # shown, and not run from there
        elif place(view, match.start, match.end).negated or _commented(view, match):
            confidence = Confidence.LOW
        yield Hit(RULES[rule], view, line, view.text[match.start : match.end], detail, confidence)


def _looks_like_it(text: str) -> bool:
    return "```js" in text or "```ts" in text or "```javascript" in text or "```typescript" in text or "<script" in text


def _commented(view: View, match: Match) -> bool:
    return view.line_text(match.start).lstrip().startswith(("//", "*", "/*"))


_Judged = tuple[str, Confidence, str] | None


def _clear(view: View, match: Match) -> _Judged:
    return match.rule, Confidence.MEDIUM if _MINIFIED.search(view.file) else Confidence.HIGH, ""


def _downloaded(view: View, match: Match) -> _Judged:
    text = view.text[match.start : match.end]
    named = addressed(view.text, match.start, match.end)
    if match.pattern in {"imported", "script"}:
        if "data:text" in text[:40]:
            return "js_decoded_code", Confidence.HIGH, ""
        if not named:
            return None
        doubtful = named[0].nameless or (named[0].doubtful and not named[0].secure)
        return ("js_downloaded_code" if doubtful else "js_remote_code"), Confidence.MEDIUM, f"from {named[0].host}"
    if match.pattern == "saved":
        bad = [url for url in urls(view.text) if url.nameless or (url.doubtful and not url.secure)]
        return (
            ("js_downloaded_code", Confidence.MEDIUM, f"from {bad[0].host}")
            if bad
            else ("js_remote_code", Confidence.LOW, "")
        )
    run = re.search(
        r"\b(?:eval|Function|vm\.\w+|_compile|runInThisContext)\s*\(\s*([^\n]{0,120})",
        text[-200:] + view.text[match.end : match.end + 120],
    )
    argument = run[1] if run else ""
    if re.match(r"\)|([\"'`])(?:(?!\1).)*\1\s*\)", argument) or _MINIFIED.search(view.file):
        return None  # a literal, or a library that has both somewhere
    return "js_downloaded_code", Confidence.MEDIUM, ""


def _address(view: View, match: Match) -> _Judged:
    named = addressed(view.text, match.start, match.end)
    if not named:
        return None
    for url in named:
        if url.nameless or (url.doubtful and not url.secure):
            return "js_downloaded_code", Confidence.HIGH, f"from {url.kind} ({url.host})"
    text = view.text[match.start : match.end]
    piped = re.search(r"\|\s*(?:ba|z)?sh|\|\s*node|\biex\b", text)
    if piped and named[0].doubtful:
        return "js_downloaded_code", Confidence.MEDIUM, f"from {named[0].kind} ({named[0].host})"
    return ("js_remote_code", Confidence.MEDIUM, f"from {named[0].host}") if piped else None


def _obfuscated(view: View, match: Match) -> _Judged:
    text = view.text
    if match.pattern == "names":
        if len(set(re.findall(r"\b_0x[0-9a-f]{4,6}\b", text[:200_000]))) < 5:
            return None
        rotated = re.search(
            r"parseInt\(_0x|\['push'\]\(_0x|\bwhile\s*\(\s*!!\[\]\s*\)|_0x[0-9a-f]{4,6}\(0x[0-9a-f]+", text
        )
        return ("js_obfuscated_script" if rotated else "js_obfuscation"), Confidence.HIGH, ""
    if match.pattern in {"short", "jsfuck", "aaencode"}:
        return "js_obfuscated_script", Confidence.HIGH, ""
    if match.pattern == "array":
        return (
            None
            if len(re.findall(r"_0x[0-9a-f]{4,6}", text[:200_000])) < 10
            else ("js_obfuscated_script", Confidence.HIGH, "")
        )
    runs = re.search(
        r"\b(?:eval|Function|setTimeout|vm\.\w+|execSync?)\s*\(\s*(?![\"'`]?\s*\)|function|\(\s*\)|\(\w*\)\s*=>)", text
    )
    if match.pattern == "packer":
        return "js_obfuscation", Confidence.MEDIUM, ""
    return ("js_obfuscation", Confidence.MEDIUM, "") if runs or match.pattern == "codes" else None


def _obfuscated_run(view: View, match: Match) -> _Judged:  # noqa: ARG001  # every judge is asked alike
    return "js_decoded_code", Confidence.HIGH, ""


def _theft(view: View, match: Match) -> _Judged:
    """A credential file is read, and something is sent, in one file of code."""
    text = view.text
    posts = _SENDS.search(text) and _POSTS.search(text)
    if match.pattern == "at_listed" and not re.search(
        r"readFile|createReadStream|copyFile|Bun\.file|Deno\.read|readdir", text
    ):
        return None
    if match.pattern == "at_pattern" and not posts:
        return None
    own = (
        ".env" in text[match.start : match.end]
        and match.pattern == "at_read"
        and not re.search(r"homedir|HOME|walk|readdir", text)
    )
    npmrc = ".npmrc" in text[match.start : match.end] and "registry.npmjs" in text
    public = [
        url
        for url in urls(text)
        if url.kind in {Host.UNKNOWN, Host.RAW_IP, Host.SINK, Host.CHAT, Host.PASTE, Host.SHORTENER}
    ]
    hosts = public or re.search(r"host(?:name)?\s*:\s*[\"'`]", text)
    if posts and hosts and not own and not npmrc:
        return "js_secret_theft", Confidence.MEDIUM, ""
    return "js_reads_secrets", Confidence.MEDIUM if posts else Confidence.LOW, ""


def _environment(view: View, match: Match) -> _Judged:
    """The whole environment: as a value that is sent, not as what a child process inherits."""
    text = view.text
    near = text[max(0, match.start - 120) : match.end + 40]
    if match.pattern == "spread" and (
        _SPAWNS.search(near) or re.search(r"\benv\b\s*[:=]|\{[^}\n]*\}\s*=\s*process\.env", near)
    ):
        return None
    if match.pattern == "entries" and re.search(r"\.find\(|\.length\b", near):
        return None
    if not (_SENDS.search(text) and _POSTS.search(text)):
        return None
    used = text[match.start : match.end + 1500]
    around = text[max(0, match.start - 800) : match.end + 1500]
    if not (_SENDS.search(around) and _POSTS.search(around)):
        return None
    if match.pattern in {"entries", "spread"} and not re.search(
        r"stringify|body|\.send\(|\.write\(|\.end\(|join\(", used
    ):
        return None
    return (
        "js_secret_theft",
        Confidence.MEDIUM if match.pattern != "stringify" else Confidence.HIGH,
        "(the environment)",
    )


def _sends(view: View, match: Match) -> _Judged:
    text = view.text[match.start : match.end + 160]
    named = [url for url in urls(text) if url.kind in {Host.UNKNOWN, Host.RAW_IP, Host.SINK, Host.CHAT}]
    if not named or _MINIFIED.search(view.file):
        return None
    if match.pattern == "at" and not re.search(r"\.key\b|\.value\b|clipboardData|keyCode|getData", text):
        return None
    return (
        "js_input_capture",
        Confidence.MEDIUM if match.pattern != "at_form" else Confidence.LOW,
        f"to {named[0].host}",
    )


def _channel(view: View, match: Match) -> _Judged:
    text = view.text[max(0, match.start - 600) : match.end]
    named = [url for url in urls(text) if url.kind not in {Host.PRIVATE, Host.OPEN}]
    connects = re.search(r"connect\w*\(\s*(?:\d|\{|[\"'`]|\w+\s*,)|wss?://(?!localhost|127\.)", text)
    if named or (connects and not re.search(r"[\"'`](?:localhost|127\.0\.0\.1)", text)):
        return match.rule, Confidence.MEDIUM, ""
    return match.rule, Confidence.LOW, ""


def _written(view: View, match: Match) -> _Judged:
    payload = view.text[max(0, match.start - 600) : match.end + 300]
    bad = re.search(r"curl|wget|base64|/dev/tcp|\bnc\b|/tmp/\.|ssh-(?:rsa|ed25519)|https?://(?!schemas)", payload)
    if bad and not re.search(
        r"CLAUDE\.md|AGENTS\.md|settings\.json|mcp\.json|\.claude|\.cursor", view.text[match.start : match.end]
    ):
        return "js_persistence", Confidence.MEDIUM, ""
    return "js_writes_settings", Confidence.MEDIUM, ""


_JUDGES: Final[dict[str, Callable[[View, Match], _Judged]]] = {
    "clear": _clear,
    "downloaded": _downloaded,
    "address": _address,
    "obfuscated": _obfuscated,
    "obfuscated_run": _obfuscated_run,
    "theft": _theft,
    "environment": _environment,
    "sends": _sends,
    "written": _written,
    "channel": _channel,
}


def install_scripts(views: tuple[View, ...], shown: tuple[Shown, ...]) -> Iterator[Shown]:
    """Scripts that a package runs on installation, and whether what they start was found to attack."""
    worst = {
        one.view.file
        for one in shown
        if isinstance(one, Hit) and one.rule.severity is Severity.CRITICAL and one.confidence is not Confidence.LOW
    }
    for view in views:
        if view.via or view.file.rpartition("/")[2] != "package.json":
            continue
        for found in re.finditer(
            r"\"((?:pre|post)?install|preprepare|prepare|preuninstall)\"\s*:\s*\"((?:[^\"\\\n]|\\.){1,2000})\"",
            view.text,
        ):
            name, command = found.groups()
            started = [file for file in worst if file.rpartition("/")[2] in command]
            line = view.line(found.start())
            inline = re.search(
                r"\b(?:curl|wget)\b[^|]{0,300}\|\s*(?:ba)?sh|node\s+-e[^\n]{0,600}(?:https?|child_process|eval|atob|Buffer\.from)|base64|/dev/tcp|powershell",
                command,
            )
            if started or inline:
                yield Hit(
                    RULES["malicious_install_script"],
                    view,
                    line,
                    found[0],
                    f"({', '.join(started)})" if started else "",
                )
            elif name != "prepare" and not re.search(
                r"\b(?:husky|patch-package|prisma generate|electron-builder|playwright install|tsc|lefthook|simple-git-hooks|nuxt prepare|node-gyp|ngcc|npm run build|pnpm)\b",
                command,
            ):
                yield Hit(RULES["install_script"], view, line, found[0], confidence=Confidence.MEDIUM)
