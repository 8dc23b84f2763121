"""Calls that a quota refuses, on record: the first of each minute.

A quota is there to make calls cost nothing, and each record costs a durable commit.
"""

from __future__ import annotations

from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.quotas import CallQuotaExceededError, CallSpan, Quota
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.values import InvokeRequest
from skillyard.times import utcnow


class OverQuota:
    """Remembers the last minute of each workspace and quota, in this process."""

    def __init__(self, *, writer: AdmissionWriter) -> None:
        self._writer = writer
        self._told: dict[tuple[WorkspaceId, Quota], int] = {}

    async def note(self, invocation: InvocationId, request: InvokeRequest, error: CallQuotaExceededError) -> None:
        """Record that a call was refused, unless one was in the same minute for the same quota."""
        now = utcnow()
        minute = CallSpan.MINUTE.number(now)
        if self._told.get((request.workspace, error.quota)) == minute:
            return
        self._told[request.workspace, error.quota] = minute
        facts = {"quota": error.quota.value, "limit": error.limit, "used": error.used}
        record = AuditRecord(
            workspace=request.workspace,
            at=now,
            actor=Actor(ActorKind.AGENT, request.agent),
            action=Action.INVOCATION_REFUSED,
            subject=f"invocation/{invocation}",
            payload={"skill": str(request.skill), "reasons": [error.code], **facts},
        )
        await self._writer.record(record)
