"""The rules about one package name, and which of them mean which version. Pure, but for remembering what it found out.

Comparing a version with specifiers is what a decision spends its time on. Which rules mean a version does not change
while the rules about its name stay, and most changes are about one name: so a group is kept from one epoch to the next
as long as its rules are the same, and with it what it found out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from packaging.version import Version

from skillyard.governance.decision import PackageRule, RuleState
from skillyard.governance.rules import (
    Bounds,
    Match,
    bounds_of,
    canonical_name,
    exactly,
    is_release,
    matches,
    plain_version,
)
from skillyard.governance.standing import PackageState, Standing
from skillyard.ids import RuleId
from skillyard.skills.skill import Ecosystem

NameKey = tuple[Ecosystem, str]
Files = tuple[Ecosystem, str, tuple[str, ...]]
"""A version of the group's package, with the SHA-256 of its artefacts."""

_MOST_VERSIONS = 256
"""Versions of one name that a group remembers; real workspaces have a handful."""
_FOR_GOOD = frozenset({PackageState.APPROVED, PackageState.BANNED})


@dataclass(frozen=True, slots=True, eq=False)
class RuleGroup:
    """Rules of one name, the oldest first. Made by ``of``.

    Most rules name one exact version, because that is what the approval of a lock writes: they are found by it.
    """

    rules: tuple[PackageRule, ...]
    _exact: Mapping[Version, tuple[PackageRule, ...]]
    _others: tuple[tuple[PackageRule, Bounds | None], ...]
    expiring: bool
    """Whether any of them ends by itself, sooner or later."""
    _by_version: dict[str, tuple[PackageRule, ...]] = field(default_factory=dict, init=False, repr=False)
    _settled: dict[Files, Standing] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, rules: Iterable[PackageRule]) -> RuleGroup:
        """A group of these rules of one name, whatever their order."""
        ranked = tuple(sorted(rules, key=_id))
        exact: dict[Version, tuple[PackageRule, ...]] = {}
        others = []
        for rule in ranked:
            if rule.ecosystem is Ecosystem.PYPI and (version := exactly(rule.specifier)) is not None:
                exact[version] = (*exact.get(version, ()), rule)
            else:
                others.append((rule, bounds_of(rule.specifier) if rule.ecosystem is Ecosystem.PYPI else None))
        return cls(ranked, exact, tuple(others), any(rule.expires_at is not None for rule in ranked))

    def meaning(self, version: str) -> tuple[PackageRule, ...]:
        """The rules whose specifier means this version. What cannot be read counts against the package: it is meant by
        a ban and not by an approval."""
        found = self._by_version.get(version)
        if found is None:
            found = self._find(version)
            if len(self._by_version) >= _MOST_VERSIONS:
                self._by_version.clear()
            self._by_version[version] = found
        return found

    def _find(self, version: str) -> tuple[PackageRule, ...]:
        plain = plain_version(version) if self.rules and self.rules[0].ecosystem is Ecosystem.PYPI else None
        if plain is None:
            return tuple([rule for rule in self.rules if _means(rule, version)])
        release = is_release(plain)
        found = [
            rule
            for rule, bounds in self._others
            if (_within(plain, bounds) if release and bounds is not None else _means(rule, version))
        ]
        if plain in self._exact:
            found = sorted((*self._exact[plain], *found), key=_id)
        return tuple(found)

    def settled(self, files: Files) -> Standing | None:
        """Where these files stand, if that was found out and neither time nor a request can change it."""
        return self._settled.get(files)

    def settle(self, files: Files, standing: Standing) -> Standing:
        """The standing, which is remembered where a rule decided and no rule of this name ever expires."""
        if standing.rule is not None and standing.state in _FOR_GOOD and not self.expiring:
            if len(self._settled) >= _MOST_VERSIONS:
                self._settled.clear()
            self._settled[files] = standing
        return standing


EMPTY_GROUP = RuleGroup((), {}, (), expiring=False)


def regrouped(
    before: Mapping[NameKey, RuleGroup], *, added: Iterable[PackageRule], removed: Collection[RuleId] = ()
) -> dict[NameKey, RuleGroup]:
    """The groups with rules added, whatever their order, and others gone; groups that none of it concerns are kept."""
    groups = dict(before)
    if removed:
        for key, group in before.items():
            if any(rule.id in removed for rule in group.rules):
                groups[key] = RuleGroup.of(rule for rule in group.rules if rule.id not in removed)
    fresh: dict[NameKey, list[PackageRule]] = {}
    for rule in added:
        fresh.setdefault((rule.ecosystem, canonical_name(rule.ecosystem, rule.name)), []).append(rule)
    for key, members in fresh.items():
        groups[key] = RuleGroup.of((*groups.get(key, EMPTY_GROUP).rules, *members))
    return {key: group for key, group in groups.items() if group.rules}


def _within(version: Version, bounds: Bounds) -> bool:
    for compare, bound in bounds:  # noqa: SIM110 - a generator takes twice as long, hundreds of times for one lock
        if not compare(version, bound):
            return False
    return True


def _means(rule: PackageRule, version: str) -> bool:
    ban = rule.state is RuleState.BANNED
    match = matches(rule.ecosystem, rule.specifier, version, ban=ban)
    return match is not Match.NO if ban else match is Match.YES


def _id(rule: PackageRule) -> int:
    return rule.id
