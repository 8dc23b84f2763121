"""Approval requests as values, and the JSON form in which the packages of one are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from skillyard.governance.closure import evaluated_ref
from skillyard.governance.decision import ApprovalState, Maturity
from skillyard.governance.errors import RuleError
from skillyard.governance.report import PackageRef
from skillyard.governance.rules import canonical_name
from skillyard.ids import AgentId, ApprovalId, LockDigest, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.skills.lock import Lock, LockedPackage
from skillyard.skills.skill import Ecosystem


class PackageRole(StrEnum):
    """What a package is in a lock, which whoever approves it should know."""

    RUNTIME = "runtime"
    SOURCE = "source"
    """Part of the environment, and built here from its source archive: its own code ran for that."""
    BUILD = "build"
    """Needed to build another package, and no part of the environment."""


@dataclass(frozen=True, slots=True, order=True)
class RequestedPackage:
    """A package that is new in a lock, with the SHA-256 of every artefact (sorted) that an approval would bind."""

    ecosystem: Ecosystem
    name: str
    version: str
    hashes: tuple[str, ...]
    role: PackageRole = PackageRole.RUNTIME

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.ecosystem, self.name, self.version)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What was asked for, by whom, and what a person made of it.

    ``requesting_owner`` is the person it counts as: who asked, or the owner of the agent that asked. ``decided_by`` is
    ``None`` for a request that waits, and for one that ended without anybody's decision. ``state`` is what is stored;
    ``state_at`` is what counts, because time ends requests and approvals without anybody writing it down.
    """

    id: ApprovalId
    workspace: WorkspaceId
    skill_id: SkillId
    skill_version_id: SkillVersionId
    skill: str
    lock_digest: LockDigest
    requested_by_agent: AgentId | None
    requested_by_person: PersonId | None
    requesting_owner: PersonId
    packages: tuple[RequestedPackage, ...]
    first_use: bool
    state: ApprovalState
    decided_by: PersonId | None
    decided_at: datetime | None
    comment: str | None
    created_at: datetime
    min_maturity: Maturity | None = None
    """The least mature agents that it was approved for."""
    approved_until: datetime | None = None
    second_person: bool | None = None
    """Whether an approval came from somebody else than who asked; ``None`` where nothing was approved."""
    split_from: ApprovalId | None = None
    """The request of which this one is the part that was approved before the rest."""

    def state_at(self, now: datetime, *, open_for: timedelta) -> ApprovalState:
        """The state by the clock. ``open_for`` is how long a request waits for a decision."""
        if self.state is ApprovalState.PENDING and now >= self.created_at + open_for:
            return ApprovalState.EXPIRED
        if self.state is ApprovalState.APPROVED and self.approved_until is not None and now >= self.approved_until:
            return ApprovalState.EXPIRED
        return self.state


def requested_packages(locks: Iterable[Lock], wanted: Iterable[PackageRef]) -> tuple[RequestedPackage, ...]:
    """The wanted packages of some locks, with the hashes found there, sorted."""
    refs = frozenset(wanted)
    found = {
        RequestedPackage(ref.ecosystem, ref.name, ref.version, _hashes(package), _role(lock, package))
        for lock in locks
        for package in lock.all_packages
        if (ref := evaluated_ref(lock.ecosystem, package)) in refs
    }
    return tuple(sorted(found))


def chosen_packages(packages: tuple[RequestedPackage, ...], names: Iterable[str]) -> tuple[RequestedPackage, ...]:
    """Those of a request that a person named: ``numpy``, ``pypi:numpy``, or ``numpy==1.26.4`` as the request shows it.

    Raises ``RuleError`` for a name that is not among them, and for none at all.
    """
    chosen: set[RequestedPackage] = set()
    for name in names:
        found = {package for package in packages if name in _names_of(package) or _is_named(package, name)}
        if not found:
            raise RuleError(f"the request asks for no package {name[:100]!r}", field="packages")
        chosen |= found
    if not chosen:
        raise RuleError("name at least one package, or leave it out to approve them all", field="packages")
    return tuple(package for package in packages if package in chosen)


def _names_of(package: RequestedPackage) -> tuple[str, str]:
    return str(package.ref), f"{package.ecosystem.value}:{package.ref}"


def _is_named(package: RequestedPackage, name: str) -> bool:
    """Whether a name in whatever form its ecosystem allows means this package."""
    prefix = f"{package.ecosystem.value}:"
    return canonical_name(package.ecosystem, name.removeprefix(prefix)) == package.name


def pack(packages: Iterable[RequestedPackage]) -> str:
    """A role is written where it is not the usual one, so that requests kept before there were roles read the same."""
    return orjson.dumps([_packed(package) for package in packages]).decode()


def unpack(text: str) -> tuple[RequestedPackage, ...]:
    return tuple(
        RequestedPackage(Ecosystem(ecosystem), name, version, tuple(hashes), *(PackageRole(one) for one in role))
        for ecosystem, name, version, hashes, *role in orjson.loads(text)
    )


def _packed(package: RequestedPackage) -> list[object]:
    facts: list[object] = [package.ecosystem.value, package.name, package.version, package.hashes]
    return facts if package.role is PackageRole.RUNTIME else [*facts, package.role.value]


def _hashes(package: LockedPackage) -> tuple[str, ...]:
    return tuple(sorted(artefact.sha256 for artefact in package.artefacts))


def _role(lock: Lock, package: LockedPackage) -> PackageRole:
    if not any((one.name, one.version) == (package.name, package.version) for one in lock.packages):
        return PackageRole.BUILD
    return PackageRole.RUNTIME if lock.build_of(package.name) is None else PackageRole.SOURCE
