"""What the tests of the durable writer stand on: calls to admit, and looks at what is on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import orjson
from skillyard.database import Database, Session, open_database
from skillyard.governance import audit
from skillyard.governance.audit import Entry, Verification
from skillyard.governance.decision import SkillState
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.invocations import InvocationSummary, get_invocation
from skillyard.runtime.journal import Admission
from skillyard.runtime.tables import SkillRow, SkillVersionRow
from skillyard.sandbox.outcome import Outcome, OutcomeState, Usage

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DONE = Outcome(OutcomeState.SUCCEEDED, usage=Usage(0.25, 0.125, 4096), exit_code=0)

NewCall = Callable[..., Admission]


def writer_of(database: Database, instance: str, **fields: int) -> AdmissionWriter:
    return AdmissionWriter(open_journal(database.location, instance=instance), **fields)


@asynccontextmanager
async def writing(database: Database, instance: str, **fields: int) -> AsyncIterator[AdmissionWriter]:
    """A started writer, closed at the end."""
    writer = writer_of(database, instance, **fields)
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


@asynccontextmanager
async def somebody_writing(database: Database) -> AsyncIterator[Session]:
    """A transaction of another process that changes rules; it is committed when the block ends."""
    other = await open_database(database.url)
    try:
        async with other.transaction() as session:
            yield session
    finally:
        await other.close()


async def add_version(database: Database, workspace: WorkspaceId, name: str = "csv-report") -> SkillVersionId:
    async with database.transaction() as session:
        skill = SkillRow(workspace_id=workspace, publisher="local", name=name, created_at=NOON)
        session.add(skill)
        await session.flush()
        version = SkillVersionRow(
            workspace_id=workspace,
            skill_id=skill.id,
            version="1.0.0",
            bundle_digest="sha256:" + "0" * 64,
            bundle_bytes=1,
            lock_digest="sha256:" + "1" * 64,
            lock_json="[]",
            report_json="{}",
            skill_json="{}",
            state=SkillState.ACTIVE,
            origin="/skills/csv-report",
            installed_at=NOON,
        )
        session.add(version)
        await session.flush()
        return SkillVersionId(version.id)


async def verified(database: Database, workspace: WorkspaceId) -> Verification:
    async with database.reading() as session:
        verification = await audit.verify(session, workspace)
    assert verification.broken is None, verification.broken
    return verification


async def entries(database: Database, workspace: WorkspaceId) -> list[Entry]:
    async with database.reading() as session:
        return [Entry(**orjson.loads(line)) async for line in audit.export(session, workspace)]


async def find(database: Database, call: Admission) -> InvocationSummary:
    async with database.reading() as session:
        return await get_invocation(session, call.workspace, call.invocation)


async def submitted() -> None:
    """Gives the loop one turn, in which every task made before hands its operation to the writer."""
    await asyncio.sleep(0)


async def taken(writer: AdmissionWriter) -> None:
    """Until the writer has begun with everything that was submitted, and waits for the database."""
    await submitted()
    jobs = writer._journal._jobs  # type: ignore[attr-defined] # of either journal
    while not (jobs.empty() if hasattr(jobs, "empty") else not jobs):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
