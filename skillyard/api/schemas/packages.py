"""Package rules, the files that carry them, and what rules say of packages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.reports import ReasonView
from skillyard.api.schemas.values import Body, Comment, FutureTime, MaturityName, PackageName, Specifier, View
from skillyard.governance.check import Answer
from skillyard.governance.decision import RequestState, RuleScope, RuleState
from skillyard.governance.rule_plan import ImportMode
from skillyard.governance.standing import PackageState
from skillyard.skills.skill import Ecosystem

Hash = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Hashes = Annotated[tuple[Hash, ...], Field(max_length=512)]
Version = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
FileText = Annotated[str, StringConstraints(min_length=1, max_length=4 * 1024 * 1024)]
FileName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]

MOST_PACKAGES = 2000
"""In one question."""


class ApprovePackageRequest(Body):
    """Approve the versions that ``specifier`` names, for agents at least as mature as ``min_maturity``."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier = ""
    min_maturity: MaturityName
    expires_at: FutureTime | None = None
    reason: Comment | None = None
    hashes: Hashes = ()
    scope: RuleScope = RuleScope.WORKSPACE


class BanPackageRequest(Body):
    """Ban the versions that ``specifier`` names, for everybody; an empty specifier means every version."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier = ""
    reason: Reason
    expires_at: FutureTime | None = None
    scope: RuleScope = RuleScope.WORKSPACE


class UnbanPackageRequest(Body):
    """Lift every ban of a package, or with ``specifier`` the ban that is written exactly so."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    specifier: Specifier | None = None
    scope: RuleScope = RuleScope.WORKSPACE


class RuleView(View):
    """One rule in force. A ``global`` one binds every workspace, and only operators change it."""

    id: int
    scope: RuleScope
    ecosystem: Ecosystem
    name: str
    specifier: str
    state: RuleState
    min_maturity: MaturityName | None
    expires_at: datetime | None
    reason: str | None
    hashes: tuple[str, ...]
    approval: int | None


class AskedPackage(Body):
    """A package of one exact version."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    version: Version
    hashes: Hashes = ()


class CheckRequest(Body):
    """``packages``, or the text of a list of them: ``file`` says which kind (``requirements.txt``, ``pylock.toml``)."""

    packages: Annotated[tuple[AskedPackage, ...], Field(max_length=MOST_PACKAGES)] = ()
    text: FileText | None = None
    file: FileName = "requirements.txt"
    agent: Annotated[int, Field(ge=1)] | None = None


class MaturityAnswerView(View):
    maturity: MaturityName
    answer: Answer
    reason: ReasonView


class PackageAnswerView(View):
    """Where a package stands, and what that alone does to a call of an agent of each maturity."""

    ecosystem: Ecosystem
    name: str
    version: str
    state: PackageState
    rule: RuleView | None
    min_maturity: MaturityName | None
    approval: int | None
    """The approval request that waits for a skill with it."""
    request: int | None
    """The package request that waits for it."""
    until: datetime | None
    reasons: tuple[ReasonView, ...]
    by_maturity: tuple[MaturityAnswerView, ...]
    for_agent: MaturityAnswerView | None


class CheckedView(View):
    """The answers, in the order asked. ``agent`` is whom ``for_agent`` is about."""

    packages: tuple[PackageAnswerView, ...]
    agent: int | None


class PackageRequestBody(Body):
    """Ask for a package; without ``version``, for every version of it."""

    ecosystem: Ecosystem = Ecosystem.PYPI
    name: PackageName
    version: Version | None = None
    hashes: Hashes = ()
    reason: Reason


class PackageRequestView(View):
    """A request for a package, and what a person made of it. An empty ``version`` means any."""

    id: int
    ecosystem: Ecosystem
    name: str
    version: str
    hashes: tuple[str, ...]
    reason: str
    state: RequestState
    requested_by_agent: int | None
    requested_by_person: int | None
    requesting_owner: int
    created_at: datetime
    rule: int | None
    decided_by: int | None
    decided_at: datetime | None
    second_person: bool | None
    comment: str | None


class AskedView(View):
    """Where the package stands, and the request; ``null`` where there is nothing to ask for."""

    package: PackageAnswerView
    request: PackageRequestView | None


class ApprovePackageRequestBody(Body):
    """Approve what was asked for, or with ``specifier`` other versions of it. Without ``min_maturity``: from the
    requesting agent's maturity on."""

    min_maturity: MaturityName | None = None
    specifier: Specifier | None = None
    expires_at: FutureTime | None = None
    comment: Comment | None = None


class DenyPackageRequestBody(Body):
    comment: Comment | None = None


class ImportRequest(Body):
    """A rules file, and how it is brought in."""

    text: FileText
    file: FileName = "rules.yaml"
    mode: ImportMode = ImportMode.MERGE
    scope: RuleScope = RuleScope.WORKSPACE
    dry_run: bool = False


class AllowListRequest(Body):
    """Pinned requirements or a lock, for one approval each; ``file`` says which of the two."""

    text: FileText
    file: FileName = "requirements.txt"
    min_maturity: MaturityName
    expires_at: FutureTime | None = None
    reason: Comment | None = None
    scope: RuleScope = RuleScope.WORKSPACE
    dry_run: bool = False


class DraftView(View):
    """A rule that a file asks for and that is not in force."""

    ecosystem: Ecosystem
    name: str
    specifier: str
    state: RuleState
    min_maturity: MaturityName | None
    expires_at: datetime | None
    reason: str | None
    hashes: tuple[str, ...]


class ChangedDecisionView(View):
    skill: str
    version: str
    maturity: MaturityName
    before: str
    after: str
    reasons: tuple[ReasonView, ...]


class AffectedAgentView(View):
    id: int
    name: str
    maturity: MaturityName


class RuleImpactView(View):
    """What a change would do. Of other workspaces, which global rules bind too, only how much."""

    decisions: tuple[ChangedDecisionView, ...]
    agents: tuple[AffectedAgentView, ...]
    other_workspaces: int
    other_versions: int
    other_agents: int


class ImportedView(View):
    """What an import changed, or with ``dry_run`` would change, and then its ``impact``."""

    dry_run: bool
    mode: ImportMode
    scope: RuleScope
    added: tuple[DraftView, ...]
    ended: tuple[RuleView, ...]
    kept: int
    expired: int
    impact: RuleImpactView | None


class ExportView(View):
    scope: RuleScope
    rules: int
    text: str


class RuleCountView(View):
    scope: RuleScope
    ecosystem: Ecosystem
    state: RuleState
    in_force: int
    expired: int
    expiring: int


class UsedPackageView(View):
    ecosystem: Ecosystem
    name: str
    version: str
    skills: int
    state: PackageState


class StatsView(View):
    """Counted from what is stored: rules, requests, and the locks of installed versions."""

    rules: tuple[RuleCountView, ...]
    expiring_days: int
    requests_waiting: int
    packages_installed: int
    installed_by_state: dict[PackageState, int]
    most_used: tuple[UsedPackageView, ...]
