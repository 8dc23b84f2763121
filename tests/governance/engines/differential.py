"""Our matching and other engines' on the same versions of the same packages: equal, or different for a known cause.

``python -m tests.governance.engines.differential`` prints the table of docs/concepts/engines.md.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version
from semver import Version as SemVer
from skillyard.governance.advisories.advisory import Advisory, Applies
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.match import vulnerabilities
from skillyard.governance.advisories.osv import parse_record
from skillyard.governance.advisories.records import read_records
from skillyard.governance.advisories.sources import SNAPSHOT
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.engines.engine_output import Pin
from skillyard.governance.engines.engine_run import RunLimits
from skillyard.governance.engines.environments import engine_environment
from skillyard.governance.engines.names import ECOSYSTEMS
from skillyard.governance.report import EvidenceState, Finding
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.npm_audit import NpmAuditScanner, npm_program
from skillyard.governance.scanners.pip_audit import PipAuditScanner
from skillyard.governance.scanners.safety import SafetyScanner
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem
from tests.governance.engines.conftest import NOW

SEED = 20260601
PAIRS = 800
"""One version of each of so many packages: an engine takes one version of a package at a time."""

_ENDS = {Ecosystem.PYPI: (".post1", ".dev0", "+local.1", ".1"), Ecosystem.NPM: ("-rc.1", "-0", "+build.1")}
"""What makes a version just before or just behind another, or a build of it."""

Groups = frozenset[frozenset[str]]
"""Vulnerabilities, each by all the ids and aliases that an engine gives it."""


@dataclass(frozen=True, slots=True)
class Difference:
    pin: Pin
    ours: Groups
    theirs: Groups
    cause: str


@dataclass(frozen=True, slots=True)
class Comparison:
    engine: str
    pairs: int
    hits: int
    """Pairs for which at least one of the engines knows something."""
    differences: tuple[Difference, ...]


def pairs(ecosystem: Ecosystem, count: int = PAIRS) -> tuple[Pin, ...]:
    """Versions at, just before and just behind the bounds of advisories: releases, pre-releases, post-releases, local
    ones; each of another package of the snapshot."""
    source = random.Random(SEED)
    by_name: dict[str, list[str]] = {}
    for advisory in _advisories(ecosystem):
        by_name.setdefault(advisory.package, []).extend(_versions(advisory))
    names = source.sample(sorted(by_name), k=min(count, len(by_name)))
    found: list[Pin] = []
    for name in names:
        version = source.choice(sorted(set(by_name[name])) or ["1.0.0"])
        around = (version, *(f"{version}{end}" for end in _ENDS[ecosystem]), "0.0.1", "9999.0.0")
        valid = [text for text in around if _is_version(ecosystem, text)]
        found.append(Pin(name, source.choice(valid), ("0" * 64,), ecosystem))
    return tuple(found)


async def compare(scanner: Scanner, index: AdvisoryIndex, pins: Sequence[Pin]) -> Comparison:
    findings, evidence = await scanner.scan(_target(pins), now=NOW)
    if evidence.state is not EvidenceState.RAN:
        raise RuntimeError(f"{scanner.name}: {evidence.reason}")
    theirs = {pin: _theirs(findings, pin) for pin in pins}
    ours = {pin: _ours(index, pin) for pin in pins}
    differences = (
        Difference(pin, ours[pin], theirs[pin], cause(index, pin, ours[pin], theirs[pin]))
        for pin in pins
        if ours[pin] != theirs[pin]
    )
    hits = sum(1 for pin in pins if ours[pin] or theirs[pin])
    return Comparison(scanner.name, len(pins), hits, tuple(differences))


def cause(index: AdvisoryIndex, pin: Pin, ours: Groups, theirs: Groups) -> str:
    """Why two engines say different things about one version; empty where no known cause explains it."""
    unclear = [
        match.advisory
        for match in index.matches(pin.ecosystem, pin.name, pin.version)
        if match.applies is Applies.CANNOT_TELL
    ]
    names = frozenset(name for advisory in unclear for name in (advisory.id, *advisory.aliases))
    if _without(ours, names) == _without(theirs, names) and unclear:
        return "the record's versions cannot be ordered: ours says so, an engine that cannot says nothing"
    if frozenset().union(*ours) == frozenset().union(*theirs):
        return "the same ids, grouped otherwise: ours follows aliases transitively, as OSV has it"
    return ""


def _without(groups: Groups, names: frozenset[str]) -> Groups:
    return frozenset(group for group in groups if group.isdisjoint(names))


def _ours(index: AdvisoryIndex, pin: Pin) -> Groups:
    found = vulnerabilities(index.matches(pin.ecosystem, pin.name, pin.version))
    return frozenset(frozenset((*one.ids, *one.aliases)) for one in found)


def _theirs(findings: Iterable[Finding], pin: Pin) -> Groups:
    """Each engine's own groups. safety and npm know no aliases and report records: those that share ids are one."""
    groups: list[set[str]] = []
    for one in findings:
        if one.package is not None and one.package.name == pin.name:
            names = {str(one.advisory), *one.aliases}
            met = [group for group in groups if not group.isdisjoint(names)] if "pip-audit" not in one.message else []
            groups = [group for group in groups if group not in met] + [names.union(*met)]
    return frozenset(frozenset(group) for group in groups)


def _advisories(ecosystem: Ecosystem) -> Iterator[Advisory]:
    for raw in read_records(SNAPSHOT / f"{ecosystem.value}.osv.jsonl.gz"):
        yield from (one for one in parse_record(raw.data, source=raw.source) if one.ecosystem is ecosystem)


def _versions(advisory: Advisory) -> Iterator[str]:
    for interval in advisory.intervals:
        yield from (bound for bound in (interval.introduced, interval.fixed, interval.last_affected) if bound)
    yield from (version for version in sorted(advisory.versions) if _is_version(advisory.ecosystem, version))


def _is_version(ecosystem: Ecosystem, text: str) -> bool:
    """A version as locks hold them: npm's are whole (SemVer 2.0), and never ``1.2`` or ``v1.2.3``."""
    try:
        Version(text) if ecosystem is Ecosystem.PYPI else SemVer.parse(text)
    except ValueError:
        return False
    return True


def _target(pins: Sequence[Pin]) -> ScanTarget:
    folder = Path(__file__).resolve().parents[3] / "skills" / "writing-guide"
    packages = tuple(
        LockedPackage(pin.name, pin.version, (LockedArtefact(f"{pin.name}.whl", pin.hashes[0], None),), (), True)
        for pin in sorted(pins, key=lambda pin: pin.name)
    )
    return ScanTarget(parse_skill(folder), (Lock(pins[0].ecosystem, Target("3.11", "x86_64"), packages),), folder)


def scanners(index: IndexFile) -> tuple[Scanner, ...]:
    settings, limits = Settings(), RunLimits(seconds=150)
    return (
        PipAuditScanner(index=index, environment=engine_environment(settings, "pip-audit"), limits=limits),
        SafetyScanner(index=index, environment=engine_environment(settings, "safety"), limits=limits),
        NpmAuditScanner(index=index, program=npm_program(settings), limits=limits),
    )


def table(compared: Iterable[Comparison]) -> str:
    lines = ["| engine | pairs | with advisories | without | equal | different, by cause |", "| --- " * 6 + "|"]
    for one in compared:
        causes: Mapping[str, int] = Counter(each.cause or "UNEXPLAINED" for each in one.differences)
        told = "; ".join(f"{count}: {text}" for text, count in causes.items()) or "none"
        equal = one.pairs - len(one.differences)
        lines.append(f"| {one.engine} | {one.pairs} | {one.hits} | {one.pairs - one.hits} | {equal} | {told} |")
    return "\n".join(lines)


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        index = IndexFile(await ensure_index(Path(folder), now=NOW))
        compared = [await compare(one, index.current(), pairs(ECOSYSTEMS[one.name])) for one in scanners(index)]
    sys.stdout.write(table(compared) + "\n")
    unexplained = [each for one in compared for each in one.differences if not each.cause]
    for each in unexplained:
        sys.stdout.write(
            f"{each.pin}: ours {sorted(map(sorted, each.ours))}, theirs {sorted(map(sorted, each.theirs))}\n"
        )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
