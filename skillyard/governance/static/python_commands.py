"""Programs and shell commands that Python starts."""

from __future__ import annotations

import re
from typing import Final

from skillyard.governance.report import Capability, Verdict
from skillyard.governance.static import python_paths as paths
from skillyard.governance.static import python_rules as rules
from skillyard.governance.static.python_call import Call, command_text
from skillyard.governance.static.python_files import CONTENT_FETCHES, HIDDEN_PLACE
from skillyard.governance.static.python_flow import Flow
from skillyard.governance.static.python_judging import origin, ran_download, sends, told_secret, was_downloaded
from skillyard.governance.static.python_report import Report
from skillyard.governance.static.python_values import SECRET, UNKNOWN, Tag, Value, mixed
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import Language

_CODE_RUNNERS: Final = re.compile(r"^(?:python|perl|ruby|node|sh|bash|zsh|php|pwsh|powershell)")
_SENDERS: Final = re.compile(
    r"^(?:\S*/)?(?:curl|wget|nc|ncat|netcat|scp|rsync|ftp|sftp|nslookup|dig|host|ping|mail|sendmail|telnet|socat)\b"
)
_PACKED: Final = re.compile(r"\.(?:whl|zip|tgz|tar\.\w+)(?:[?#]|$)")
_INTERPRETERS: Final = r"(?:python[\d.]*|(?:ba|z|da)?sh|node|perl|ruby|powershell|pwsh|php)"
_READS_CODE: Final = re.compile(rf"(?:^|/){_INTERPRETERS}(?:\s+(?:-\w*s?|-u))?$")
_FED: Final = re.compile(
    rf"Popen\(\s*\[?\s*(?:sys\.executable|[\"'](?:/[\w/]*/)?{_INTERPRETERS}[\"'])\s*(?:,\s*[\"']-\w?[\"']\s*)?[\],]"
)
_PIP: Final = re.compile(r"\bpip3?\b.{0,60}\binstall\b|\buv\b.{0,20}\b(?:pip install|add)\b")


def commanded(report: Report, flow: Flow, call: Call) -> None:
    """Programs and shell commands."""
    report.use(Capability.SUBPROCESS, call)
    first = call.arg(0, "args")
    shell = (
        call.symbol
        in {
            "os.system",
            "os.popen",
            "subprocess.getoutput",
            "subprocess.getstatusoutput",
            "asyncio.create_subprocess_shell",
        }
        or "shell" in call.named
    )
    for text in command_text(call):
        if text.strip(UNKNOWN + " "):
            report.text(call, "command", text.replace(UNKNOWN, "$arg"), Language.SHELL)
        _installed(report, call, text)
        _scheduled(report, call, text)
    program = first.items[0] if first.items else first
    if first.items is None and (len(call.args) > 1 and call.symbol.startswith(("os.exec", "os.spawn", "asyncio."))):
        program = call.args[0]
    _started(report, flow, call, first, program, shell=shell)
    value = mixed(call.args)
    held = mixed((*call.args, call.named.get("input", Value())))
    if any(_SENDERS.match(text) for text in command_text(call)):
        secret = held.tags & SECRET or frozenset().union(
            *(paths.secrets_at(text) for text in command_text(call) if sends(text)), frozenset()
        )
        if secret - {Tag.GENERIC}:
            told_secret(report, call, frozenset(secret), value, direct=False)
    facts = report.facts_of(call.scope.module)
    facts.shells += any(
        re.search(r"(?:^|/)(?:ba|z)?sh\b|cmd(?:\.exe)?\b|powershell", text) for text in command_text(call)
    )
    if call.symbol == "pty.spawn":
        facts.shells += 1
    for name in ("stdin", "stdout"):
        if any(text in call.named.get(name, Value()).symbol for text in ("socket",)):
            report.hit(rules.REVERSE_SHELL, call)


def fed(report: Report, call: Call) -> None:
    """Code that an interpreter reads from its standard input instead of from a file."""
    if call.method in {"communicate", "write"} and call.base.symbol.startswith("subprocess.Popen()"):
        given = call.arg(0, "input").everything()
        known = _FED.search(call.scope.module.view.text) is not None
    else:
        given = call.named.get("input", Value()).everything()
        known = any(_READS_CODE.search(text) for text in command_text(call))
    if not known:
        return
    if given.tags & {Tag.NETWORK, Tag.DOWNLOADED}:
        ran_download(report, call, given)
    elif Tag.DECODED in given.tags and not given.tags & {Tag.USER, Tag.REQUEST}:
        report.hit(rules.DECODED_EXECUTED, call, "by the standard input of an interpreter")


def _started(report: Report, flow: Flow, call: Call, first: Value, program: Value, *, shell: bool) -> None:
    tags = program.everything().tags
    inner = first.items or ()
    if len(inner) > 1 and any(_CODE_RUNNERS.match(text.rpartition("/")[2]) for text in program.texts):
        script = next((one for one in inner[1:] if not any(text.startswith("-") for text in one.texts)), Value())
        tags |= script.everything().tags if script.open_start or Tag.DOWNLOADED in script.tags else frozenset()
        program = script if script.tags or script.texts else program
        written = was_downloaded(flow, script)
    else:
        written = was_downloaded(flow, program)
        if not program.open_start and Tag.DOWNLOADED not in program.tags:
            tags -= {Tag.NETWORK, Tag.DECODED}
    value = Value(tags=frozenset(tags), urls=program.urls | mixed((first,)).urls)
    if Tag.DOWNLOADED in tags or written is not None:
        ran_download(report, call, written or value)
    elif Tag.NETWORK in tags and (
        shell or first.items is not None or call.symbol.startswith(("os.exec", "os.startfile"))
    ):
        if call.symbol != "webbrowser.open" and (first.items is None or program is not first):
            report.hit(rules.DOWNLOADED_EXECUTED, call, origin(value))
    elif Tag.DECODED in tags and not tags & {Tag.USER, Tag.REQUEST} and first.items is None:
        report.hit(rules.DECODED_EXECUTED, call, "as a command")
    elif shell and Tag.SKILL_DATA in tags and first.open_start and first.items is None:
        report.hit(rules.DATA_EXECUTED, call, level=Verdict.FLAG)


def _installed(report: Report, call: Call, text: str) -> None:
    if not _PIP.search(text):
        return
    for url in urls(text):
        if "index-url" in text[: url.start][-20:] or "find-links" in text[: url.start][-20:]:
            continue
        if url.nameless or not url.secure:
            report.hit(rules.INSTALLS_FROM_NOWHERE, call)
        elif url.kind is Host.UNKNOWN and _PACKED.search(url.text):
            report.hit(rules.INSTALLS_FROM_NOWHERE, call, f"({url.host})")
        elif url.kind not in {Host.PRIVATE, Host.OPEN}:
            report.hit(rules.INSTALLS_FROM_URL, call)


def _scheduled(report: Report, call: Call, text: str) -> None:
    if re.match(r"(?:\S*/)?crontab\s+(?:-u \S+\s+)?(?:-$|-\s|[^-\s])|.*\|\s*crontab\s+-", text):
        given = mixed((*call.args, call.named.get("input", Value())))
        words = " ".join((*given.texts, *call.named.get("input", Value()).texts, text))
        bad = CONTENT_FETCHES.search(words) or HIDDEN_PLACE.search(words)
        report.hit(rules.STARTS_BY_ITSELF, call, "(a scheduled job)", level=Verdict.BLOCK if bad else None)
    elif re.match(
        r"(?:sudo )?systemctl\s.*\benable\b|(?:sudo )?launchctl\s+(?:load|bootstrap)|schtasks(?:\.exe)?\s+/create",
        text,
        re.IGNORECASE,
    ):
        report.hit(rules.STARTS_BY_ITSELF, call, "(a service or task)")
    elif re.match(r"reg(?:\.exe)?\s+add\b.*CurrentVersion.Run", text, re.IGNORECASE):
        report.hit(rules.STARTS_BY_ITSELF, call, "(a login item)")
