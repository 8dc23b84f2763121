"""The audit log of this home, as commands use it without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.database import open_database
from skillyard.errors import InputError
from skillyard.governance import people
from skillyard.governance.audit.listing import Filter
from skillyard.governance.identity import Workspace
from skillyard.ids import AgentId, InvocationId
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings

Named = Annotated[str | None, typer.Option("--workspace", "-w", help="One workspace, by its name.")]
Since = Annotated[datetime | None, typer.Option("--since", help="Not before this time; UTC unless it says otherwise.")]
Until = Annotated[datetime | None, typer.Option("--until", help="Before this time.")]
OfActor = Annotated[str | None, typer.Option("--actor", metavar="WHO", help="person/ID, agent/ID or system.")]
OfAction = Annotated[str | None, typer.Option("--action", help="How its name begins, such as `package.`.")]
OfSubject = Annotated[str | None, typer.Option("--subject", help="What it is about, such as `pypi/jinja2`.")]
OfAgent = Annotated[int | None, typer.Option("--agent", min=1, help="What this agent did, and what was done to it.")]
OfCall = Annotated[str | None, typer.Option("--invocation", help="What is about this call.")]


@dataclass(frozen=True, slots=True)
class AuditHome:
    """The log, and the workspaces that have one."""

    log: AuditLog
    workspaces: tuple[Workspace, ...]

    def one(self, wanted: str | None) -> Workspace:
        """The named workspace, or the only one there is. Raises ``UsageProblemError``."""
        names = ", ".join(one.name for one in self.workspaces) or "none"
        if wanted is None:
            if len(self.workspaces) == 1:
                return self.workspaces[0]
            raise UsageProblemError(f"say which of these: {names}", field="--workspace")
        found = next((one for one in self.workspaces if one.name == wanted), None)
        if found is None:
            raise UsageProblemError(f"there is no workspace {wanted!r}; there is: {names}", field="--workspace")
        return found

    def some(self, wanted: str | None) -> tuple[Workspace, ...]:
        """The named workspace, or all."""
        return self.workspaces if wanted is None else (self.one(wanted),)


@asynccontextmanager
async def audit_home(settings: Settings) -> AsyncIterator[AuditHome]:
    """Opened for one command. Raises what the database raises."""
    database = await open_database(settings.database)
    try:
        async with database.reading() as session:
            every = await people.workspaces(session)
        yield AuditHome(AuditLog(settings=settings, database=database), every)
    finally:
        await database.close()


def moment(given: datetime | None) -> datetime | None:
    """A time from the command line, in UTC where it names no zone."""
    return None if given is None else given.replace(tzinfo=given.tzinfo or UTC)


def wanted_records(
    *,
    since: datetime | None,
    until: datetime | None,
    actor: str | None,
    action: str | None,
    subject: str | None,
    agent: int | None,
    invocation: str | None,
) -> Filter:
    """What the options pick. Raises ``UsageProblemError``."""
    try:
        return Filter(
            since=moment(since),
            until=moment(until),
            actor=actor,
            action=action,
            subject=subject,
            agent=None if agent is None else AgentId(agent),
            invocation=None if invocation is None else InvocationId(invocation),
        )
    except InputError as error:
        raise UsageProblemError(error.message, field=f"--{error.field}") from error
