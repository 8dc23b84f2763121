"""Where one package of a closure stands under the rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from skillyard.governance.decision import Maturity, PackageRule
from skillyard.governance.report import PackageRef
from skillyard.ids import ApprovalId, PackageRequestId


class PackageState(StrEnum):
    """``pending`` is unknown with an approval request that waits; ``expired`` is unknown since an approval ran out."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    EXPIRED = "expired"
    APPROVED = "approved"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one package stands: the rule that says so, if one does, and until when (``None``: no expiry ahead).

    What is pending waits for the approval ``request`` of a skill, or for the package request that was ``asked``.
    """

    package: PackageRef
    state: PackageState
    rule: PackageRule | None
    request: ApprovalId | None
    until: datetime | None
    asked: PackageRequestId | None = None

    @property
    def minimum(self) -> Maturity:
        """The least mature agent an approved package is for."""
        return Maturity.AUTONOMOUS if self.rule is None else minimum_of(self.rule)


def minimum_of(rule: PackageRule) -> Maturity:
    """Whom an approval is for. One that does not say is for nobody below the top."""
    return Maturity.AUTONOMOUS if rule.min_maturity is None else rule.min_maturity
