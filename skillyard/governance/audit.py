"""The audit log: one append-only hash chain a workspace.

Each record is hashed together with the hash of the record before it, so that an edit, a deletion or a reordering
breaks the chain where it happened; ``audit_heads`` says where the chain ends, so that a cut end shows too. Who can
rewrite the whole file can also recompute the whole chain: a head noted elsewhere (an export, a line in a ticket) and
given to ``verify`` catches that.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TypeAlias

import orjson
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.database import in_utc, is_machine_error
from skillyard.errors import NotFoundError
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.identity import Actor
from skillyard.governance.tables import AuditHeadRow, AuditRecordRow, WorkspaceRow
from skillyard.ids import WorkspaceId

JsonValue: TypeAlias = "str | int | float | bool | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

GENESIS = "0" * 64
"""What a workspace's first record continues from."""

_DOMAIN = b"skillyard audit record, version 1\n"
_PAGE = 2000


class Action(StrEnum):
    """What happened, in the past tense. Stable: kept in chains and exports for good."""

    WORKSPACE_CREATED = "workspace.created"
    PERSON_ADDED = "person.added"
    AGENT_ADDED = "agent.added"
    AGENT_MATURITY_CHANGED = "agent.maturity_changed"
    AGENT_SUSPENDED = "agent.suspended"
    AGENT_RESUMED = "agent.resumed"
    AGENT_PINNED = "agent.pinned"
    AGENT_UNPINNED = "agent.unpinned"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - the name of an action
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the name of an action
    PACKAGE_APPROVED = "package.approved"
    PACKAGE_BANNED = "package.banned"
    PACKAGE_RULE_REVOKED = "package.rule_revoked"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_GRANTED = "approval.granted"
    APPROVAL_DENIED = "approval.denied"
    APPROVAL_REVOKED = "approval.revoked"
    SKILL_INSTALLED = "skill.installed"
    SKILL_INSTALL_REFUSED = "skill.install_refused"
    SKILL_UPGRADED = "skill.upgraded"
    SKILL_UPGRADE_REFUSED = "skill.upgrade_refused"
    SKILL_ROLLED_BACK = "skill.rolled_back"
    SKILL_REMOVED = "skill.removed"
    SKILL_QUARANTINED = "skill.quarantined"
    SKILL_REVOKED = "skill.revoked"
    INVOCATION_ADMITTED = "invocation.admitted"
    INVOCATION_FINISHED = "invocation.finished"
    INVOCATION_LOST = "invocation.lost"
    INVOCATION_DENIED = "invocation.denied"
    INVOCATION_HELD = "invocation.held"
    INVOCATION_REFUSED = "invocation.refused"
    ADVISORIES_UPDATED = "advisories.updated"
    GARBAGE_COLLECTED = "garbage.collected"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is to be recorded. ``subject`` names the thing acted on (``agent/7``, ``pypi/jinja2``), 500 characters.

    The payload is JSON and holds no secrets: it is exported as it is.
    """

    workspace: WorkspaceId
    at: datetime
    actor: Actor
    action: Action
    subject: str
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: the number of its records, and the hash of the last."""

    seq: int
    hash: str


EMPTY = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it is kept and exported: the texts that were hashed, in the order of the table's columns.

    ``at`` is ``YYYY-MM-DDTHH:MM:SS.ffffffZ``; ``payload`` is JSON with sorted keys.
    """

    workspace_id: int
    seq: int
    at: str
    actor_kind: str
    actor_id: int | None
    action: str
    subject: str
    payload: str
    prev_hash: str
    hash: str


class BreakKind(StrEnum):
    """How a chain is broken, as far as that can be told from what is left."""

    EDITED = "edited"
    MISSING = "missing"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    HEAD = "head"
    """The records are sound by themselves, and end elsewhere than the kept head or a head noted elsewhere says."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold."""

    seq: int
    kind: BreakKind
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """``records`` were checked and sound, up to ``head``; ``broken`` is ``None`` for a chain that holds."""

    workspace: WorkspaceId
    records: int
    head: Head
    broken: Break | None


def chain(prev_hash: str, seq: int, record: Entry | AuditRecord) -> str:
    """The hash of a record at a place: SHA-256, hexadecimal.

    Over a domain line, the previous hash, and a JSON array of sequence number, workspace, time, actor, action,
    subject and the payload's canonical text. JSON quotes its strings, so no two records give the same bytes.
    """
    return _digest(prev_hash, seq, record if isinstance(record, Entry) else seal(record, Head(seq - 1, prev_hash)))


def seal(record: AuditRecord, head: Head) -> Entry:
    """The record as the next link after ``head``. Raises ``TypeError`` for a payload that is not JSON."""
    at = in_utc(record.at).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    payload = orjson.dumps(record.payload, option=orjson.OPT_SORT_KEYS).decode()
    actor, seq = record.actor, head.seq + 1
    texts = (at, actor.kind.value, actor.id, record.action.value, record.subject, payload)
    digest = _hash(head.hash, (seq, record.workspace, *texts))
    return Entry(record.workspace, seq, *texts, prev_hash=head.hash, hash=digest)


def _digest(prev_hash: str, seq: int, entry: Entry) -> str:
    texts = (entry.at, entry.actor_kind, entry.actor_id, entry.action, entry.subject, entry.payload)
    return _hash(prev_hash, (seq, entry.workspace_id, *texts))


def _hash(prev_hash: str, facts: tuple[str | int | None, ...]) -> str:
    return hashlib.sha256(_DOMAIN + prev_hash.encode() + b"\n" + orjson.dumps(facts)).hexdigest()


async def append(session: AsyncSession, record: AuditRecord) -> Head:
    """Adds a record in the caller's transaction and returns the new head.

    The head row is locked first, so that two transactions cannot continue from one record. Raises ``NotFoundError``
    for a workspace without a head: ``open_chain`` makes it together with the workspace.
    """
    query = select(AuditHeadRow.seq, AuditHeadRow.hash).where(AuditHeadRow.workspace_id == record.workspace)
    row = (await session.execute(query.with_for_update())).one_or_none()
    if row is None:
        raise NotFoundError(f"workspace {record.workspace} does not exist")
    entry = seal(record, Head(row.seq, row.hash))
    await session.execute(insert(AuditRecordRow).values(asdict(entry)))
    head = Head(entry.seq, entry.hash)
    await session.execute(
        update(AuditHeadRow).where(AuditHeadRow.workspace_id == record.workspace).values(asdict(head))
    )
    return head


async def open_chain(session: AsyncSession, record: AuditRecord) -> Head:
    """Starts a new workspace's chain with its creation, so that an empty chain is always a cut one."""
    await session.execute(insert(AuditHeadRow).values(workspace_id=record.workspace, **asdict(EMPTY)))
    return await append(session, record)


async def verify(session: AsyncSession, workspace: WorkspaceId, noted: Iterable[Head] = ()) -> Verification:
    """Checks a whole chain against its hashes, its kept head, and heads that somebody noted elsewhere.

    Give it a reading session, so that it sees one moment. Raises ``NotFoundError`` for an unknown workspace.
    """
    if await session.get(WorkspaceRow, workspace) is None:
        raise NotFoundError(f"workspace {workspace} does not exist")
    expected = await _kept_head(session, workspace)
    check = ChainCheck(noted)
    try:
        async for page in _pages(session, workspace):
            suspect = await asyncio.to_thread(check.feed, page)
            if suspect is not None:
                return Verification(workspace, check.head.seq, check.head, await _explain(session, check, suspect))
    except UnreadableRecordError as error:
        broken = Break(error.seq, BreakKind.EDITED, str(error))
        return Verification(workspace, check.head.seq, check.head, broken)
    return Verification(workspace, check.head.seq, check.head, check.end(expected))


async def _explain(session: AsyncSession, check: ChainCheck, suspect: Entry) -> Break:
    workspace = WorkspaceId(suspect.workspace_id)
    known = await _is_known(session, workspace, suspect.prev_hash)
    length = await _length(session, workspace)
    return await asyncio.to_thread(check.explain, suspect, length=length, previous_exists=known)


async def require_sound(session: AsyncSession, workspace: WorkspaceId) -> Verification:
    """``verify``, raising ``AuditBrokenError`` for a chain that does not hold."""
    verification = await verify(session, workspace)
    if verification.broken is not None:
        raise AuditBrokenError(verification.broken.message)
    return verification


async def export(session: AsyncSession, workspace: WorkspaceId) -> AsyncIterator[bytes]:
    """The chain as JSON lines, oldest first, every text exactly as hashed; ``verify_export`` reads it."""
    async for page in _pages(session, workspace):
        for entry in page:
            yield orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def verify_export(lines: Iterable[bytes], noted: Iterable[Head] = ()) -> Verification:
    """Checks exported lines without a database. A file cut at its end shows only against a noted head."""
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry(**orjson.loads(line)))
        except (orjson.JSONDecodeError, TypeError) as error:
            raise AuditBrokenError(f"line {number} of the export is not an audit record") from error
    workspace = WorkspaceId(entries[0].workspace_id if entries else 0)
    check = ChainCheck(noted)
    suspect = check.feed(entries)
    if suspect is None:
        return Verification(workspace, check.head.seq, check.head, check.end(check.head))
    known = any(entry.hash == suspect.prev_hash for entry in entries)
    broken = check.explain(suspect, length=len(entries), previous_exists=known)
    return Verification(workspace, check.head.seq, check.head, broken)


class UnreadableRecordError(AuditBrokenError):
    """A record's text is not text any more."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(f"record {seq} was edited after it was written: it cannot be read as text")


class ChainCheck:
    """Follows a chain page by page; ``head`` is the last record that holds."""

    def __init__(self, noted: Iterable[Head] = ()) -> None:
        self.head = EMPTY
        self._noted = {head.seq: head.hash for head in noted}
        self._workspace: int | None = None

    def feed(self, entries: Iterable[Entry]) -> Entry | None:
        """Takes the next records; returns the first that does not continue the chain."""
        for entry in entries:
            if not self._continues(entry):
                return entry
            self.head = Head(entry.seq, entry.hash)
        return None

    def _continues(self, entry: Entry) -> bool:
        if self._workspace is None:
            self._workspace = entry.workspace_id
        return (
            entry.seq == self.head.seq + 1
            and entry.prev_hash == self.head.hash
            and entry.workspace_id == self._workspace
            and _is_own_hash(entry, entry.seq)
            and self._noted.get(entry.seq, entry.hash) == entry.hash
        )

    def explain(self, entry: Entry, *, length: int, previous_exists: bool) -> Break:
        """Says how ``entry`` breaks the chain.

        ``length`` bounds the places it may have come from; ``previous_exists`` says whether the record it was
        written after is still anywhere in the chain.
        """
        expected = self.head.seq + 1
        if _is_own_hash(entry, entry.seq):
            return self._explain_sound(entry, expected)
        came_from = next((seq for seq in range(1, length + 2) if _is_own_hash(entry, seq)), None)
        if came_from is None:
            return Break(expected, BreakKind.EDITED, f"record {expected} was edited after it was written")
        if previous_exists or came_from == 1:
            return Break(expected, BreakKind.REORDERED, f"record {expected} was written as record {came_from}")
        return Break(expected, BreakKind.MISSING, f"record {expected} is missing; a later one took its number")

    def _explain_sound(self, entry: Entry, expected: int) -> Break:
        """The record matches its own hash, so the break lies between it and the one before, or in a noted head."""
        if entry.seq != expected:
            return Break(expected, BreakKind.MISSING, f"record {expected} is missing; the next one is {entry.seq}")
        if entry.prev_hash == self.head.hash:
            return Break(expected, BreakKind.HEAD, f"record {expected} is not the one that was noted elsewhere")
        message = f"record {expected} does not continue record {self.head.seq}: one of the two was replaced"
        return Break(expected, BreakKind.EDITED, message)

    def end(self, kept: Head | None) -> Break | None:
        """What is wrong with where the chain ends; ``None`` if nothing is."""
        last = max([self.head.seq, *self._noted, *([kept.seq] if kept else [])])
        if last > self.head.seq or self.head == EMPTY:
            message = f"the chain ends at record {self.head.seq}; records up to {max(last, 1)} were written"
            return Break(self.head.seq + 1, BreakKind.TRUNCATED, message)
        if kept != self.head:
            return Break(self.head.seq, BreakKind.HEAD, f"the kept head is not record {self.head.seq}")
        return None


def _is_own_hash(entry: Entry, seq: int) -> bool:
    try:
        return _digest(entry.prev_hash, seq, entry) == entry.hash
    except (TypeError, AttributeError, ValueError):
        # SQLite keeps any type in any column: what cannot even be hashed is not what was written.
        return False


async def _kept_head(session: AsyncSession, workspace: WorkspaceId) -> Head | None:
    query = select(AuditHeadRow.seq, AuditHeadRow.hash).where(AuditHeadRow.workspace_id == workspace)
    row = (await session.execute(query)).one_or_none()
    return None if row is None else Head(row.seq, row.hash)


_COLUMNS = tuple(getattr(AuditRecordRow, name) for name in Entry.__slots__)


async def _pages(session: AsyncSession, workspace: WorkspaceId) -> AsyncIterator[list[Entry]]:
    after: int | None = None
    while page := await _readable_page(session, workspace, after):
        yield page
        after = page[-1].seq


async def _readable_page(session: AsyncSession, workspace: WorkspaceId, after: int | None) -> list[Entry]:
    """The next page; a single record where one further on has bytes that are no text, so that it can be named."""
    try:
        return await _page(session, workspace, after, _PAGE)
    except UnreadableRecordError:
        return await _page(session, workspace, after, 1)


async def _page(session: AsyncSession, workspace: WorkspaceId, after: int | None, limit: int) -> list[Entry]:
    query = select(*_COLUMNS).where(AuditRecordRow.workspace_id == workspace)
    if after is not None:
        query = query.where(AuditRecordRow.seq > after)
    try:
        rows = (await session.execute(query.order_by(AuditRecordRow.seq).limit(limit))).all()
    except OperationalError as error:
        if is_machine_error(error):
            raise
        raise UnreadableRecordError((after or 0) + 1) from error
    return [Entry(*row) for row in rows]


async def _is_known(session: AsyncSession, workspace: WorkspaceId, digest: str) -> bool:
    query = select(AuditRecordRow.seq).where(AuditRecordRow.workspace_id == workspace, AuditRecordRow.hash == digest)
    return (await session.execute(query.limit(1))).first() is not None


async def _length(session: AsyncSession, workspace: WorkspaceId) -> int:
    """An upper bound for the places in the chain: the kept head may be gone, the rows may be fewer than it says."""
    counted = select(func.count()).select_from(AuditRecordRow).where(AuditRecordRow.workspace_id == workspace)
    kept = await _kept_head(session, workspace)
    return max((await session.execute(counted)).scalar_one(), kept.seq if kept else 0)


COLUMN_NAMES: tuple[str, ...] = Entry.__slots__

_columns_of = attrgetter(*COLUMN_NAMES)


def as_columns(entry: Entry) -> tuple[str | int | None, ...]:
    """The entry's values in the order of ``COLUMN_NAMES``, for the durable writer."""
    values: tuple[str | int | None, ...] = _columns_of(entry)
    return values
