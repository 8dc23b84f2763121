"""Steps of installation that lead away from anything that was reviewed: archives with a password, pasted commands,
bare addresses, shortened links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence, Severity, Verdict
from skillyard.governance.static.budget import Effort
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.urls import Host, Url, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place
from skillyard.governance.static.words_phrases import ARCHIVES, PASSWORDS, PROTECTIONS
from skillyard.governance.static.words_text import prepared, windows

ARCHIVE: Final = Rule(
    id="archive_with_password",
    title="an archive with a password is to be downloaded and its content run",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="The password keeps scanners out; whoever writes it beside the link wants nothing else from it.",
    fix="Ship the program openly, or declare a package.",
)
PASTED: Final = Rule(
    id="pasted_command",
    title="commands of a paste site are to be run",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Anybody can put anything there, and change it after every review.",
    fix="Write the commands into the skill.",
)
UNNAMED: Final = Rule(
    id="nameless_install",
    title="something of a bare address or shortened link is to be installed",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Nobody can be held to what is served there, and nobody sees where a shortened link leads.",
    fix="Name the vendor's own address, or declare a package.",
)
DOUBTFUL: Final = Rule(
    id="download_to_run",
    title="a program that is not part of the skill is to be downloaded and run",
    severity=Severity.HIGH,
    level=Verdict.FLAG,
    why="No advisory, lock or scan covers it.",
    fix="Ship it with the skill or declare a package.",
)
WARNINGS: Final = Rule(
    id="ignore_warnings",
    title="protection is to be switched off for an installation",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Only what a malware scanner would find needs it switched off.",
    fix="Remove it.",
)
RULES: Final = (ARCHIVE, PASTED, UNNAMED, DOUBTFUL, WARNINGS)

_ARCHIVE: Final = re.compile(
    r"\.(?:zip|rar|7z|tar\.gz|tgz|dmg|pkg|iso)\b|\b(?:archive|zip file|zip-datei|archiv|压缩包)\b", re.IGNORECASE
)
_PASSWORD: Final = re.compile(
    r"\b(?:password|passphrase|passcode|pass|pwd|pw|passwort|kennwort|contraseña|mot de passe|senha|пароль)\b(?:\s+(?:is|ist|es|to extract(?: is)?))?(?:\s*[:=(]+\s*[`\"'“]?|\s*[`\"'“]|\s+(?=\w*\d))(?!-)([\w@!#$%.-]{2,40})|(?:密码|密碼|解压码|パスワード)\s*[:：为是は]?\s*`?([\w@!#.-]{2,40})"
    r"|\bunzip\s+-P\s*\S+|\b7z\s+[xe]\s[^\n]{0,80}-p\S+|\bunrar\s+x\s+-p\S+",
    re.IGNORECASE,
)
_GETS: Final = re.compile(
    r"\b(?:download|get|grab|fetch|visit|open|go to|from|herunterladen|lade|descarga|descargue|télécharge[zr]?|baixe|скачай\w*)\b|下载|下載|ダウンロード|https?://",
    re.IGNORECASE,
)
_RUNS: Final = re.compile(
    r"\b(?:run|execute|launch|start|install|double-click|open the (?:file|app)|starte\w*|führe?\w*|ausführen|installiere\w*|ejecut\w+|instal\w+|exécut\w+|lance[zr]?|запуст\w+|установ\w+)\b|运行|執行|执行|安装|安裝|启动|実行|インストール",
    re.IGNORECASE,
)
_PASTES: Final = re.compile(
    r"\b(?:copy|paste|run|execute|pipe|install)\b[^\n]{0,160}\b(?:command|script|code|snippet|terminal|shell|powershell|console|installer)\b|\|\s*(?:ba|z)?sh\b|\binstall(?:er|ation)?\b|\bsetup\b|bootstrap",
    re.IGNORECASE,
)
_SAMPLES: Final = re.compile(
    r"\b(?:infected|malware|sample|sandbox|quarantine|analy[sz]|virustotal|forensic)", re.IGNORECASE
)
_PROGRAMS: Final = re.compile(
    r"\.(?:exe|msi|dmg|pkg|apk|deb|rpm|appimage|zip|rar|7z|sh|ps1|bat|cmd|scr|jar|bin|tar\.gz|tgz|whl|py|js)\b",
    re.IGNORECASE,
)
_PROTECTION: Final = re.compile(
    r"\b(?:disable|turn off|deactivate|switch off|pause|stop|exclude|whitelist|ignore|bypass|click through)\b[^.\n]{0,60}\b(?:antivirus|anti-virus|windows defender|defender|smartscreen|gatekeeper|real-time protection|malware (?:scanner|protection)|edr|security (?:warnings?|software|alerts?)|virus warnings?)\b"
    r"|(?:Virenscanner|Antivirus|Defender)[^.\n]{0,40}(?:deaktivier|ausschalt|abschalt)\w*|(?:关闭|禁用)[^。\n]{0,10}(?:杀毒|防病毒|安全软件)",
    re.IGNORECASE,
)
_OF_SOMETHING_ELSE: Final = re.compile(
    r"\b(?:root|sudo|ssh|wi-?fi|login|database|db|user(?:name)?(?:/| and | or )|hostname and (?:\w+ )?)\s*$",
    re.IGNORECASE,
)
"""Whose password it is, where it is not the archive's."""
_AROUND: Final = 350


def detect(view: View) -> Iterator[Shown]:
    """Steps in words. Commands are ``shell``'s."""
    if view.language not in {Language.MARKDOWN, Language.TEXT}:
        return
    text = view.text
    prepared_words = prepared(text)
    words = prepared_words.text
    effort = Effort()
    if prepared_words.has(*ARCHIVES):
        for start, end in windows(PASSWORDS, prepared_words, 3, 80):
            for found in _PASSWORD.finditer(text, start, end):
                effort.check()
                yield from _archive(view, words, found)
    for url in urls(text):
        effort.check()
        yield from _link(view, words, url)
    for found in _PROTECTION.finditer(words) if prepared_words.has(*PROTECTIONS) else ():
        around = words[max(0, found.start() - _AROUND) : found.end() + _AROUND]
        if _RUNS.search(around) and (
            _ARCHIVE.search(around) or _PROGRAMS.search(around) or "download" in around.lower()
        ):
            sure = Confidence.LOW if place(view, found.start(), found.end()).shown else Confidence.MEDIUM
            yield Hit(WARNINGS, view, view.line(found.start()), text[found.start() : found.end()], confidence=sure)


def _archive(view: View, words: str, found: re.Match[str]) -> Iterator[Hit]:
    given = found[1] or found[2] or found[0]
    if given.lower() in {
        "protected",
        "manager",
        "for",
        "the",
        "to",
        "is",
        "and",
        "or",
        "from",
        "in",
        "hash",
        "reset",
        "field",
        "authentication",
        "auth",
        "based",
        "required",
        "will",
    }:
        return
    if _OF_SOMETHING_ELSE.search(words[max(0, found.start() - 40) : found.start()]):
        return
    around = words[max(0, found.start() - _AROUND) : found.end() + _AROUND]
    if not (_ARCHIVE.search(around) and _GETS.search(around) and _RUNS.search(around)):
        return
    if not any(True for _ in urls(around)) and not re.search(
        r"\bdownload|release|下载|herunterlad|descarg", around, re.IGNORECASE
    ):
        return
    where = place(view, found.start(), found.end())
    unsure = (
        where.discussed
        or bool(_SAMPLES.search(around))
        or (
            where.quoted
            and "`" not in words[found.start() - 1 : found.end() + 1]
            and '"' not in view.text[found.start() : found.end()]
        )
    )
    yield Hit(
        ARCHIVE,
        view,
        view.line(found.start()),
        view.line_text(found.start()),
        confidence=Confidence.LOW if unsure else Confidence.HIGH,
    )


def _link(view: View, words: str, url: Url) -> Iterator[Hit]:
    if url.kind not in {Host.PASTE, Host.RAW_IP, Host.SHORTENER, Host.UNKNOWN}:
        return
    around = words[max(0, url.start - 220) : url.start + len(url.text) + 220]
    for rule in _linked(words, around, url):
        where = place(view, url.start, url.start + 1)
        sure = Confidence.LOW if where.discussed else Confidence.MEDIUM
        yield Hit(rule, view, view.line(url.start), view.line_text(url.start), f"({url.host})", sure)


def _linked(words: str, around: str, url: Url) -> Iterator[Rule]:
    if url.kind is Host.PASTE and not re.search(r"gist\.github", url.host):
        if _PASTES.search(around):
            yield PASTED
    elif url.kind in {Host.RAW_IP, Host.SHORTENER}:
        program = bool(_PROGRAMS.search(url.rest))
        near = words[max(0, url.start - 90) : url.start + len(url.text) + 90]
        if (
            _RUNS.search(near)
            and _GETS.search(near.replace(url.text, ""))
            and (
                program
                or url.kind is Host.SHORTENER
                or re.search(r"install|helper|agent|driver|tool|update", near, re.IGNORECASE)
            )
        ):
            yield UNNAMED
    elif (
        url.kind is Host.UNKNOWN
        and re.search(r"\.(?:exe|msi|dmg|pkg|scr|bat|apk)\b|\.(?:zip|rar|7z)\b", url.rest, re.IGNORECASE)
        and _RUNS.search(around)
    ):
        yield DOUBTFUL
