"""The primary scanner: every package of every lock against the local advisory index, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from skillyard import __version__
from skillyard.governance.advisories.advisory import Applies
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile, index_path
from skillyard.governance.advisories.match import Vulnerability, fixes_after, vulnerabilities
from skillyard.governance.advisories.severity import RANK
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Severity, Verdict
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.lock import Lock

RULE: Final = "advisory"
UNDETERMINED_RULE: Final = "advisory_undetermined"
"""An advisory names the package, and nobody can tell whether it means this version."""
MALICIOUS_RULE: Final = "malicious_package"
"""The package itself is the attack: a record of malicious packages, or a list of their names, says so."""


class AdvisoryScanner:
    """Looks every locked package up in the advisory index.

    The data's date is the oldest among the ecosystems that were looked up. A target without packages needs no data:
    nothing is looked up, and the evidence says so and has no date. Packages that are declared and not locked cannot be
    looked up, which is something else.
    """

    def __init__(self, *, index: IndexFile) -> None:
        self._index = index

    @property
    def name(self) -> str:
        return "advisories"

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:  # noqa: ARG002  # advisories do not depend on when one looks
        unlocked = _unlocked(target)
        if unlocked:
            reason = f"the skill declares {', '.join(unlocked)} packages, and there is no lock of them to look up"
            return (), self._evidence(EvidenceState.MISSING, reason=reason)
        locks = tuple(lock for lock in target.locks if lock.packages)
        if not locks:
            return (), self._evidence(EvidenceState.RAN, reason="there are no packages to look up")
        try:
            return await asyncio.to_thread(self._look_up, locks)
        except AdvisoryIndexMissingError as error:
            return (), self._evidence(EvidenceState.MISSING, reason=str(error))
        except AdvisoryIndexError as error:
            return (), self._evidence(EvidenceState.FAILED, reason=str(error))

    def _look_up(self, locks: tuple[Lock, ...]) -> tuple[tuple[Finding, ...], Evidence]:
        index = self._index.current()
        status = index.status()
        date = min(status.data_date(lock.ecosystem) for lock in locks)
        findings = tuple(finding for package in _packages(locks) for finding in findings_about(index, package))
        version = f"{__version__}+index.{status.fingerprint}"
        return findings, self._evidence(EvidenceState.RAN, version=version, data_date=date)

    def _evidence(
        self,
        state: EvidenceState,
        *,
        version: str = __version__,
        data_date: datetime | None = None,
        reason: str | None = None,
    ) -> Evidence:
        return Evidence(self.name, version, state, data_date, reason)


def create_scanner(settings: Settings) -> AdvisoryScanner:
    """The scanner over the instance's own index (entry point ``skillyard.scanners: advisories``)."""
    return AdvisoryScanner(index=IndexFile(index_path(settings.home)))


def _unlocked(target: ScanTarget) -> tuple[str, ...]:
    declared = {package.ecosystem for package in target.skill.declared}
    return tuple(sorted(declared - {lock.ecosystem for lock in target.locks}))


def _packages(locks: Iterable[Lock]) -> Iterator[PackageRef]:
    for lock in locks:
        for package in lock.all_packages:
            yield PackageRef(lock.ecosystem, package.name, package.version)


def findings_about(index: AdvisoryIndex, package: PackageRef) -> Iterator[Finding]:
    """What the index says of one package version. Raises ``AdvisoryIndexError``."""
    matches = index.matches(package.ecosystem, package.name, package.version)
    for vulnerability in vulnerabilities(matches):
        yield _finding(index, package, vulnerability)


def _finding(index: AdvisoryIndex, package: PackageRef, found: Vulnerability) -> Finding:
    advisory, *others = found.ids
    affected = found.applies is Applies.AFFECTED
    if affected and found.is_malicious:
        return _malicious(package, found)
    fixes = (fix for match in found.matches for fix in fixes_after(match.advisory, package.version))
    fixed_in = tuple(dict.fromkeys(fixes))
    return Finding(
        rule=RULE if affected else UNDETERMINED_RULE,
        level=_level(found) if affected else Verdict.INDETERMINATE,
        severity=found.severity,
        message=_affected(package, found, fixed_in) if affected else _undetermined(package, found),
        package=package,
        advisory=advisory,
        aliases=(*others, *found.aliases),
        fixed_in=fixed_in,
        cvss=found.cvss.score if found.cvss else None,
        cvss_vector=found.cvss.vector if found.cvss else None,
        exploitation=index.exploitation((*found.ids, *found.aliases)),
    )


def _malicious(package: PackageRef, found: Vulnerability) -> Finding:
    advisory, *others = found.ids
    return Finding(
        rule=MALICIOUS_RULE,
        level=Verdict.BLOCK,
        severity=Severity.CRITICAL,
        message=f"{package} is known to be malicious ({_names(found)}).",
        package=package,
        advisory=advisory,
        aliases=(*others, *found.aliases),
        why="The package itself is the attack: installing or importing it runs code that was written to do harm.",
        fix=f"Remove {package.name}. If its name is a misspelling, declare the package that was meant; where it was "
        "installed before, take what that machine could reach for stolen.",
    )


def _level(found: Vulnerability) -> Verdict:
    """The default policy's level; ``ScanPolicy`` has the last word."""
    return Verdict.BLOCK if RANK[found.severity] >= RANK[Severity.HIGH] else Verdict.FLAG


def _affected(package: PackageRef, found: Vulnerability, fixed_in: tuple[str, ...]) -> str:
    unknown = found.severity is Severity.UNKNOWN
    weight = "of unknown severity, which counts as high" if unknown else f"of {found.severity} severity"
    fixes = f"fixed in {', '.join(fixed_in)}" if fixed_in else "no fix is known"
    return f"{package} is affected by {_names(found)}, {weight}; {fixes}."


def _undetermined(package: PackageRef, found: Vulnerability) -> str:
    reasons = dict.fromkeys(reason for match in found.matches for reason in match.advisory.undetermined)
    why = "; ".join(reasons) or f"{package.version!r} has no place in the version order"
    return f"whether {package} is affected by {_names(found)} cannot be told: {why}."


def _names(found: Vulnerability) -> str:
    advisory, *others = (*found.ids, *found.aliases)
    return f"{advisory} ({', '.join(others)})" if others else advisory
