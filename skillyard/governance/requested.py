"""Approval requests as values, and the JSON form in which the packages of one are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson

from skillyard.governance.closure import evaluated_ref
from skillyard.governance.decision import ApprovalState
from skillyard.governance.report import PackageRef
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
    ``None`` for a request that waits, and for one that was replaced because what it asked for had changed.
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
