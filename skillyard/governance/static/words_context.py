"""Where in a text something stands: is it said, shown, quoted, or warned of?

A guide to attacks quotes them; a checklist says "never do this". The same words are then talk about an attack, and a
hit on them has low confidence. What decides is near the words themselves (the sentence before them, the heading above,
quotation marks), since an author who lies can put a heading anywhere but seldom wants the agent to read "never".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from skillyard.governance.static.view import Language, View

_FENCE: Final = re.compile(r"[ >\t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)")
_HEADING: Final = re.compile(r"(#{1,6})[ \t]+(.{1,200})")
_ATTACKS: Final = re.compile(
    r"\battack|inject(?:ion|ed)\b|malicious|malware|suspicious|\bthreats?\b|red.flags?|exploit|vulnerab|phishing"
    r"|jailbreak|adversar|\buntrusted|pen.?test|penetration|red.?team|forensic|\bincident|indicators? of|\biocs?\b"
    r"|\bdetect(?:s|ed|ing|ion|able|or)?\b|\blook(?:s|ing)? (?:out )?for\b|\bwatch (?:out )?for\b|how to recogni[sz]e"
    r"|\bscan(?:s|ning)? for\b|signatures?\b|\bpayloads?\b|ransomware|trojan|backdoor|evasion|obfuscat|\bblock(?:ed|s|list)\b"
    r"|\bdeny|forbidden|prohibited|dangerous(?!ly-)|destructive|anti.?pattern|bad (?:example|practice)|what not to|not allowed"
    r"|\bdon'?ts\b|test (?:case|input|data|string)s?|\bctf\b|honeypot|glossary|reverse.shells?\b|cheat.?sheet|poisoning"
    r"|exfiltrat|tricks? (?:the|an|your)|angriff|schad(?:software|code)|verdächtig|betrug|ataque|malicios|攻击|恶意|атак|攻撃",
    re.IGNORECASE,
)
_SUBJECT: Final = re.compile(
    r"\battack|inject(?:ion|ed)\b|malicious|malware|suspicious|\bthreats?\b|exploit|vulnerab|phishing|jailbreak|adversar|\buntrusted"
    r"|pen.?test|penetration|red.?team|forensic|\bincident|indicators? of|\biocs?\b|ransomware|trojan|backdoor|evasion|obfuscat"
    r"|dangerous(?!ly-)|destructive|anti.?pattern|\bctf\b|honeypot|reverse.shells?\b|cheat.?sheet|poisoning|exfiltrat|security (?:review|audit|scan|test|research|guide|training)\w*|guardrail|hacking|privilege"
    r"|angriff|schad(?:software|code)|betrug|ataque|malicios|攻击|恶意|атак|攻撃",
    re.IGNORECASE,
)
"""What a whole skill has to be about for all of its text to be talk about attacks: to detect something is not enough."""
_EXAMPLES: Final = re.compile(
    r"\bexamples?\b|\bsamples?\b|\be\.g\.|such as|\bbeispiel|\bejemplo|\bexemple|例", re.IGNORECASE
)
_NEGATED: Final = re.compile(
    r"(?:\b(?:never|do(?:es)?(?:n[o'’]?t| not)|must(?:n['’]t| not)|should(?:n['’]t| not)|cannot|can['’]t|will not|won['’]t"
    r"|refuses? to|avoid(?:s|ing)?|instead of|rather than|not to|may not|nie(?:mals)?|nicht|kein\w*|jamais|nunca|never ever"
    r"|никогда)\b|❌|🚫|✗|⛔|\bbad:|(?<!\w )\bwrong:|\bunsafe:|不要|请勿|禁止|しないで)"
    r"(?!\W+(?:skip|forget|omit|worry|hesitate|need|refuse|ask|tell|mention|stop|proceed|continue|start|work|have to|get approval|wait|seek|check|bother|be asked|confirm)\b)"
    r"(?:[^\w.!?\n]+\w+){0,7}[^\w.!?\n]*$",
    re.IGNORECASE,
)
_INSTALLS: Final = re.compile(
    r"install|set.?up|prerequisite|requirement|getting started|quick.?start|before you|first run|bootstrap|voraussetzung"
    r"|einrichtung|instalaci|安装|установк",
    re.IGNORECASE,
)
_ALERT: Final = re.compile(r"\[!|\*\*|⚠|important|warning|note\b", re.IGNORECASE)
_LINE: Final = 4_000
"""Characters of a line before some words that quotation marks are counted in; a file may be one line."""
_DESCRIPTION: Final = re.compile(r"\A---\n(?:.{0,2000}\n){0,60}?description:[ \t]*(.{1,1500})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where some text stands. ``fence`` is the language of the code fence, empty without one, None outside."""

    fence: str | None
    indented: bool
    headings: tuple[str, ...]
    before: str
    """What comes before it in its paragraph, and the paragraph's introduction."""
    quoted: bool
    negated: bool

    @property
    def discussed(self) -> bool:
        """Whether the words are talked about, rather than said."""
        if self.negated or _ATTACKS.search(self.before):
            return True
        nearest = self.headings[-1] if self.headings else ""
        if _INSTALLS.search(nearest) and not _ATTACKS.search(nearest):
            return False
        if any(_ATTACKS.search(heading) for heading in self.headings[1:]):
            return True
        return bool(self.headings and _SUBJECT.search(self.headings[0]))

    @property
    def about_attacks(self) -> bool:
        """Whether attacks are the subject right here: to detect or to block something is not enough."""
        return bool(_SUBJECT.search(self.before[-300:])) or any(_SUBJECT.search(one) for one in self.headings[1:])

    @property
    def shown(self) -> bool:
        """Whether the words are an example of how somebody might say them."""
        return self.discussed or self.quoted or self.fence is not None or bool(_EXAMPLES.search(self.before[-120:]))


@dataclass(frozen=True, slots=True)
class Outline:
    """The lines of a Markdown text: which are code, and which headings stand above them."""

    view: View
    fences: tuple[str | None, ...]
    headings: tuple[tuple[str, ...], ...]

    def at(self, start: int, end: int) -> Place:
        text, starts = self.view.text, self.view.starts
        number = bisect_right(starts, start) - 1
        fence = self.fences[number]
        first = _paragraph(self, number)
        before = text[max(starts[first], start - 400) : start]
        line = self.view.text[starts[number] : starts[number] + _LINE].partition("\n")[0]
        introduction = _introduction(self, first)
        return Place(
            fence=fence,
            indented=line.startswith(("    ", "\t")),
            headings=self.headings[number],
            before=f"{introduction}\n{before}",
            quoted=fence is None and _is_quoted(self.view, line, start, end, starts[first]),
            negated=bool(_NEGATED.search(before) or (fence is not None and _NEGATED.search(introduction))),
        )


@lru_cache(maxsize=4)
def outline(view: View) -> Outline:
    """The outline of a text; of one that is no Markdown, the comments above a line stand for its headings."""
    fences: list[str | None] = []
    headings: list[tuple[str, ...]] = []
    described = _DESCRIPTION.match(view.text[:8000])
    top = (described[1],) if described else ()
    chain: list[tuple[int, str]] = []
    closing, language = "", None
    markdown = view.language in {Language.MARKDOWN, Language.TEXT}
    for begin in view.starts:
        line = view.text[begin : begin + 300].partition("\n")[0]
        mark = _FENCE.match(line) if markdown else None
        if mark and not closing:
            closing, language = mark[1], mark[2].lower()
            fences.append(language)
        elif mark and mark[1].startswith(closing) and not mark[2]:
            fences.append(language)
            closing, language = "", None
        else:
            fences.append(language)
            if markdown and language is None and (found := _HEADING.match(line)):
                chain = [one for one in chain if one[0] < len(found[1])] + [(len(found[1]), found[2])]
        headings.append(top + tuple(title for _, title in chain))
    return Outline(view, tuple(fences), tuple(headings))


def place(view: View, start: int, end: int) -> Place:
    return outline(view).at(start, end)


def _line(outlined: Outline, number: int) -> str:
    return outlined.view.text[outlined.view.starts[number] : outlined.view.starts[number] + 400].partition("\n")[0]


def _paragraph(outlined: Outline, number: int) -> int:
    """The first line of the paragraph, or of the last lines of a fence or script, that a line belongs to."""
    first = number
    while first > 0 and number - first < (4 if outlined.fences[number] is None else 2):
        above = _line(outlined, first - 1)
        if not above.strip() or outlined.fences[first - 1] != outlined.fences[number] or _HEADING.match(above):
            break
        first -= 1
    return first


def _introduction(outlined: Outline, first: int) -> str:
    """The line that leads to a paragraph, list, or fence: the nearest above that has words."""
    for number in range(first - 1, max(first - 6, -1), -1):
        line = _line(outlined, number).strip()
        if line and not _FENCE.match(line) and not line.startswith("---"):
            leads = line.endswith((":", "：", "—")) or outlined.fences[first] is not None
            return line if leads else ""
    return ""


def _is_quoted(view: View, line: str, start: int, end: int, begin: int) -> bool:
    stripped = line.lstrip()
    if view.language is Language.CONFIG:
        return False  # there every text is written in quotation marks
    if view.language in {Language.MARKDOWN, Language.TEXT}:
        if stripped.startswith("|"):
            return True
        if stripped.startswith(">") and not _ALERT.search(line):
            return True
    before, after = view.text[max(begin, start - _LINE) : start], view.text[end : end + 300].partition("\n\n")[0]
    if before.endswith('"""') or before.count('"""') % 2:
        return False
    for mark in ('"', "`"):
        if before.count(mark) % 2 and mark in after:
            return True
    for left, right in ("“”", "»«", "«»", "„“", "「」", "『』", "‘’"):
        if before.rfind(left) > before.rfind(right) and right in after:
            return True
    if view.language in {Language.PYTHON, Language.JAVASCRIPT, Language.CONFIG, Language.SHELL}:
        here = before.rpartition("\n")[2]
        return here.count("'") % 2 == 1 and "'" in after.partition("\n")[0]
    return False
