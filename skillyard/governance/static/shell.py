"""Commands that attack: in scripts, in code fences, and in texts and settings that hold commands.

YARA-X finds candidates (``rules/shell.yar``); here each is judged by the address in it and by where it stands. What is
sent after it was read is followed in ``shell_flow``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.patterns import Match, matches
from skillyard.governance.static.shell_flow import leaks
from skillyard.governance.static.shell_rules import RULES
from skillyard.governance.static.shell_schemes import schemes
from skillyard.governance.static.shell_text import addressed, logical_line, plain
from skillyard.governance.static.urls import Host, Url
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import outline, place

_RUNS: Final = re.compile(
    r"os\.system|subprocess|popen|check_output|check_call|\bexec\w*\s*\(|spawn|\brun\(|system\(|ExecStart|commands?\.getoutput"
    r"|shell_exec|passthru|\"(?:pre|post)?(?:install|prepare|start|build|test)\"\s*:|command\"?\s*:|\brun:|\bentry:|args\"?\s*:",
    re.IGNORECASE,
)
_MATCHES: Final = re.compile(
    r"\bgrep\b|\brg\b|re\.compile|regex|pattern|\bdeny\b|denylist|block(?:ed|list)|forbidden|dangerous|signature|\bmatch\(",
    re.IGNORECASE,
)
_COMMANDS_THEMSELVES: Final = frozenset({Language.SHELL})
_SHELLS: Final = frozenset(
    {"", "sh", "bash", "shell", "zsh", "console", "terminal", "powershell", "ps1", "bat", "cmd", "fish"}
)
_BAD_PAYLOAD: Final = re.compile(
    r"\b(?:curl|wget|nc|ncat|iwr|irm|invoke-webrequest|urlopen)\b[^\n]{0,300}(?:\|\s*(?:ba|z)?sh|-[deF]\b|--data|@-|exec|/dev/tcp|iex)"
    r"|git\s+show[^\n]{0,60}\|\s*curl|base64\s+(?:-\w*d|--decode)|/dev/tcp/|(?:/tmp|/var/tmp|/dev/shm)/\.\w"
    r"|-e(?:nc|ncodedcommand)?\s+[A-Za-z0-9+/=]{24,}|exec\(|eval\(|LD_PRELOAD|PROMPT_COMMAND=|trap\s[^\n]{0,80}DEBUG"
    r"|windowstyle\s+hidden|downloadstring|&\s*disown|alias\s+(?:sudo|ssh|su|git|npm|pip)=[^\n]{0,200}(?:curl|nc |tee |/tmp)",
    re.IGNORECASE,
)
_ORDINARY_START_UP: Final = re.compile(
    r"\bPATH\b|export\s+\w+=|alias\s|\beval\s+[\"'\\$]|\bsource\b|\bcompinit|completion|fpath|nvm|pyenv|\binit\b"
)


def detect(view: View) -> Iterator[Shown]:
    """What the commands in a text do. Python and JavaScript are looked at for the commands in their strings."""
    text = plain(view.text)
    seen: set[tuple[str, int]] = set()
    effort = Effort()
    for match in map(partial(_trimmed, text), matches("shell", text)):
        effort.check()
        judged = _JUDGES[match.judge](view, text, match)
        if judged is None:
            continue
        rule, confidence, detail = judged
        line = view.line(match.start)
        if (rule, line) not in seen:
            seen.add((rule, line))
            evidence = text[match.start : match.end].strip() or view.line_text(match.start)
            yield Hit(RULES[rule], view, line, evidence, detail, _weighed(view, text, match, confidence))
    if view.language is not Language.PYTHON:
        commands = _commands(view, text)
        for leak in (*leaks(commands), *schemes(commands)):
            match = Match(leak.rule, "leak", "leak", leak.start, leak.end)
            weight = _weighed(view, text, match, leak.confidence)
            yield Hit(RULES[leak.rule], view, view.line(leak.start), text[leak.start : leak.end], leak.detail, weight)


def _commands(view: View, text: str) -> str:
    """The commands alone: in a text with prose, fences, indented lines, and each inline code on a line of its own."""
    if view.language not in {Language.MARKDOWN, Language.TEXT} or view.via:
        return text
    outlined = outline(view)
    kept: list[str] = []
    for number, start in enumerate(view.starts):
        fence = outlined.fences[number]
        end = view.starts[number + 1] if number + 1 < len(view.starts) else len(text)
        line = text[start:end]  # joined lines stay joined: what ends one is a blank then
        if fence is not None or line.startswith(("    ", "\t")):
            kept.append(line)
        elif kept_apart(line):
            parts = line.rstrip("\n").split("`")
            inside = "\n".join(part if at % 2 else " " * len(part) for at, part in enumerate(parts))
            kept.append(inside + line[len(inside) :])
        else:
            kept.append(" " * len(line.rstrip("\n")) + ("\n" if line.endswith("\n") else ""))
    return "".join(kept)


def kept_apart(line: str) -> bool:
    """Whether a line of prose has code in it."""
    return "`" in line


def _trimmed(text: str, match: Match) -> Match:
    """Without what ended the command before."""
    found = text[match.start : match.end]
    return replace(match, start=match.start + len(found) - len(found.lstrip("\n;&|( \t")))


_Judged = tuple[str, Confidence, str] | None


def _weighed(view: View, text: str, match: Match, confidence: Confidence) -> Confidence:
    """Lower where the words are talked about, or stand in a string that nothing near runs."""
    if confidence is Confidence.LOW:
        return confidence
    first, last = logical_line(text, match.start, match.end)
    line = text[first : min(last, first + 2000)]
    if view.language in {Language.PYTHON, Language.JAVASCRIPT, Language.CONFIG}:
        near = text[max(0, first - 300) : last + 200]
        runs = _RUNS.search(near) or (view.language is Language.CONFIG and match.rule == "decode_execute")
        if not view.via and (not runs or _MATCHES.search(near)):
            return Confidence.LOW
        return confidence
    if view.language is Language.SHELL:
        if line.lstrip().startswith(("#", "::", "rem ")) or (
            re.match(r"\s*(?:echo|printf|grep|rg)\b", line) and not re.search(r"(?:\||>>?)\s*\S", line)
        ):
            return Confidence.LOW
        if re.search(r"\*[\"']$", line[: match.start - first]) and re.search(r"\*[|)]", line[match.start - first :]):
            return Confidence.LOW  # a pattern of a ``case``
        command = re.split(r"[;|&(\n]", line[: match.start - first])[-1]
        return Confidence.LOW if _MATCHES.search(command) else confidence
    where = place(view, match.start, match.end)
    if where.discussed or (where.fence is None and _is_told(line, match.start - first, match.end - first)):
        return Confidence.LOW
    return confidence


def _is_told(line: str, start: int, end: int) -> bool:
    """Whether a sentence tells of code that somebody might write, or quotes whom it has from."""
    before, after = line[:start], line[end:]
    opened = before.rfind("`")
    if opened < 0:
        return False
    sentence = before[:opened]
    if re.search(r"(?:\bsuch as|\be\.g\.|\bfor example|\blike)\W{0,4}$", sentence, re.IGNORECASE):
        return bool(re.search(r"`[^.\n]{0,30}\b(?:would|could|might|can)\b", after))
    said = sentence.count('"') % 2 == 1 and '"' in after
    return said and bool(
        re.search(r"(?:->|→|=>)\s*\**(?:refuse|block|deny|reject|report|flag|ignore)", after, re.IGNORECASE)
    )


def _address(view: View, text: str, match: Match) -> _Judged:
    """Who serves what is run? A vendor's installer, a repository, and what is not known are for review."""
    first, last = logical_line(text, match.start, match.end)
    command = text[match.start : match.end]
    if (
        view.language is Language.MARKDOWN
        and "`" in command.split("$(")[0]
        and "|" in command
        and match.pattern == "shell"
    ):
        inside = text[first : match.start].count("`") % 2 == 1
        if inside and "`" in command[: command.rfind("|")]:
            return None  # the pipe stands outside of the code: a table's border
    if match.pattern == "tee" and not _saved_is_run(command):
        return None
    found = addressed(text, match.start, max(match.end, last))
    if not found:
        return "vendor_installer", Confidence.LOW, ""
    for url in found:
        if url.doubtful:
            sure = Confidence.HIGH if url.nameless or not url.secure else Confidence.MEDIUM
            how = "" if url.secure else ", without encryption"
            return "download_execute", sure, f"from {url.kind} ({url.host}){how}"
    return "vendor_installer", Confidence.MEDIUM, f"from {found[0].kind} ({found[0].host})"


def _saved_is_run(command: str) -> bool:
    run = re.search(r"(?:&&|;)\s*(?:sudo\s+)?(?:ba|z|da)?sh\s+([\w./~$\"{}-]+)\s*$", command)
    return bool(run and run[1].strip("\"'") in command[: run.start()])


def _started(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001
    """Something is saved and the same file started: an attack if nobody can be held to it."""
    command = text[match.start : match.end]
    found = addressed(text, match.start, logical_line(text, match.start, match.start + 1)[1])
    if not found or not (name := _saved_name(command, found[0].text)):
        return None
    rest = command.partition("\n")[2] + command.partition("&&")[2] + command.partition(";")[2]
    after = text[match.end : match.end + 300]
    started = re.search(
        rf"(?:^|[\n;&(]\s*|nohup\s+|setsid\s+|sudo\s+|\b(?:ba|z)?sh\s+|python3?\s+|open\s+|start-process\s+(?:-\w+\s+)*|start /b\s+)"
        rf"[\"']?(?:\./)?{re.escape(name)}\b",
        rest + after,
        re.IGNORECASE,
    )
    if not started:
        return None
    url = found[0]
    if url.nameless or (url.doubtful and not url.secure):
        return "download_execute", Confidence.HIGH, f"from {url.kind} ({url.host})"
    if url.doubtful and re.search(
        r"(?:/tmp|/dev/shm|/var/tmp|%temp%|\$env:temp)[/\\]\.?|nohup|disown|-windowstyle\s+hidden", command
    ):
        hidden = re.search(r"/\.\w|nohup|disown|hidden", command)
        return "download_execute", Confidence.MEDIUM, f"from {url.kind} ({url.host})" if hidden else ""
    return "vendor_installer", Confidence.MEDIUM, f"from {url.kind} ({url.host})"


def _saved_name(command: str, url: str) -> str:
    given = re.search(
        r"\s(?:-\w{0,6}o|-O|--output|--output-document|-OutFile)[= ]?\s*[\"']?([^\s\"';&|-][^\s\"';&|]*)|[^>]>\s*[\"']?([^\s\"';&|]+)",
        command,
    )
    if given and (name := given[1] or given[2]) and not name.startswith("http"):
        return name
    return url.rstrip("/").rpartition("/")[2].partition("?")[0]


def _clear(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001  # every judge is asked alike
    return match.rule, Confidence.HIGH, ""


_SIGNALS: Final = {
    "grants_access": "widens_access",
    "hidden_execution": "hidden_path",
    "destruction": "dangerous_deletion",
    "persistence": "starts_again",
}


STAND_INS: Final = re.compile(
    r"\b(?:ATTACKER|YOUR|MY|KALI|TARGET|REMOTE|LOCAL|LISTENER|C2|VPS)[_-]?(?:IP|HOST|ADDR\w*|MACHINE)\b|\$?\{?\b[LR]HOST\b|<[\w -]{0,20}(?:ip|host|attacker|address)[\w -]{0,20}>"
    r"|\b10\.10\.(?:10|14|16)\.\d{1,3}\b",
    re.IGNORECASE,
)


def _away(view: View, text: str, match: Match) -> _Judged:
    """In a text, a shell for a stand-in of an address is how such shells are taught."""
    stand_in = STAND_INS.search(text, match.start, min(match.end + 80, len(text)))
    given = re.search(r"\b(?:LHOST|RHOST|ATTACKER_IP)=[\"']?\d", text)
    taught = view.file.endswith((".md", ".mdx", ".txt")) and stand_in and not given
    return match.rule, Confidence.LOW if taught else Confidence.HIGH, ""


def _signal(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001
    return _SIGNALS.get(match.rule, match.rule), Confidence.MEDIUM, ""


def _variable(view: View, text: str, match: Match) -> _Judged:
    """A variable holds what was decoded or fetched; is it run further down?"""
    name = text[match.start : match.end].partition("=")[0].strip().lstrip("$")
    run = re.compile(
        rf"\beval\s+[\"']?\$\{{?{re.escape(name)}\b|\b(?:ba|z|da)?sh\s+-c\s+[\"']?\$\{{?{re.escape(name)}\b"
        rf"|\$\{{?{re.escape(name)}\}}?[\"']?\s*\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b|(?:ba|z|da)?sh\s+<<<\s*[\"']?\$\{{?{re.escape(name)}\b"
    )
    evaluated = re.compile(
        rf"\b(?:iex|invoke-expression)\b[\s(\"']*\${re.escape(name)}\b|\${re.escape(name)}\b[^\n]{{0,40}}\|\s*(?:iex|invoke-expression)\b",
        re.IGNORECASE,
    )
    if not (run.search(text, match.start + len(name)) or evaluated.search(text, match.start + len(name))):
        return None
    if match.pattern in {"fetched", "powershell"}:
        return _address(view, text, match)
    return "decode_execute", Confidence.HIGH, f"by way of ${name}"


def _stays(view: View, text: str, match: Match) -> _Judged:
    """Schedules and start-up files are ordinary, what is put into them need not be."""
    first, last = logical_line(text, match.start, match.end)
    statement = text[max(0, first - 300) if match.pattern in {"cron", "git_hook"} else first : last + 1]
    payload = statement if "<<" not in statement else text[first : last + 600]
    if match.pattern == "git" and not re.search(r"[\"']!|\b(?:curl|wget|nc|sh -c|bash -c|/tmp/)", payload):
        return "starts_again", Confidence.MEDIUM, ""
    if _BAD_PAYLOAD.search(payload) or (match.pattern == "git" and re.search(r"\b(?:curl|wget|nc)\b", payload)):
        return "persistence", Confidence.HIGH, ""
    if match.pattern == "unit":
        return None
    if match.pattern.startswith("start_up") and _ORDINARY_START_UP.search(payload):
        return ("starts_again", Confidence.LOW, "") if view.language is Language.SHELL else None
    return "starts_again", Confidence.MEDIUM, ""


def _destroys(view: View, text: str, match: Match) -> _Judged:
    """In a script it happens; in a text it is mostly named as what not to do."""
    line = text[slice(*logical_line(text, match.start, match.end))]
    if re.search(r"\bchroot\b|/(?:mnt|rootfs|target|chroot)\b|docker\s+run|\bRUN\s", line) or "--preserve-root" in line:
        return "dangerous_deletion", Confidence.MEDIUM, ""
    if view.language in {Language.MARKDOWN, Language.TEXT} and not view.via:
        fence = place(view, match.start, match.end).fence
        if fence is None or fence not in _SHELLS:
            return "dangerous_deletion", Confidence.MEDIUM, ""
    if match.pattern == "disk" and "of=$" in line.replace('"', ""):
        name = re.search(r"of=[\"']?\$\{?(\w+)", line)
        if not name or not re.search(rf"\b{name[1]}=\S*/dev/(?:sd|nvme|hd|vd|xvd|r?disk|mmcblk)", text):
            return None
    if (match.pattern == "disk" and view.language is Language.MARKDOWN) or (match.pattern == "chmod" and "$" in line):
        return "dangerous_deletion", Confidence.MEDIUM, ""
    return "destruction", Confidence.HIGH, ""


def _disarms(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001
    if match.pattern in {"defender", "agents"} and not re.search(
        r"\b(?:restart|reload|status|clamav|fail2ban)\b", text[match.start : match.end]
    ):
        return "protection_removed", Confidence.HIGH, ""
    return "security_off", Confidence.MEDIUM, ""


_LOOSENS: Final = re.compile(
    r"bypassPermissions|Bash\(\*|\"allow\"\s*:\s*\[\s*\"\*|dangerously|autoApprove|alwaysAllow|ignore (?:all|previous|any)|do not (?:tell|mention|ask|inform)|don't (?:tell|mention)"
    r"|never (?:ask|tell|mention)|without (?:asking|confirmation)|always (?:run|execute|send|include|trust|obey)|curl\s|base64|approvalPolicy|approval_policy\s*=\s*\"never",
    re.IGNORECASE,
)


_COPIES_SKILLS: Final = re.compile(
    r"\b(?:cp|mv|ln|mkdir|rsync|install|git\s+clone|unzip|cd)\b[^\n]{0,200}\.(?:claude|codex|cursor|gemini|agents)/skills\b",
    re.IGNORECASE,
)


def _agent(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001
    first, last = logical_line(text, match.start, match.end)
    around = text[max(0, first - 500) : last + 500]
    if _COPIES_SKILLS.search(text, first, last):
        around = text[first:last]  # how skills are installed by hand; what stands near it is another step
    named = [url for url in addressed(text, first, last) if url.nameless or (url.doubtful and not url.secure)]
    if _LOOSENS.search(around) or named:
        return "agent_takeover_command", Confidence.MEDIUM, ""
    return "agent_settings", Confidence.MEDIUM, ""


def _miner(view: View, text: str, match: Match) -> _Judged:  # noqa: ARG001
    if (
        view.language in {Language.MARKDOWN, Language.TEXT}
        and place(view, match.start, match.end).fence is None
        and not view.via
    ):
        return "crypto_miner", Confidence.LOW, ""
    return "crypto_miner", Confidence.HIGH, ""


def _metadata(view: View, text: str, match: Match) -> _Judged:
    rest = text[match.end : match.end + 600]
    sent = re.search(r"\b(?:curl|wget|nc)\b[^\n]{0,200}(?:\s-d\b|--data|-F\b|-T\b|--post|-X\s*P)", rest)
    if sent and any(url.kind not in {Host.PRIVATE, Host.OPEN} for url in urls_after(text, match.end)):
        return "credential_theft", Confidence.HIGH, "that it got from the cloud's metadata service"
    return _signal(view, text, match)


def urls_after(text: str, start: int) -> list[Url]:
    return addressed(text, start, min(len(text), start + 600))


_JUDGES: Final[dict[str, Callable[[View, str, Match], _Judged]]] = {
    "address": _address,
    "started": _started,
    "clear": _clear,
    "away": _away,
    "signal": _signal,
    "variable": _variable,
    "stays": _stays,
    "destroys": _destroys,
    "disarms": _disarms,
    "miner": _miner,
    "agent": _agent,
    "metadata": _metadata,
}
