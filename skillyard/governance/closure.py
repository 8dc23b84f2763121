"""Where every package of a closure stands under the rules of a workspace. Pure.

The standing of a closure changes only with the rules epoch or when an expiry passes. It says until when it holds, so
that it can be kept and asked again for every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from skillyard.governance.decision import FirstUse, Maturity, PackageRule, RuleState
from skillyard.governance.report import PackageRef
from skillyard.governance.rules import Match, canonical_name, matches
from skillyard.ids import ApprovalId, Epoch, LockDigest, WorkspaceId
from skillyard.skills.lock import Lock, LockedPackage, closure_digest
from skillyard.skills.skill import Ecosystem


class PackageState(StrEnum):
    """``pending`` is unknown with an approval request that waits; ``expired`` is unknown since an approval ran out."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    EXPIRED = "expired"
    APPROVED = "approved"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one package stands: the rule that says so, if one does, and until when (``None``: no expiry ahead)."""

    package: PackageRef
    state: PackageState
    rule: PackageRule | None
    request: ApprovalId | None
    until: datetime | None

    @property
    def minimum(self) -> Maturity:
        """The least mature agent an approved package is for."""
        return Maturity.AUTONOMOUS if self.rule is None else _minimum(self.rule)


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """All rules in force in one workspace under one epoch, immutable. Made by ``compile_rules``.

    Compared by identity: what was found out under one view is never taken for what holds under another.
    """

    workspace: WorkspaceId
    epoch: Epoch
    by_name: Mapping[tuple[Ecosystem, str], tuple[PackageRule, ...]]
    first_uses: frozenset[FirstUse]
    pending: Mapping[PackageRef, ApprovalId]


@dataclass(frozen=True, slots=True)
class ClosureStanding:
    """Where every package of a closure stands, in the order of the locks. Holds for ``made_at <= now < until``."""

    digest: LockDigest
    standings: tuple[Standing, ...]
    made_at: datetime
    until: datetime | None
    rules: Rules = field(repr=False)

    def having(self, *states: PackageState) -> tuple[Standing, ...]:
        return tuple(item for item in self.standings if item.state in states)

    @property
    def banned(self) -> tuple[Standing, ...]:
        return self.having(PackageState.BANNED)

    @property
    def unapproved(self) -> tuple[Standing, ...]:
        """What a Hold asks to approve."""
        return self.having(PackageState.UNKNOWN, PackageState.PENDING, PackageState.EXPIRED)

    def above(self, maturity: Maturity) -> tuple[Standing, ...]:
        """Packages that are approved, but only for agents more mature than this."""
        return tuple(item for item in self.having(PackageState.APPROVED) if item.minimum > maturity)


def compile_rules(
    *,
    workspace: WorkspaceId,
    epoch: Epoch,
    rules: Iterable[PackageRule],
    first_uses: Iterable[FirstUse] = (),
    pending: Mapping[PackageRef, ApprovalId] | None = None,
) -> Rules:
    """Groups rules by package. Their order does not matter: ties go to the oldest rule."""
    grouped: dict[tuple[Ecosystem, str], list[PackageRule]] = {}
    for rule in sorted(rules, key=lambda item: item.id):
        grouped.setdefault((rule.ecosystem, canonical_name(rule.ecosystem, rule.name)), []).append(rule)
    return Rules(
        workspace=workspace,
        epoch=epoch,
        by_name=MappingProxyType({key: tuple(group) for key, group in grouped.items()}),
        first_uses=frozenset(first_uses),
        pending=MappingProxyType(dict(pending or {})),
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
    """Where one locked package stands: a ban beats every approval, and of approvals the most permissive counts.

    A version or specifier that cannot be read matches a ban and does not match an approval.
    """
    ref = evaluated_ref(ecosystem, package)
    relevant = [rule for rule in rules.by_name.get((ecosystem, ref.name), ()) if _applies(rule, package)]
    live = [rule for rule in relevant if not _expired(rule, now)]
    # An expiry ahead of any of these rules may change the answer; one behind can not.
    until = min((rule.expires_at for rule in live if rule.expires_at is not None), default=None)
    bans = [rule for rule in live if rule.state is RuleState.BANNED]
    if bans:
        return Standing(ref, PackageState.BANNED, bans[0], None, until)
    approvals = [rule for rule in live if rule.state is RuleState.APPROVED]
    if approvals:
        return Standing(ref, PackageState.APPROVED, min(approvals, key=_minimum), None, until)
    request = rules.pending.get(ref)
    if request is not None:
        return Standing(ref, PackageState.PENDING, None, request, until)
    lapsed = [rule for rule in relevant if rule.state is RuleState.APPROVED]
    if lapsed:
        return Standing(ref, PackageState.EXPIRED, max(lapsed, key=_expiry), None, until)
    return Standing(ref, PackageState.UNKNOWN, None, None, until)


def evaluated_ref(ecosystem: Ecosystem, package: LockedPackage) -> PackageRef:
    """The package by its canonical name, whatever form a resolver wrote into the lock."""
    return PackageRef(ecosystem, canonical_name(ecosystem, package.name), package.version)


def _applies(rule: PackageRule, package: LockedPackage) -> bool:
    match = matches(rule.ecosystem, rule.specifier, package.version)
    if rule.state is RuleState.BANNED:
        return match is not Match.NO
    return match is Match.YES and _same_artefacts(rule, package)


def _same_artefacts(rule: PackageRule, package: LockedPackage) -> bool:
    """An approval bound to hashes approves those files only; a package that names no file matches none of them."""
    if not rule.hashes:
        return True
    found = {artefact.sha256 for artefact in package.artefacts}
    return bool(found) and found <= rule.hashes


def _expired(rule: PackageRule, now: datetime) -> bool:
    return rule.expires_at is not None and rule.expires_at <= now


def _minimum(rule: PackageRule) -> Maturity:
    """Whom an approval is for. One that does not say is for nobody below the top."""
    return Maturity.AUTONOMOUS if rule.min_maturity is None else rule.min_maturity


def _expiry(rule: PackageRule) -> tuple[datetime, int]:
    # Only called for rules that expired, so there is a date; the id makes ties independent of order.
    assert rule.expires_at is not None  # noqa: S101
    return rule.expires_at, rule.id
