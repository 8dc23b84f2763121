"""Workspaces, their quotas, and what they use of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from skillyard.api.schemas.people import PersonView
from skillyard.api.schemas.values import Body, Name, View
from skillyard.governance.identity import WorkspaceState
from skillyard.governance.quotas import LEAST, MOST, Quota

Limit = Annotated[int, Field(ge=0, le=MOST, strict=True)]


def _at_least(quota: Quota) -> int:
    return LEAST[quota]


class AddWorkspaceRequest(Body):
    """``admin`` is the name of its first person, who has the role admin."""

    name: Name
    admin: Name = "admin"


class WorkspaceView(View):
    id: int
    name: str
    state: WorkspaceState


class FoundedView(View):
    """``token`` is the first admin's. It is shown this once; only its hash is kept."""

    workspace: WorkspaceView
    admin: PersonView
    token: str


class WorkspaceReasonRequest(Body):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class QuotasRequest(Body):
    """Quotas to set; `null` takes the workspace's own away, one that is not named stays as it is. Sizes are bytes."""

    calls_per_minute: Limit | None = None
    calls_per_day: Limit | None = None
    concurrent_calls: Annotated[Limit, Field(ge=_at_least(Quota.CONCURRENT_CALLS))] | None = None
    sandboxes: Annotated[Limit, Field(ge=_at_least(Quota.SANDBOXES))] | None = None
    sandbox_memory_bytes: Annotated[Limit, Field(ge=_at_least(Quota.SANDBOX_MEMORY))] | None = None
    storage_bytes: Limit | None = None
    agents: Limit | None = None
    skills: Limit | None = None

    def wanted(self) -> dict[Quota, int | None]:
        """What was named."""
        return {Quota(name): getattr(self, name) for name in self.model_fields_set}


class QuotaUseView(View):
    quota: Quota
    used: int | None = Field(description="`null` where it is not measured.")
    limit: int | None = Field(description="`null` where there is none.")
    own: bool = Field(description="Whether the limit is the workspace's own; otherwise the server's settings give it.")
    resets_at: datetime | None = Field(description="When counting begins anew, for what is counted by time.")


class WorkspaceUseView(View):
    workspace: WorkspaceView
    at: datetime
    quotas: tuple[QuotaUseView, ...]
