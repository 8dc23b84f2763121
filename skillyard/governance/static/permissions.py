"""What a skill says that it does without, against what its code uses. A contradiction is worth a look, not a block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from skillyard.governance.report import Capability, CapabilityUse, Confidence, Finding, Severity, Verdict
from skillyard.governance.static.rule import Rule
from skillyard.skills.skill import Skill

UNDECLARED_NETWORK: Final = Rule(
    id="undeclared_network",
    title="the skill says that it needs no network, and its code uses one",
    severity=Severity.MEDIUM,
    level=Verdict.FLAG,
    why="Whoever relies on what it says would let it see what must not leave the machine.",
    fix="Remove the use, or name the hosts in the metadata key skillyard.network.",
)
UNDECLARED_HOST: Final = Rule(
    id="undeclared_host",
    title="the code talks to a host that the skill does not name",
    severity=Severity.MEDIUM,
    level=Verdict.FLAG,
    why="The skill lists the hosts that it talks to, and this one is not among them.",
    fix="Add the host to the metadata key skillyard.network, or remove the use.",
)
UNDECLARED_PROGRAMS: Final = Rule(
    id="undeclared_programs",
    title="the skill asks for tools that run nothing, and its code starts programs",
    severity=Severity.LOW,
    level=Verdict.FLAG,
    why="What allowed-tools lists is what a person agrees to.",
    fix="Ask for the tool that runs commands, or do without them.",
)
RULES: Final = (UNDECLARED_NETWORK, UNDECLARED_HOST, UNDECLARED_PROGRAMS)

_OFFLINE: Final = re.compile(
    r"\b(?:no|without(?: any)?|never uses? (?:the|a)|does not (?:use|need|require|access)(?: the| a| any)?|needs? no) (?:network|internet)\b"
    r"|\b(?:fully|completely|entirely|works|runs|100 ?%) offline\b|\boffline[- ]only\b|\bno (?:data|information) (?:ever )?leaves\b"
    r"|\bnothing (?:ever )?leaves (?:the|your)\b|\bohne (?:netz|internet)\w*\b|\bsin conexión\b|\bhors ligne\b",
    re.IGNORECASE,
)
_NONE: Final = frozenset({"none", "no", "false", "off", "never", "-"})
_RUNS: Final = re.compile(r"bash|shell|exec|run|terminal|command|python|script|computer|\*", re.IGNORECASE)
_HOST: Final = re.compile(r"https?://([\w.-]+)")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "0.0.0.0"})  # noqa: S104 - compared with, not listened on


def undeclared(skill: Skill, uses: Iterable[CapabilityUse]) -> tuple[Finding, ...]:
    """Findings where a skill's manifest and its code contradict each other."""
    return tuple(_contradictions(skill, tuple(uses)))


def _contradictions(skill: Skill, uses: tuple[CapabilityUse, ...]) -> Iterator[Finding]:
    network = [use for use in uses if use.capability is Capability.NETWORK and not _is_local(use)]
    claim = _says_offline(skill)
    if claim and network:
        yield _finding(UNDECLARED_NETWORK, network[0], f"({claim!r})")
    hosts = {host.lower() for host in skill.requested.network_hosts}
    if hosts and not claim:
        for use in network:
            for host in _HOST.findall(use.evidence):
                if not any(
                    host.lower() == one or host.lower().endswith(f".{one.lstrip('*.')}") for one in hosts | _LOCAL
                ):
                    yield _finding(UNDECLARED_HOST, use, f"({host})")
                    break
    programs = [use for use in uses if use.capability is Capability.SUBPROCESS]
    if skill.allowed_tools and programs and not any(_RUNS.search(tool) for tool in skill.allowed_tools):
        yield _finding(UNDECLARED_PROGRAMS, programs[0], f"(allowed-tools: {', '.join(skill.allowed_tools)[:80]})")


def _says_offline(skill: Skill) -> str | None:
    asked = skill.metadata.get("skillyard.network")
    if asked is not None and asked.strip().lower() in _NONE:
        return f"skillyard.network: {asked.strip()}"
    for text in (skill.description, skill.compatibility or ""):
        if found := _OFFLINE.search(text):
            return found[0]
    return None


def _is_local(use: CapabilityUse) -> bool:
    return any(f"//{host}" in use.evidence or f'"{host}"' in use.evidence for host in _LOCAL)


def _finding(rule: Rule, use: CapabilityUse, detail: str) -> Finding:
    return Finding(
        rule=rule.id,
        level=rule.level,
        severity=rule.severity,
        message=f"{rule.title} {detail}.",
        file=use.file,
        line=use.line,
        confidence=Confidence.MEDIUM,
        evidence=use.evidence,
        why=rule.why,
        fix=rule.fix,
    )
