"""The terms on which approvals are asked for and given, as an instance's settings say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from skillyard.settings import Settings


@dataclass(frozen=True, slots=True)
class ApprovalTerms:
    """``denial_stands`` is how long a denial answers the same question, so that an agent that keeps calling does not
    fill the queue again; ``open_for`` how long a request waits for a decision; ``notice`` how long before an approval
    runs out approvers are told."""

    second_person: bool = True
    open_for: timedelta = timedelta(days=30)
    denial_stands: timedelta = timedelta(days=1)
    notice: timedelta = timedelta(days=7)

    @classmethod
    def from_settings(cls, settings: Settings, *, second_person: bool) -> ApprovalTerms:
        """``second_person`` comes from the policy in force, which may be another than the settings'."""
        return cls(
            second_person=second_person,
            open_for=timedelta(days=settings.approval_request_days),
            denial_stands=timedelta(hours=settings.approval_denial_hours),
            notice=timedelta(days=settings.approval_notice_days),
        )
