"""Approval requests, and what a second person makes of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.reports import FindingView, PackageView
from skillyard.api.schemas.values import Body, Comment, FutureTime, MaturityName, VerdictName, View
from skillyard.governance.decision import ApprovalState
from skillyard.governance.requested import PackageRole
from skillyard.skills.skill import Ecosystem

PackageChoice = Annotated[str, StringConstraints(min_length=1, max_length=400)]


class ApproveRequest(Body):
    """Approve the whole lock, or with ``packages`` some of it. Without ``min_maturity``: from the requesting agent's
    maturity on."""

    packages: Annotated[tuple[PackageChoice, ...], Field(min_length=1, max_length=2000)] | None = Field(
        default=None,
        description="Names of packages that the request shows (`numpy`, `npm:left-pad`, `numpy==1.26.4`): only these "
        "are approved, and the request goes on waiting for the rest.",
    )
    min_maturity: MaturityName | None = None
    comment: Comment | None = None
    expires_at: FutureTime | None = None


class DenyRequest(Body):
    comment: Comment | None = None


class RevokeRequest(Body):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=2000)]


class NamedView(View):
    """A person by key and name."""

    id: int
    name: str


class AskingAgentView(NamedView):
    maturity: MaturityName


class RequestedPackageView(View):
    """A package that the request asks for, with the hashes an approval would bind.

    ``approved_as`` are the specifiers that are approved of the same name: empty for a package that is new here.
    ``other_files`` is whether this very version is approved, with other files. ``findings`` are the kept scan's.
    """

    ecosystem: Ecosystem
    name: str
    version: str
    hashes: tuple[str, ...]
    role: PackageRole
    approved_as: tuple[str, ...]
    other_files: bool
    findings: tuple[FindingView, ...]


class BannedView(View):
    package: PackageView
    reason: str


class ApprovalView(View):
    """A request that waits for a second person, or what one made of it. ``state`` is by the clock: ``expired`` is also
    an approval that has run out.

    ``verdict`` and findings are of the kept scan, null and empty where the version is not installed any more.
    ``second_person`` is whether an approval came from somebody else than who asked; null where nothing was approved.
    ``approvers`` may approve it; ``banned`` says what keeps them from it. ``split_from`` is the request of which this
    one holds the packages that were approved before the rest.
    """

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
    agent: AskingAgentView | None
    owner: NamedView
    decider: NamedView | None
    waiting_seconds: float
    answer_by: datetime | None
    verdict: VerdictName | None
    findings: tuple[FindingView, ...]
    banned: tuple[BannedView, ...]
    approvers: tuple[NamedView, ...]
    min_maturity: MaturityName | None
    approved_until: datetime | None
    second_person: bool | None
    split_from: int | None
