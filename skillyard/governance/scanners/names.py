"""Names and versions of packages that look like somebody wants them to be taken for others. Asks no index anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from skillyard import __version__
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile, index_path
from skillyard.governance.errors import AdvisoryIndexError
from skillyard.governance.package_names.lookalikes import Lookalike, popular
from skillyard.governance.package_names.versions import above_line
from skillyard.governance.report import Confidence, Evidence, EvidenceState, Finding, PackageRef, Severity, Verdict
from skillyard.governance.rules import canonical_name
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem

LOOKALIKE: Final = "lookalike_name"
PRIVATE: Final = "private_name"
ABOVE: Final = "version_above_line"


class NamesScanner:
    """Looks at every package that is locked, and at those that are only declared.

    ``own_index`` is whether packages of PyPI come from an index that the operator configured. ``resolver_age_days`` is
    the minimum age of releases that the resolver was told; a policy that asks for more cannot be met from a lock,
    which has no dates.
    """

    def __init__(self, *, policy: ScanPolicy, index: IndexFile, own_index: bool, resolver_age_days: float) -> None:
        self._policy = policy
        self._index = index
        self._own_index = own_index
        self._resolver_age_days = resolver_age_days
        self._known = {canonical_name(one, name) for one in Ecosystem for name in policy.known_names}

    @property
    def name(self) -> str:
        return "names"

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:
        packages = _packages(target)
        try:
            findings = await asyncio.to_thread(self._look, packages, now)
        except (AdvisoryIndexError, OSError) as error:
            return (), Evidence(self.name, __version__, EvidenceState.FAILED, None, str(error))
        if packages and self._policy.minimum_release_age_days > self._resolver_age_days:
            reason = (
                f"the policy wants releases that are {self._policy.minimum_release_age_days:g} days old, and the "
                f"resolver was told {self._resolver_age_days:g}: set SKILLYARD_MINIMUM_RELEASE_AGE_DAYS to the same"
            )
            return findings, Evidence(self.name, __version__, EvidenceState.FAILED, None, reason)
        return findings, Evidence(self.name, __version__, EvidenceState.RAN, None)

    def _look(self, packages: tuple[PackageRef, ...], now: datetime) -> tuple[Finding, ...]:
        index = self._index.current() if packages else None
        return tuple(found for one in packages for found in self._about(one, index, now))

    def _about(self, package: PackageRef, index: AdvisoryIndex | None, now: datetime) -> Iterator[Finding]:
        name = canonical_name(package.ecosystem, package.name)
        private = self._private_pattern(package.ecosystem, name)
        if private is not None:
            yield self._from_elsewhere(package, private)
        elif (like := popular(package.ecosystem).lookalike(name, self._known)) is not None:
            yield _lookalike(package, like)
        if package.version and index is not None:
            how = above_line(package.version, _on_record(index, package.ecosystem, name), now)
            if how is not None:
                yield _above(package, how)

    def _private_pattern(self, ecosystem: Ecosystem, name: str) -> str | None:
        for pattern in self._policy.private_names:
            form = pattern.lower().replace("_", "-").replace(".", "-") if ecosystem is Ecosystem.PYPI else pattern
            if fnmatchcase(name, form):
                return pattern
        return None

    def _from_elsewhere(self, package: PackageRef, pattern: str) -> Finding:
        own = self._own_index and package.ecosystem is Ecosystem.PYPI
        where = (
            "the configured index answered for it, and whether from itself or from another it passes on cannot be told"
            if own
            else "no index of your own is configured for it, so it comes from the public one"
        )
        return Finding(
            rule=PRIVATE,
            level=Verdict.FLAG if own else Verdict.BLOCK,
            severity=Severity.LOW if own else Severity.HIGH,
            confidence=Confidence.LOW if own else Confidence.HIGH,
            message=f"{package} has a name that the policy keeps for your own packages ({pattern}): {where}.",
            package=package,
            why="Anybody can put a package of that name on a public index, and a resolver may prefer it to yours.",
            fix="Configure the index that has it, alone (SKILLYARD_INDEX_URL), or take the pattern out of the policy.",
        )


def create_scanner(settings: Settings) -> NamesScanner:
    """Entry point ``skillyard.scanners: names``."""
    return NamesScanner(
        policy=ScanPolicy.from_settings(settings),
        index=IndexFile(index_path(settings.home)),
        own_index=settings.index_url is not None and not settings.extra_index_urls,
        resolver_age_days=settings.minimum_release_age_days,
    )


def _packages(target: ScanTarget) -> tuple[PackageRef, ...]:
    """What is locked, and what is declared of ecosystems or under names that no lock has; each once."""
    locked = [PackageRef(lock.ecosystem, one.name, one.version) for lock in target.locks for one in lock.all_packages]
    names = {(one.ecosystem, canonical_name(one.ecosystem, one.name)) for one in locked}
    declared = {
        PackageRef(one.ecosystem, one.name, "")
        for one in target.skill.declared
        if (one.ecosystem, canonical_name(one.ecosystem, one.name)) not in names
    }
    return (*dict.fromkeys(locked), *sorted(declared, key=lambda one: (one.ecosystem, one.name)))


def _on_record(index: AdvisoryIndex, ecosystem: Ecosystem, name: str) -> Iterable[str]:
    """Versions that records about a package name. Records of malicious releases do not say what real ones are."""
    for one in index.advisories(ecosystem, name):
        if one.id.upper().startswith("MAL-"):
            continue
        yield from one.versions
        for part in one.intervals:
            yield from (bound for bound in (part.introduced, part.fixed, part.last_affected) if bound is not None)


def _lookalike(package: PackageRef, like: Lookalike) -> Finding:
    sure = Confidence.LOW if like.slips else Confidence.MEDIUM
    return Finding(
        rule=LOOKALIKE,
        level=Verdict.FLAG,
        severity=Severity.MEDIUM,
        confidence=sure,
        message=f"{package} {like.how}, which many more people use.",
        package=package,
        why="Packages that steal are often named so that whoever mistypes or half remembers a name installs them.",
        fix=f"Check that {package.name} is what is meant, and not {like.popular}. "
        "If it is, add it to known_names of the scan policy.",
    )


def _above(package: PackageRef, how: str) -> Finding:
    return Finding(
        rule=ABOVE,
        level=Verdict.FLAG,
        severity=Severity.HIGH,
        confidence=Confidence.MEDIUM,
        message=f"the version of {package} {how}.",
        package=package,
        why="Whoever puts a private package's name on a public index gives it such a version, to be preferred to it.",
        fix="Find out who published this release; pin the version that is meant.",
    )
