"""What hits mean together: the same line weighs more or less by what stands around it.

- What starts by itself, or steers an agent, is worth a look where the skill says so, and is a reason to block where the
  skill's own text does not mention it with a word: a skill that quietly makes itself permanent does what malware does.
- Code in a passage that talks about attacks is an example of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from skillyard.governance.report import Confidence, Verdict
from skillyard.governance.static import python_rules
from skillyard.governance.static.config_rules import RULES as CONFIG
from skillyard.governance.static.hit import Hit
from skillyard.governance.static.javascript_rules import RULES as JAVASCRIPT
from skillyard.governance.static.shell import STAND_INS
from skillyard.governance.static.signs import is_about_attacks
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import outline

_SAYS_IT_STARTS: Final = re.compile(
    r"\bcron|schedul|\bdaemon|\bservice\b|systemd|launch ?(?:agent|daemon|ctl|d\b)|start-?up|\bat (?:login|boot|logon)\b|auto-?start"
    r"|\b(?:git|commit|push)[ -]?hooks?\b|\bhooks?\b|pre-commit|post-commit|\.(?:bash|zsh)rc|\.profile\b|shell (?:profile|config|rc)"
    r"|background|periodic|every (?:\d+|few|day|night|hour|minute|week|morning)|daily|hourly|nightly|weekly|\btimers?\b|task scheduler|schtasks"
    r"|persist|\balias(?:es)?\b|\bPATH\b|completion|\bregist(?:er|ry)\b|dotfiles|täglich|regelmäßig|autostart|dienst|diario|tarea programada|planifi|quotidien"
    r"|定时|计划任务|开机|后台|服务|起動|サービス|ежедневн|автозапуск|служб",
    re.IGNORECASE,
)
_SAYS_AGENT: Final = re.compile(
    r"CLAUDE\.md|AGENTS?\.md|GEMINI\.md|\bmemory\b|\bmcp\b|settings\.json|\.claude\b|\.cursor|cursor ?rules|copilot|claude (?:code|desktop)|codex|\bhooks?\b|slash command"
    r"|agent (?:config|instruction|memor)|\bgedächtnis|configur(?:e|es|ing|ation) (?:of )?(?:the |your )?(?:agent|editor|client)|windsurf|gemini|openclaw|system prompt|subagent|\brules files?\b",
    re.IGNORECASE,
)
_UNASKED: Final = {
    python_rules.STARTS_BY_ITSELF.id: (python_rules.STARTS_UNASKED, _SAYS_IT_STARTS),
    python_rules.AGENT_CHANGED.id: (python_rules.AGENT_CHANGED_UNASKED, _SAYS_AGENT),
    "js_writes_agent": (JAVASCRIPT["js_writes_agent_unasked"], _SAYS_AGENT),
    "js_writes_start": (JAVASCRIPT["js_writes_start_unasked"], _SAYS_IT_STARTS),
}

_DATA: Final = (".json", ".jsonl", ".yaml", ".yml", ".csv", ".yar", ".yara", ".rules", ".txt", ".toml")
_IN_DATA: Final = frozenset(
    "prompt_override persona_override forged_message message_markers data_exfiltration concealed_action hidden_instruction agent_takeover"
    " covert_passage signs_add_up reverse_shell download_execute decode_execute credential_theft destruction untrusted_instructions faked_result".split()
)
_STARTS: Final = frozenset({python_rules.STARTS_BY_ITSELF.id, "starts_again", "js_writes_start"})
_FETCHES: Final = frozenset({"download_execute", "python_downloaded_code"})
_ELSEWHERE: Final = frozenset({"other_index", "url_dependency"})
_UNNAMED_INDEX: Final = "unnamed_index"


def adjusted(views: tuple[View, ...], hits: Iterable[Hit]) -> tuple[Hit, ...]:
    """The hits as they count in this skill."""
    texts = {view.file: view for view in views if view.language is Language.MARKDOWN and not view.via}
    words = "\n".join(view.text for view in texts.values())
    listed = tuple(hits)
    fetching = {hit.view.file for hit in listed if hit.rule.id in _FETCHES}
    lowered = words.lower()
    if is_about_attacks(views):
        listed = tuple(map(_exhibited, listed))
    return tuple(_quoted(texts, _kept(fetching, _from_nowhere(lowered, _unasked(words, hit)))) for hit in listed)


def _exhibited(hit: Hit) -> Hit:
    """In a skill about attacks, data and rules of scanners hold what is looked for; no agent is told to obey them."""
    held = hit.view.file.lower().endswith(_DATA) and hit.rule.id in _IN_DATA
    return replace(hit, level=Verdict.FLAG) if held and hit.counts is Verdict.BLOCK else hit


def _kept(fetching: set[str], hit: Hit) -> Hit:
    """What starts by itself in a file that also runs downloads is how malware stays."""
    if (
        hit.rule.id in _STARTS
        and hit.view.file in fetching
        and hit.counts is Verdict.FLAG
        and hit.confidence is not Confidence.LOW
    ):
        return replace(hit, rule=python_rules.STARTS_UNASKED, level=None)
    return hit


def _from_nowhere(words: str, hit: Hit) -> Hit:
    """Settings that take packages from a host which the skill's text does not name."""
    if hit.rule.id not in _ELSEWHERE or not words or hit.view.language is not Language.CONFIG or hit.view.via:
        return hit
    host = hit.detail.strip("()")
    owner = host.split(".")[-2] if host.count(".") else host
    if hit.counts is not Verdict.FLAG or hit.confidence is Confidence.LOW or host in words or owner in words:
        return hit
    return replace(hit, rule=CONFIG[_UNNAMED_INDEX], level=None)


def _unasked(words: str, hit: Hit) -> Hit:
    if hit.rule.id not in _UNASKED or not words:
        return hit
    rule, said = _UNASKED[hit.rule.id]
    return hit if said.search(words) else replace(hit, rule=rule)


def _quoted(texts: dict[str, View], hit: Hit) -> Hit:
    """Code in a fence of a text: where the text discusses attacks, it is quoted and not meant to run."""
    text = texts.get(hit.view.file)
    if hit.rule is python_rules.REVERSE_SHELL and text is not None and STAND_INS.search(hit.evidence):
        return replace(hit, level=Verdict.FLAG)  # a stand-in for an address is how such shells are taught
    if text is None or hit.view.via or hit.view.language is not Language.PYTHON or hit.counts is not Verdict.BLOCK:
        return hit
    number = hit.line - text.first_line
    if not 0 <= number < len(text.starts):
        return hit
    start = text.starts[number]
    if hit.rule is python_rules.REVERSE_SHELL and STAND_INS.search(text.line_text(start)):
        return replace(hit, level=Verdict.FLAG)
    return replace(hit, level=Verdict.FLAG) if outline(text).at(start, start + 1).discussed else hit
