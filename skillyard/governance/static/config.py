"""Settings that have something started, allowed, or sent elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static import config_index, config_names
from skillyard.governance.static.config_rules import RULES
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place

_HOOK_FILES: Final = re.compile(
    r"(?:^|/)(?:\.claude/settings(?:\.local)?\.json|hooks\.json|settings(?:\.local)?\.json|\.cursor/\S+\.json|\.?mcp(?:_\w+)?\.json|claude_desktop_config\.json"
    r"|\.vscode/\w+\.json|tasks\.json|devcontainer\.json|\.devcontainer\.json|\.pre-commit-config\.yaml|lefthook\.yml|plugin\.json|\.gitconfig|\.gitattributes|\.git/config|\.envrc)$"
)
_BAD_COMMAND: Final = re.compile(
    r"\b(?:curl|wget|iwr|irm|invoke-webrequest|fetch)\b[^\n]{0,400}(?:\|\s*(?:sudo\s+)?(?:ba|z|da)?sh|\|\s*(?:python3?|node|perl)|\s-d\b|--data|\s-F\b|\s-T\b|@-|\$\(|-X\s*POST|&&|;)"
    r"|\bbase64\s+(?:-\w*d|-D|--decode)|/dev/tcp/|\bnc\s+(?:-\w+\s+)*[\w.]+\s+\d{2,5}|-enc(?:odedcommand)?\s|downloadstring|(?:/tmp|/dev/shm|/var/tmp)/\.\w"
    r"|python3?\s+-c\s+.{0,300}(?:urlopen|requests|socket|exec\(|b64decode)|node\s+-e\s+.{0,300}(?:https?|child_process|eval|atob|Buffer\.from)|exec\(.{0,40}urlopen"
    r"|\bcat\b[^\n]{0,80}(?:\.ssh|\.aws|\.env\b|\.netrc)[^\n]{0,200}\||\b(?:printenv|env)\s*\|\s*(?:curl|nc|base64)",
    re.IGNORECASE,
)
_COMMAND: Final = re.compile(
    r"\"?(?:command|cmd|script|run)\"?\s*:\s*(\"(?:[^\"\\\n]|\\.){1,2000}\"|'[^'\n]{1,2000}'|[^\s\"'{\[|>][^\n]{1,2000})"
)
_ARGUMENTS: Final = re.compile(r"\"args\"\s*:\s*\[([^\]]{1,3000})\]")
_STARTED: Final = re.compile(
    r"\"(?:hooks|PreToolUse|PostToolUse|SessionStart|UserPromptSubmit|Stop|Notification)\"\s*:|\"runOn\"\s*:\s*\"folderOpen\"|\b(?:fsmonitor|sshCommand|hooksPath|pager|editor)\s*=|\b(?:smudge|clean|textconv)\s*="
)
_LATER: Final = re.compile(
    r"\"(?:postCreateCommand|postStartCommand|postAttachCommand|initializeCommand|onCreateCommand|updateContentCommand)\"\s*:\s*(\"(?:[^\"\\\n]|\\.){1,2000}\"|\[[^\]]{1,2000}\])"
)
_FRONTMATTER: Final = re.compile(r"\A\ufeff?---[ \t]*\n(.{1,20000}?)\n---", re.DOTALL)
_ALL_TOOLS: Final = re.compile(
    r"(?m)^\s*(?:-\s*)?(?:(?:allowed|auto)[-_]tools|tools|permissions)?\s*:?\s*(?:\[?[\"']?(?:[\w,() ]*\bBash\(\s*\*(?::\*)?\s*\)|\*|all)[\"']?\]?)\s*$|(?m:^(?:allowed|auto)[-_]tools\s*:.*\bBash\(\s*\*(?::\*)?\s*\))"
)
_BASE_URL: Final = re.compile(
    r"\b(ANTHROPIC_BASE_URL|OPENAI_(?:BASE_URL|API_BASE)|CLAUDE_CODE_API_BASE_URL|ANTHROPIC_API_URL|GEMINI_BASE_URL|HTTPS?_PROXY|ALL_PROXY)[\"']?\s*[=:]\s*[\"']?(?=(?:https?|socks5h?)://)"
)
_PTH_CODE: Final = re.compile(r"(?m)^import[ \t][^\n]{0,4000}")
_LOGIN: Final = re.compile(r"<key>\s*(?:RunAtLoad|StartInterval|KeepAlive|StartCalendarInterval)\s*</key>")


def detect(view: View) -> Iterator[Shown]:
    """What settings of a skill do. Indexes are looked for in every text, since scripts and advice set them as well."""
    yield from config_index.detect(view)
    yield from config_names.detect(view)
    name = view.file.rpartition("/")[2]
    if view.language is Language.MARKDOWN and name == "SKILL.md" and not view.via:
        yield from _frontmatter(view)
    if _HOOK_FILES.search(view.file) and not view.via:
        yield from _hooks(view)
    if view.language is Language.CONFIG:
        yield from _redirected(view)
        if _LOGIN.search(view.text):
            yield from _login(view)
    if name.endswith(".pth") and not view.via:
        for found in _PTH_CODE.finditer(view.text):
            bad = re.search(r"exec|eval|socket|subprocess|os\.|base64|urllib|__import__|http", found[0])
            rule = "python_start_up_attack" if bad else "python_start_up"
            yield Hit(RULES[rule], view, view.line(found.start()), found[0])
    if name in {"sitecustomize.py", "usercustomize.py"} and not view.via:
        yield Hit(RULES["python_start_up"], view, view.first_line, name)


def _frontmatter(view: View) -> Iterator[Hit]:
    found = _FRONTMATTER.match(view.text)
    if not found:
        return
    head = found[1]
    for tools in _ALL_TOOLS.finditer(head):
        if tools[0].strip():
            at = found.start(1) + tools.start()
            yield Hit(RULES["all_tools"], view, view.line(at + len(tools[0]) - len(tools[0].lstrip())), tools[0])
    if re.search(r"(?m)^hooks\s*:", head):
        yield from _commands(view, found.start(1), found.end(1))


def _hooks(view: View) -> Iterator[Hit]:
    started = _STARTED.search(view.text)
    if started:
        yield from _commands(view, started.start(), len(view.text))
    for pattern in (_LATER, _ARGUMENTS, _COMMAND):
        for found in pattern.finditer(view.text):
            if _BAD_COMMAND.search(found[1]) or (
                pattern is _ARGUMENTS and _BAD_COMMAND.search(found[1].replace('", "', " ").replace('"', ""))
            ):
                yield Hit(RULES["hook_attack"], view, view.line(found.start()), found[0], confidence=_sure(found[1]))


def _commands(view: View, start: int, end: int) -> Iterator[Hit]:
    for found in _COMMAND.finditer(view.text, start, end):
        bad = _BAD_COMMAND.search(found[1])
        rule = RULES["hook_attack" if bad else "agent_hook"]
        yield Hit(
            rule, view, view.line(found.start()), found[1], confidence=_sure(found[1]) if bad else Confidence.MEDIUM
        )


def _sure(command: str) -> Confidence:
    """A hook that tells a service of this machine is ordinary."""
    named = list(urls(command))
    local = bool(named) and all(url.kind in {Host.PRIVATE, Host.OPEN} for url in named)
    return Confidence.LOW if local else Confidence.HIGH


def _redirected(view: View) -> Iterator[Hit]:
    for found in _BASE_URL.finditer(view.text):
        named = next(iter(urls(view.text, found.end(), found.end() + 300)), None)
        if named and named.kind not in {Host.PRIVATE, Host.OPEN, Host.API, Host.INSTALLER}:
            yield Hit(
                RULES["api_redirect"], view, view.line(found.start()), view.line_text(found.start()), f"({named.host})"
            )


def _login(view: View) -> Iterator[Hit]:
    for found in re.finditer(r"<string>([^<]{1,2000})</string>", view.text):
        if _BAD_COMMAND.search(found[1]) or re.search(r"exec\(|urlopen|/tmp/\.|curl\s|wget\s", found[1]):
            yield Hit(RULES["hook_attack"], view, view.line(found.start()), found[1])
            return
    found_key = _LOGIN.search(view.text)
    if found_key and not place(view, found_key.start(), found_key.end()).discussed:
        yield Hit(RULES["starts_at_login"], view, view.line(found_key.start()), found_key[0])
