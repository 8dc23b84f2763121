"""Supervised calls as admins see them: which there are, and stopping one that runs. Watching is ``watching``."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.database import Database
from skillyard.errors import ConflictError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_admin
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.maturity import require_reason
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime import invocations
from skillyard.runtime.invocations import CallFilter, Cursor, InvocationSummary
from skillyard.runtime.journal import AlreadyFinishedError
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.recordings import KeptRecording, recordings_of
from skillyard.runtime.states import InvocationState
from skillyard.times import utcnow

_WAIT_SECONDS = 10.0


class NotSupervisedError(ConflictError):
    """The call was not supervised: nothing of it was recorded."""

    code = "not_supervised"


@dataclass(frozen=True, slots=True)
class Supervised:
    """One supervised call. ``recording`` is ``None`` until it is in the database."""

    call: InvocationSummary
    recording: KeptRecording | None


class Supervisor:
    """One for each process, whose ``calls`` it stops at once; those of others are told through the database."""

    def __init__(self, *, database: Database, calls: OpenCalls) -> None:
        self._database = database
        self._calls = calls

    async def list(
        self, workspace: WorkspaceId, wanted: CallFilter, *, limit: int, after: Cursor | None = None
    ) -> tuple[Supervised, ...]:
        """Supervised calls, newest first."""
        async with self._database.reading() as session:
            found = await invocations.invocations(session, workspace, limit=limit, after=after, wanted=wanted)
            kept = await recordings_of(session, workspace, [call.id for call in found])
        return tuple(Supervised(call, kept.get(call.id)) for call in found)

    async def show(self, workspace: WorkspaceId, invocation: InvocationId) -> Supervised:
        """One of them. Raises ``NotFoundError`` and ``NotSupervisedError``."""
        async with self._database.reading() as session:
            call = await invocations.get_invocation(session, workspace, invocation)
            kept = await recordings_of(session, workspace, [invocation])
        if not call.supervised:
            raise NotSupervisedError(f"invocation {invocation} was not supervised")
        return Supervised(call, kept.get(invocation))

    async def stop(self, invocation: InvocationId, *, by: Administrator, reason: str) -> InvocationSummary:
        """End a running call; its caller gets ``cancelled`` with the reason. The call as it is then.

        Raises ``NotFoundError``, ``NotSupervisedError``, ``AlreadyFinishedError``, ``InputError``, ``AdminRoleError``.
        """
        why = require_reason(reason)
        await self.show(by.workspace, invocation)
        asked = f"{by.actor.kind.value} {by.actor.id}"
        async with self._database.transaction() as session:
            await require_admin(session, by)
            call = await invocations.get_invocation(session, by.workspace, invocation)
            if call.state is not InvocationState.ACCEPTED:
                raise AlreadyFinishedError(f"invocation {invocation} ended before: {call.state.value}")
            await invocations.ask_to_cancel(session, invocation, asked, why)
            subject = f"invocation/{invocation}"
            facts = {"reason": why, **by.facts}
            record = AuditRecord(by.workspace, utcnow(), by.actor, Action.INVOCATION_STOPPED, subject, facts)
            await audit.append(session, record)
        here = self._calls.get(invocation)
        if here is not None:
            here.cancel(invocations.because(asked, why))
            await here.recorded(_WAIT_SECONDS)
        async with self._database.reading() as session:
            return await invocations.get_invocation(session, by.workspace, invocation)
