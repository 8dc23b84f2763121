"""Package rules and approval requests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.values import Body, Comment, FutureTime, MaturityName, PackageName, Specifier, View
from skillyard.governance.decision import ApprovalState, RuleState
from skillyard.governance.requested import PackageRole
from skillyard.skills.skill import Ecosystem

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class ApprovePackageRequest(Body):
    """Approve the versions that ``specifier`` names, for agents at least as mature as ``min_maturity``."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier = ""
    min_maturity: MaturityName
    expires_at: FutureTime | None = None
    reason: Comment | None = None
    hashes: Annotated[tuple[Hash, ...], Field(max_length=512)] = ()


class BanPackageRequest(Body):
    """Ban the versions that ``specifier`` names, for everybody; an empty specifier means every version."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier = ""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    expires_at: FutureTime | None = None


class UnbanPackageRequest(Body):
    """Lift every ban of a package, or with ``specifier`` the ban that is written exactly so."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier | None = None


class RuleView(View):
    """One rule in force."""

    id: int
    ecosystem: Ecosystem
    name: str
    specifier: str
    state: RuleState
    min_maturity: MaturityName | None
    expires_at: datetime | None
    reason: str | None
    hashes: tuple[str, ...]
    approval: int | None


class ApproveRequest(Body):
    """Approve the whole lock. Without ``min_maturity``: from the requesting agent's maturity on."""

    min_maturity: MaturityName | None = None
    comment: Comment | None = None
    expires_at: FutureTime | None = None


class DenyRequest(Body):
    comment: Comment | None = None


class RevokeRequest(Body):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class RequestedPackageView(View):
    """A package that is new in the lock, with the hashes an approval would bind."""

    ecosystem: Ecosystem
    name: str
    version: str
    hashes: tuple[str, ...]
    role: PackageRole


class ApprovalView(View):
    """A request that waits for a second person, or what one made of it."""

    id: int
    skill: str
    skill_version_id: int
    lock_digest: str
    state: ApprovalState
    packages: tuple[RequestedPackageView, ...]
    first_use: bool
    requested_by_agent: int | None
    requested_by_person: int | None
    requesting_owner: int
    created_at: datetime
    decided_by: int | None
    decided_at: datetime | None
    comment: str | None
