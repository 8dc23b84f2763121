"""Where every package of a closure stands under the rules of a workspace and those of the whole instance. Pure.

The stricter of the two counts. A ban of either is a ban. Where both approve, the higher minimum maturity counts, and
what a global approval asks for is asked for all versions its specifier means, also where the workspace approves other
files of them or the global approval has run out: until it is revoked, no workspace goes below it. Nor does time: what
a workspace asked for of these files stays when its approval has run out. Where only one of the two ever approved, that
is enough.

The standing of a closure changes only with the rules epoch or when an expiry passes. It says until when it holds, so
that it can be kept and asked again for every call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from skillyard.governance.decision import FirstUse, Maturity, PackageRule, RuleScope, RuleState
from skillyard.governance.report import PackageRef
from skillyard.governance.rule_groups import EMPTY_GROUP, NameKey, RuleGroup, regrouped
from skillyard.governance.rules import canonical_name
from skillyard.governance.standing import PackageState, Standing, minimum_of
from skillyard.governance.waivers.waiver import Waiver
from skillyard.ids import ApprovalId, Epoch, LockDigest, PackageRequestId, RuleId, WorkspaceId
from skillyard.skills.lock import Lock, LockedPackage, closure_digest
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All rules in force in one workspace under one epoch, immutable. Made by ``compile_rules``.

    Compared by identity: what was found out under one view is never taken for what holds under another.
    """

    workspace: WorkspaceId
    epoch: Epoch
    by_name: Mapping[NameKey, RuleGroup]
    first_uses: frozenset[FirstUse]
    pending: Mapping[PackageRef, ApprovalId]
    asked: Mapping[PackageRef, PackageRequestId]
    """Packages that somebody asked for; one whose version is empty was asked for in any version."""
    waivers: tuple[Waiver, ...] = ()
    """Findings that people let be; whether one still holds is a question of time."""


@dataclass(frozen=True, slots=True)
class ClosureStanding:
    """Where every package of a closure stands, in the order of the locks. Holds for ``made_at <= now < until``."""

    digest: LockDigest
    standings: tuple[Standing, ...]
    made_at: datetime
    until: datetime | None
    rules: Rules = field(repr=False)

    def having(self, *states: PackageState) -> tuple[Standing, ...]:
        return tuple([item for item in self.standings if item.state in states])

    @property
    def banned(self) -> tuple[Standing, ...]:
        return self.having(PackageState.BANNED)

    @property
    def unapproved(self) -> tuple[Standing, ...]:
        """What a Hold asks to approve."""
        return self.having(PackageState.UNKNOWN, PackageState.PENDING, PackageState.EXPIRED)

    def above(self, maturity: Maturity) -> tuple[Standing, ...]:
        """Packages that are approved, but only for agents more mature than this."""
        if maturity is Maturity.AUTONOMOUS:
            return ()
        return tuple([item for item in self.having(PackageState.APPROVED) if item.minimum > maturity])


def compile_rules(
    *,
    workspace: WorkspaceId,
    epoch: Epoch,
    rules: Iterable[PackageRule],
    first_uses: Iterable[FirstUse] = (),
    pending: Mapping[PackageRef, ApprovalId] | None = None,
    asked: Mapping[PackageRef, PackageRequestId] | None = None,
    like: Mapping[NameKey, RuleGroup] | None = None,
    gone: Collection[RuleId] = (),
    waivers: Iterable[Waiver] = (),
) -> Rules:
    """Groups rules by package. Their order does not matter: ties go to the oldest rule.

    With ``like``, the groups of rules compiled before, ``rules`` are those that came since and ``gone`` those that
    went.
    """
    return Rules(
        workspace=workspace,
        epoch=epoch,
        by_name=MappingProxyType(regrouped(like or {}, added=rules, removed=gone)),
        first_uses=frozenset(first_uses),
        pending=MappingProxyType(dict(pending or {})),
        asked=MappingProxyType(dict(asked or {})),
        waivers=tuple(waivers),
    )


def evaluate_lock(lock: Lock, rules: Rules, now: datetime) -> ClosureStanding:
    """``evaluate_closure`` for a skill with one lock."""
    return evaluate_closure((lock,), rules, now)


def evaluate_closure(locks: tuple[Lock, ...], rules: Rules, now: datetime) -> ClosureStanding:
    """Where each package of all locks stands, direct, transitive and needed by builds alike. Total over its inputs."""
    standings = tuple(
        evaluate_package(lock.ecosystem, package, rules, now) for lock in locks for package in lock.all_packages
    )
    return ClosureStanding(
        digest=closure_digest(locks),
        standings=standings,
        made_at=now,
        until=min((item.until for item in standings if item.until is not None), default=None),
        rules=rules,
    )


def evaluate_package(ecosystem: Ecosystem, package: LockedPackage, rules: Rules, now: datetime) -> Standing:
    """Where one locked package stands: a ban beats every approval; of one scope's approvals the most permissive counts,
    and of the two scopes the stricter.

    A version or specifier that cannot be read matches a ban and does not match an approval.
    """
    ref = evaluated_ref(ecosystem, package)
    group = rules.by_name.get((ecosystem, ref.name), EMPTY_GROUP)
    files = (ecosystem, package.version, tuple([artefact.sha256 for artefact in package.artefacts]))
    return group.settled(files) or group.settle(files, _evaluate(ref, group, package, rules, now))


def _evaluate(ref: PackageRef, group: RuleGroup, package: LockedPackage, rules: Rules, now: datetime) -> Standing:
    meant = group.meaning(package.version)
    live = [rule for rule in meant if not _expired(rule, now)] if group.expiring else meant
    # An expiry ahead of any of these rules may change the answer; one behind can not.
    until = None
    if group.expiring:
        until = min((rule.expires_at for rule in live if rule.expires_at is not None), default=None)
    bans = [rule for rule in live if rule.state is RuleState.BANNED]
    if bans:
        return Standing(ref, PackageState.BANNED, bans[0], None, until)
    approvals = [rule for rule in live if _same_artefacts(rule, package)]
    if approvals:
        return Standing(ref, PackageState.APPROVED, _strictest(approvals, meant, package, now), None, until)
    request, asked = rules.pending.get(ref), rules.asked.get(ref) or rules.asked.get(_any_version(ref))
    if request is not None or asked is not None:
        return Standing(ref, PackageState.PENDING, None, request, until, asked)
    lapsed = [rule for rule in meant if rule.state is RuleState.APPROVED and _same_artefacts(rule, package)]
    if lapsed:
        return Standing(ref, PackageState.EXPIRED, max(lapsed, key=_expiry), None, until)
    return Standing(ref, PackageState.UNKNOWN, None, None, until)


def _strictest(
    approvals: list[PackageRule], meant: tuple[PackageRule, ...], package: LockedPackage, now: datetime
) -> PackageRule:
    """The approval whose minimum counts, of those that apply, of the workspace's that did until they ran out, and of
    the global ones that mean the version at all."""
    least = min(approvals, key=minimum_of) if len(approvals) > 1 else approvals[0]
    everywhere = [rule for rule in meant if rule.scope is RuleScope.GLOBAL]
    if not everywhere:
        return least
    own = [rule for rule in meant if rule.scope is RuleScope.WORKSPACE and _same_artefacts(rule, package)]
    floors = [floor for floor in (_floor(own, now), _floor(everywhere, now)) if floor is not None]
    return max((*floors[:1], least, *floors[1:]), key=minimum_of)


def _floor(scope: list[PackageRule], now: datetime) -> PackageRule | None:
    """Whom the approvals of one scope are for, at the least. When the last of them has run out, what the strictest
    asked for stays: an approval that ends must not let anybody in."""
    approvals = [rule for rule in scope if rule.state is RuleState.APPROVED]
    live = [rule for rule in approvals if not _expired(rule, now)]
    return min(live, key=minimum_of) if live else max(approvals, key=minimum_of, default=None)


def evaluated_ref(ecosystem: Ecosystem, package: LockedPackage) -> PackageRef:
    """The package by its canonical name, whatever form a resolver wrote into the lock."""
    return PackageRef(ecosystem, canonical_name(ecosystem, package.name), package.version)


def _any_version(ref: PackageRef) -> PackageRef:
    return PackageRef(ref.ecosystem, ref.name, "")


def _same_artefacts(rule: PackageRule, package: LockedPackage) -> bool:
    """An approval bound to hashes approves those files only; a package that names no file matches none of them."""
    if not rule.hashes:
        return True
    found = {artefact.sha256 for artefact in package.artefacts}
    return bool(found) and found <= rule.hashes


def _expired(rule: PackageRule, now: datetime) -> bool:
    return rule.expires_at is not None and rule.expires_at <= now


def _expiry(rule: PackageRule) -> tuple[datetime, int]:
    # Only called for rules that expired, so there is a date; the id makes ties independent of order.
    assert rule.expires_at is not None  # noqa: S101
    return rule.expires_at, rule.id
