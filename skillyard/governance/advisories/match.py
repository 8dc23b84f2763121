"""Does an advisory apply to a version, what fixes it, and which advisories are one vulnerability. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from skillyard.governance.advisories.advisory import EVERY_VERSION, Advisory, Applies, Interval
from skillyard.governance.advisories.severity import Cvss, worst, worst_score
from skillyard.governance.advisories.versions import (
    UnorderableVersionError,
    VersionKey,
    equal_form,
    public_version,
    version_key,
)
from skillyard.governance.report import Severity
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class Match:
    """An advisory that applies to a version, or may. ``applies`` is never ``not_affected``."""

    advisory: Advisory
    applies: Applies


@dataclass(frozen=True, slots=True)
class Vulnerability:
    """Matches of one package that are one vulnerability under several names."""

    ids: tuple[str, ...]
    """Ids of the records themselves, sorted."""
    aliases: tuple[str, ...]
    """Every other id the records give, sorted."""
    applies: Applies
    severity: Severity
    """The worst that any of the records knows; ``unknown`` where none does."""
    cvss: Cvss | None
    """The worst of the records' vectors."""
    is_malicious: bool
    """Whether one of the records says that the package itself is the attack."""
    matches: tuple[Match, ...]


def affects(advisory: Advisory, version: str) -> Applies:
    """Whether ``version`` of the advisory's package is affected: listed, or inside an interval (OSV "Evaluation").

    A withdrawn advisory applies to nothing. A version that cannot be ordered is affected where every version is, or
    where it is listed word for word, and ``cannot_tell`` otherwise: an order that does not exist says nothing.
    """
    if advisory.withdrawn is not None:
        return Applies.NOT_AFFECTED
    try:
        place, listed_as = _asked(advisory.ecosystem, version)
    except UnorderableVersionError:
        # What has no place in the order is among all versions too.
        listed = EVERY_VERSION in advisory.intervals or version.strip() in advisory.versions
        return Applies.AFFECTED if listed else Applies.CANNOT_TELL
    if advisory.versions and not listed_as.isdisjoint(advisory.versions):
        return Applies.AFFECTED
    for interval in advisory.intervals:
        if _inside(advisory.ecosystem, interval, place):
            return Applies.AFFECTED
    return Applies.CANNOT_TELL if advisory.undetermined else Applies.NOT_AFFECTED


@lru_cache(maxsize=65536)
def _asked(ecosystem: Ecosystem, version: str) -> tuple[VersionKey, frozenset[str]]:
    """A version's place in the order, and the forms in which it may be listed: the same for all of its advisories."""
    public = public_version(ecosystem, version)
    return version_key(ecosystem, public), frozenset(equal_form(ecosystem, text) for text in (public, version))


def contains(ecosystem: Ecosystem, interval: Interval, version: str) -> bool:
    """Whether a canonical version lies inside an interval."""
    return _inside(ecosystem, interval, version_key(ecosystem, version))


def _inside(ecosystem: Ecosystem, interval: Interval, place: VersionKey) -> bool:
    # The upper bounds first: most locked versions lie behind what was fixed long ago.
    return (
        (interval.fixed is None or place < version_key(ecosystem, interval.fixed))
        and (interval.last_affected is None or place <= version_key(ecosystem, interval.last_affected))
        and (interval.before is None or place < version_key(ecosystem, interval.before))
        and (interval.introduced is None or version_key(ecosystem, interval.introduced) <= place)
    )


def fixes_after(advisory: Advisory, version: str) -> tuple[str, ...]:
    """Versions above ``version`` that fix the advisory, lowest first; empty where none is known."""
    key = partial(version_key, advisory.ecosystem)
    fixes = {interval.fixed for interval in advisory.intervals if interval.fixed is not None}
    try:
        place: VersionKey = key(version)
    except UnorderableVersionError:
        return tuple(sorted(fixes, key=key))
    return tuple(sorted((fix for fix in fixes if place < key(fix)), key=key))


def compact(advisory: Advisory) -> Advisory:
    """The same advisory without the listed versions that its intervals cover anyway; ``affects`` answers the same."""
    kept = frozenset(version for version in advisory.versions if not _covered(advisory, version))
    return replace(advisory, versions=kept)


def _covered(advisory: Advisory, version: str) -> bool:
    try:
        public = public_version(advisory.ecosystem, version)
    except UnorderableVersionError:
        return False
    return any(contains(advisory.ecosystem, part, public) for part in advisory.intervals)


def vulnerabilities(matches: Iterable[Match]) -> tuple[Vulnerability, ...]:
    """Matches of one package grouped by shared ids, transitively (OSV: aliases are symmetric and transitive)."""
    ordered = sorted(matches, key=_record)
    if len(ordered) < 2:
        return tuple(_alone(match) for match in ordered)
    groups: list[tuple[set[str], list[Match]]] = []
    for match in ordered:
        names, members = {match.advisory.id, *match.advisory.aliases}, [match]
        apart = []
        for group in groups:
            if group[0].isdisjoint(names):
                apart.append(group)
            else:
                names |= group[0]
                members += group[1]
        groups = [*apart, (names, members)]
    return tuple(sorted((_vulnerability(names, members) for names, members in groups), key=lambda one: one.ids))


def _vulnerability(names: set[str], members: Sequence[Match]) -> Vulnerability:
    if len(members) == 1:
        return _alone(members[0])
    ids = sorted({match.advisory.id for match in members})
    affected = any(match.applies is Applies.AFFECTED for match in members)
    return Vulnerability(
        ids=tuple(ids),
        aliases=tuple(sorted(names.difference(ids))),
        applies=Applies.AFFECTED if affected else Applies.CANNOT_TELL,
        severity=worst(match.advisory.severity for match in members),
        cvss=worst_score(match.advisory.cvss for match in members),
        is_malicious=any(match.advisory.is_malicious for match in members),
        matches=tuple(sorted(members, key=_record)),
    )


def _alone(match: Match) -> Vulnerability:
    """A record that shares no id with another, as most do: there is nothing to join."""
    advisory = match.advisory
    return Vulnerability(
        ids=(advisory.id,),
        aliases=advisory.aliases,
        applies=match.applies,
        severity=advisory.severity,
        cvss=advisory.cvss,
        is_malicious=advisory.is_malicious,
        matches=(match,),
    )


def _record(match: Match) -> str:
    return match.advisory.id
