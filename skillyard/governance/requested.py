"""Approval requests as values, and the JSON form in which the packages of one are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import orjson

from skillyard.governance.closure import evaluated_ref
from skillyard.governance.decision import ApprovalState
from skillyard.governance.report import PackageRef
from skillyard.ids import AgentId, ApprovalId, LockDigest, PersonId, SkillId, SkillVersionId, WorkspaceId
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True, order=True)
class RequestedPackage:
    """A package that is new in a lock, with the SHA-256 of every artefact (sorted) that an approval would bind."""

    ecosystem: Ecosystem
    name: str
    version: str
    hashes: tuple[str, ...]

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
        RequestedPackage(ref.ecosystem, ref.name, ref.version, tuple(sorted(a.sha256 for a in package.artefacts)))
        for lock in locks
        for package in lock.packages
        if (ref := evaluated_ref(lock.ecosystem, package)) in refs
    }
    return tuple(sorted(found))


def pack(packages: Iterable[RequestedPackage]) -> str:
    return orjson.dumps([[p.ecosystem.value, p.name, p.version, p.hashes] for p in packages]).decode()


def unpack(text: str) -> tuple[RequestedPackage, ...]:
    return tuple(
        RequestedPackage(Ecosystem(ecosystem), name, version, tuple(hashes))
        for ecosystem, name, version, hashes in orjson.loads(text)
    )
