"""Picking records: by time, actor, action, subject, agent, invocation; page by page, with bounded work a page.

There is no index for these questions, because every index would slow down every call that is admitted. So a page looks
at so many records at most, and may hold few or none and still say where to go on.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import InputError
from skillyard.governance.audit import signed_store, store
from skillyard.governance.audit.record import Entry, time_text
from skillyard.governance.identity import ActorKind
from skillyard.governance.tables import AuditRecordRow
from skillyard.ids import AgentId, InvocationId, WorkspaceId

MOST_LOOKED_AT = 50_000
"""Records that one page looks at, at most."""

_ACTION = re.compile(r"[a-z][a-z_.]{0,63}", re.ASCII)
_ACTOR = re.compile(r"(person|agent)/([1-9][0-9]{0,17})|system", re.ASCII)
_COLUMNS = tuple(getattr(AuditRecordRow, name) for name in Entry.__slots__)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records; everything that is given has to apply. ``until`` is exclusive; ``action`` is how it begins."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    """``person/7``, ``agent/7`` or ``system``."""
    action: str | None = None
    subject: str | None = None
    agent: AgentId | None = None
    """What the agent did, and what was done to it."""
    invocation: InvocationId | None = None

    def __post_init__(self) -> None:
        """Raises ``InputError`` for what no record can be like."""
        if self.actor is not None and not _ACTOR.fullmatch(self.actor):
            raise InputError("person/ID, agent/ID or system", field="actor")
        if self.action is not None and not _ACTION.fullmatch(self.action):
            raise InputError("the beginning of an action's name, such as package.", field="action")

    @property
    def picks_all(self) -> bool:
        return all(value is None for value in asdict(self).values())

    def document(self) -> dict[str, str | int | None]:
        """As it is written into an excerpt."""
        times = {"since": self.since, "until": self.until}
        written = {name: None if moment is None else time_text(moment) for name, moment in times.items()}
        return {**asdict(self), **written}

    def conditions(self) -> list[ColumnElement[bool]]:
        row, found = AuditRecordRow, []
        if self.since is not None:
            found.append(row.at >= time_text(self.since))
        if self.until is not None:
            found.append(row.at < time_text(self.until))
        if self.actor is not None:
            kind, _, number = self.actor.partition("/")
            found.append(row.actor_kind == kind)
            found.append(row.actor_id == int(number) if number else row.actor_id.is_(None))
        if self.action is not None:
            found.append(row.action.startswith(self.action, autoescape=True))
        if self.subject is not None:
            found.append(row.subject == self.subject)
        if self.agent is not None:
            acted = (row.actor_kind == ActorKind.AGENT.value) & (row.actor_id == self.agent)
            found.append(or_(acted, row.subject == f"agent/{self.agent}"))
        if self.invocation is not None:
            found.append(row.subject == f"invocation/{self.invocation}")
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """Some records. ``next`` is where to go on, ``None`` where all were looked at; ``reached`` is the last place
    that was looked at; ``archived_through`` is the last record that is in an archive, and so in no list."""

    entries: tuple[Entry, ...]
    next: int | None
    reached: int
    archived_through: int


async def listed(
    session: AsyncSession,
    workspace: WorkspaceId,
    wanted: Filter,
    *,
    limit: int,
    cursor: int | None = None,
    newest_first: bool = False,
) -> Page:
    """A page of records behind ``cursor``, a place in the chain; oldest first, or newest first.

    Raises ``NotFoundError`` for an unknown workspace.
    """
    await store.workspace_named(session, workspace)
    kept = await store.kept_head(session, workspace)
    archived = await signed_store.archived_through(session, workspace)
    first, last = (archived.seq if archived else 0) + 1, kept.seq if kept else 0
    row = AuditRecordRow.seq
    if newest_first:
        high = last if cursor is None else min(last, cursor - 1)
        low = max(first, high - MOST_LOOKED_AT + 1)
        end, order = low, row.desc()
    else:
        low = first if cursor is None else max(first, cursor + 1)
        high = min(last, low + MOST_LOOKED_AT - 1)
        end, order = high, row.asc()
    query = select(*_COLUMNS).where(AuditRecordRow.workspace_id == workspace, row >= low, row <= high)
    rows = (await session.execute(query.where(*wanted.conditions()).order_by(order).limit(limit + 1))).all()
    entries = tuple(Entry(*found) for found in rows[:limit])
    all_looked_at = low <= first if newest_first else high >= last
    if len(rows) > limit:
        return Page(entries, entries[-1].seq, entries[-1].seq, first - 1)
    return Page(entries, None if all_looked_at else end, end, first - 1)
