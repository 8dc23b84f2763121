"""Does an advisory apply to a version, what fixes it, and which advisories are one vulnerability. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from skillyard.governance.advisories.advisory import Advisory, Applies, Interval
from skillyard.governance.advisories.severity import worst
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
    matches: tuple[Match, ...]


def affects(advisory: Advisory, version: str) -> Applies:
    """Whether ``version`` of the advisory's package is affected: listed, or inside an interval (OSV "Evaluation").

    A withdrawn advisory applies to nothing. A version that cannot be ordered is affected where it is listed word for
    word, and ``cannot_tell`` otherwise: nothing can be said about an order that does not exist.
    """
    if advisory.withdrawn is not None:
        return Applies.NOT_AFFECTED
    try:
        public = public_version(advisory.ecosystem, version)
    except UnorderableVersionError:
        return Applies.AFFECTED if version.strip() in advisory.versions else Applies.CANNOT_TELL
    listed_as = {equal_form(advisory.ecosystem, text) for text in (public, version)}
    if not listed_as.isdisjoint(advisory.versions):
        return Applies.AFFECTED
    if any(contains(advisory.ecosystem, interval, public) for interval in advisory.intervals):
        return Applies.AFFECTED
    return Applies.CANNOT_TELL if advisory.undetermined else Applies.NOT_AFFECTED


def contains(ecosystem: Ecosystem, interval: Interval, version: str) -> bool:
    """Whether a canonical version lies inside an interval."""
    key = partial(version_key, ecosystem)
    place = key(version)
    return (
        (interval.introduced is None or key(interval.introduced) <= place)
        and (interval.fixed is None or place < key(interval.fixed))
        and (interval.last_affected is None or place <= key(interval.last_affected))
        and (interval.before is None or place < key(interval.before))
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
    groups: list[tuple[set[str], list[Match]]] = []
    for match in sorted(matches, key=lambda match: match.advisory.id):
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
    ids = sorted({match.advisory.id for match in members})
    affected = any(match.applies is Applies.AFFECTED for match in members)
    return Vulnerability(
        ids=tuple(ids),
        aliases=tuple(sorted(names.difference(ids))),
        applies=Applies.AFFECTED if affected else Applies.CANNOT_TELL,
        severity=worst(match.advisory.severity for match in members),
        matches=tuple(sorted(members, key=lambda match: match.advisory.id)),
    )
