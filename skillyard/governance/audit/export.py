"""Chains, and records picked from them, as the lines of a file; see ``document``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from skillyard.errors import NotFoundError
from skillyard.governance.audit import signed_store, store
from skillyard.governance.audit.document import FileKind, FileMaker, Header, opened
from skillyard.governance.audit.listing import Filter, listed
from skillyard.governance.audit.record import EMPTY, Entry
from skillyard.governance.audit.signed import Checkpoint, RegisteredKey
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.signing import SigningKey
from skillyard.ids import WorkspaceId

_BATCH = 2000


class ArchiveMissingError(NotFoundError):
    """A part of the chain is in an archive, and its file is not here."""

    code = "archive_missing"


async def export(session: AsyncSession, workspace: WorkspaceId) -> AsyncIterator[bytes]:
    """The records that are in the database as JSON lines, oldest first: no header, no signature."""
    async for page in store.pages(session, workspace):
        for entry in page:
            yield orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


async def signed_export(
    session: AsyncSession, workspace: WorkspaceId, name: str, key: SigningKey, *, archive: Path, at: str
) -> AsyncIterator[bytes]:
    """The whole chain as a signed file, archived parts included. ``at`` is when that is.

    Raises ``ArchiveMissingError`` where an archive's file is not in the folder ``archive``, and ``AuditBrokenError``
    where it cannot be read. What is exported is not checked: whoever reads it does that.
    """
    maker = FileMaker(Header(FileKind.CHAIN, workspace, name, EMPTY))
    yield maker.begin()
    yield b"".join(maker.key(one) for one in await _keys(session, key))
    last = 0
    for segment in await signed_store.segments(session, workspace):
        file = archive / segment.file
        if not file.exists():
            raise ArchiveMissingError(f"records {segment.first_seq} to {segment.last_seq} are in {segment.file}")
        async for values in _archived(file):
            yield b"".join(_again(maker, values))
        last = segment.last_seq
    async for chunk in chain_lines(session, workspace, maker, after=last):
        yield chunk
    yield maker.end(key, at)


async def signed_excerpt(
    session: AsyncSession, workspace: WorkspaceId, name: str, key: SigningKey, wanted: Filter, *, at: str
) -> AsyncIterator[bytes]:
    """The records in the database that a filter picks, as a signed file."""
    through = await signed_store.archived_through(session, workspace)
    maker = FileMaker(Header(FileKind.EXCERPT, workspace, name, through or EMPTY, wanted.document()))
    yield maker.begin()
    yield b"".join(maker.key(one) for one in await _keys(session, key))
    cursor: int | None = None
    while True:
        page = await listed(session, workspace, wanted, limit=_BATCH, cursor=cursor)
        yield b"".join(maker.record(entry) for entry in page.entries)
        if page.next is None:
            break
        cursor = page.next
    yield maker.end(key, at)


async def chain_lines(
    session: AsyncSession, workspace: WorkspaceId, maker: FileMaker, *, after: int, until: int | None = None
) -> AsyncIterator[bytes]:
    """Records of the database with the signed heads that are about them, some at a time."""
    async for page in store.pages(session, workspace, after=after, until=until):
        found = await signed_store.checkpoints(session, workspace, after=page[0].seq - 1, until=page[-1].seq)
        yield b"".join(_interleaved(maker, page, found))


def _interleaved(maker: FileMaker, page: Sequence[Entry], checkpoints: Sequence[Checkpoint]) -> Iterable[bytes]:
    waiting = list(reversed(checkpoints))
    for entry in page:
        yield maker.record(entry)
        while waiting and waiting[-1].seq == entry.seq:
            yield maker.checkpoint(waiting.pop())


async def _keys(session: AsyncSession, key: SigningKey) -> list[RegisteredKey]:
    return [*await signed_store.keys(session)] or [RegisteredKey(key.id, key.public.hex, "", None, None, None, None)]


async def _archived(file: Path) -> AsyncIterator[list[Entry | Checkpoint]]:
    """Records and signed heads of an archive, some at a time."""
    with opened(file) as lines:
        while batch := await asyncio.to_thread(lambda: [line for line, _ in zip(lines, range(_BATCH), strict=False)]):
            yield [value for line in batch if (value := _value(line, file)) is not None]


def _value(line: bytes, file: Path) -> Entry | Checkpoint | None:
    try:
        found = orjson.loads(line)
        if "seq" in found:
            return Entry(**found)
        return Checkpoint(**found["checkpoint"]) if "checkpoint" in found else None
    except (orjson.JSONDecodeError, TypeError) as error:
        raise AuditBrokenError(f"{file.name} was changed: a line of it is not an audit record") from error


def _again(maker: FileMaker, values: Iterable[Entry | Checkpoint]) -> Iterable[bytes]:
    for value in values:
        yield maker.record(value) if isinstance(value, Entry) else maker.checkpoint(value)
