"""Cancelling a call: at once where it runs in this process, by a mark in the database where it runs in another.

Who may: an agent its own calls, a person those of the agents they own, an admin any of the workspace.
"""

from __future__ import annotations

from skillyard.database import Database, Session
from skillyard.errors import NotFoundError
from skillyard.governance import people
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import ActorKind, AgentPrincipal, Person, PersonPrincipal, Principal
from skillyard.ids import AgentId, InvocationId
from skillyard.runtime import invocations
from skillyard.runtime.invocations import InvocationSummary
from skillyard.runtime.journal import AlreadyFinishedError
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.states import InvocationState

WAIT_SECONDS = 10.0
"""Longest wait for a cancelled call's recorded end: a guest that does not answer takes three, its container longer."""


class Canceller:
    """One for each process. ``instance`` is the id under which its calls were admitted."""

    def __init__(self, *, database: Database, calls: OpenCalls, instance: str) -> None:
        self._database = database
        self._calls = calls
        self._instance = instance

    async def cancel(self, invocation: InvocationId, principal: Principal) -> InvocationSummary:
        """The call as it is then: ended as cancelled, or still open where another process has to end it.

        Raises ``NotFoundError``, ``AdminRoleError``, and ``AlreadyFinishedError`` where it ended before or otherwise.
        """
        record = await self._allowed(invocation, principal)
        _refuse_ended(record)
        by = f"{principal.actor.kind.value} {principal.actor.id}"
        call = self._calls.get(invocation)
        if call is None:
            async with self._database.transaction() as session:
                await invocations.ask_to_cancel(session, invocation, by)
        else:
            call.cancel(by)
            await call.recorded(WAIT_SECONDS)
        record = await self._allowed(invocation, principal)
        if record.state is not InvocationState.CANCELLED:
            _refuse_ended(record)
        return record

    async def look(self) -> None:
        """End what other processes were asked to cancel and is ours."""
        if not self._calls:
            return
        async with self._database.reading() as session:
            asked = await invocations.asked_to_cancel(session, self._instance)
        for invocation, by in asked:
            call = self._calls.get(invocation)
            if call is not None:
                call.cancel(by)

    async def _allowed(self, invocation: InvocationId, principal: Principal) -> InvocationSummary:
        async with self._database.reading() as session:
            record = await invocations.get_invocation(session, principal.workspace, invocation)
            match principal:
                case AgentPrincipal():
                    if record.caller != principal.actor:
                        raise NotFoundError(f"invocation {invocation} does not exist")
                case PersonPrincipal() if not principal.person.role.administers:
                    if not await _is_theirs(session, record, principal.person):
                        raise AdminRoleError("calls of other persons' agents are cancelled by an admin")
                case _:
                    pass
        return record


async def _is_theirs(session: Session, record: InvocationSummary, person: Person) -> bool:
    """Whether a person made the call, or owns the agent that did."""
    if record.caller.kind is not ActorKind.AGENT or record.caller.id is None:
        return record.caller == person.actor
    agent = await people.get_agent(session, person.workspace, AgentId(record.caller.id))
    return agent.owner == person.id


def _refuse_ended(record: InvocationSummary) -> None:
    if record.state is not InvocationState.ACCEPTED:
        raise AlreadyFinishedError(f"invocation {record.id} ended before: {record.state.value}")
