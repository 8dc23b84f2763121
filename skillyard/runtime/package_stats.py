"""Figures about packages: rules by what they say, and what the locks of installed versions hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from skillyard.database import Database
from skillyard.governance import package_requests
from skillyard.governance.closure import Rules, evaluate_package, evaluated_ref
from skillyard.governance.decision import PackageRule, RuleScope, RuleState
from skillyard.governance.report import PackageRef
from skillyard.governance.standing import PackageState
from skillyard.ids import SkillId, WorkspaceId
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View, Views
from skillyard.skills.lock import LockedPackage
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class RuleCount:
    """Rules of one kind: those in force, those of them that end soon, and those that have run out."""

    scope: RuleScope
    ecosystem: Ecosystem
    state: RuleState
    in_force: int
    expired: int
    expiring: int


@dataclass(frozen=True, slots=True)
class UsedPackage:
    """A package of installed locks: in how many skills, and where it stands."""

    package: PackageRef
    skills: int
    state: PackageState


@dataclass(frozen=True, slots=True)
class PackageStats:
    rules: tuple[RuleCount, ...]
    requests_waiting: int
    installed: tuple[UsedPackage, ...]
    """Every package of an installed lock, the most used first."""


async def package_stats(
    database: Database, views: Views, workspace: WorkspaceId, *, expiring: timedelta
) -> PackageStats:
    """As of now, of a workspace and what binds it."""
    view = await views.current(workspace)
    async with database.reading() as session:
        waiting = await package_requests.waiting(session, workspace)
    now = utcnow()
    rules = [rule for group in view.rules.by_name.values() for rule in group.rules]
    installed = await asyncio.to_thread(_installed, view, now)
    return PackageStats(_counts(rules, now, now + expiring), waiting, installed)


def _counts(rules: Iterable[PackageRule], now: datetime, soon: datetime) -> tuple[RuleCount, ...]:
    kinds: dict[tuple[RuleScope, Ecosystem, RuleState], list[PackageRule]] = {}
    for rule in rules:
        kinds.setdefault((rule.scope, rule.ecosystem, rule.state), []).append(rule)
    return tuple(_count(kind, kinds[kind], now, soon) for kind in sorted(kinds))


def _count(
    kind: tuple[RuleScope, Ecosystem, RuleState], rules: list[PackageRule], now: datetime, soon: datetime
) -> RuleCount:
    ends = [rule.expires_at for rule in rules if rule.expires_at is not None]
    expired = sum(end <= now for end in ends)
    return RuleCount(*kind, len(rules) - expired, expired, sum(now < end <= soon for end in ends))


def _installed(view: View, now: datetime) -> tuple[UsedPackage, ...]:
    skills: dict[PackageRef, set[SkillId]] = {}
    states: dict[PackageRef, Counter[PackageState]] = {}
    for version in view.versions.values():
        for ref, package in _packages(version):
            skills.setdefault(ref, set()).add(version.skill_id)
            states.setdefault(ref, Counter())[_state(ref, package, view.rules, now)] += 1
    used = [UsedPackage(ref, len(ids), max(states[ref], key=_weight)) for ref, ids in skills.items()]
    return tuple(sorted(used, key=lambda one: (-one.skills, str(one.package))))


def _packages(version: InstalledVersion) -> Iterable[tuple[PackageRef, LockedPackage]]:
    return ((evaluated_ref(lock.ecosystem, one), one) for lock in version.locks for one in lock.all_packages)


def _state(ref: PackageRef, package: LockedPackage, rules: Rules, now: datetime) -> PackageState:
    return evaluate_package(ref.ecosystem, package, rules, now).state


_WEIGHTS = {
    PackageState.APPROVED: 0,
    PackageState.PENDING: 1,
    PackageState.EXPIRED: 2,
    PackageState.UNKNOWN: 3,
    PackageState.BANNED: 4,
}


def _weight(state: PackageState) -> int:
    """Files of one version may stand differently; the worst is told."""
    return _WEIGHTS[state]
