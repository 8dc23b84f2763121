"""Quotas of calls: exact in the transaction that admits, whoever else admits at the same moment."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta

import pytest
from skillyard.database import Database
from skillyard.governance import quota_store
from skillyard.governance.decision import Agent
from skillyard.governance.quotas import CallLimits, CallQuotaExceededError, CallSpan, Quota, Quotas
from skillyard.governance.tables import CallCountRow
from skillyard.ids import WorkspaceId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import Admission, Admitted
from tests.runtime.admission.books import DONE, NOON, NewCall, writing

MINUTE = timedelta(minutes=1)
NOTHING = dict.fromkeys(CallSpan, 0)


async def limit(database: Database, workspace: WorkspaceId, limits: dict[Quota, int], *, at: datetime = NOON) -> None:
    """Quotas as an operator sets them, without the epoch: the calls of these tests say under which limits they came."""
    async with database.transaction() as session:
        await quota_store.replace(session, workspace, Quotas(limits), counted=NOTHING, at=at)


async def counted(database: Database, workspace: WorkspaceId) -> dict[CallSpan, int]:
    async with database.reading() as session:
        rows = [await session.get(CallCountRow, (workspace, span)) for span in CallSpan]
    return {row.span: row.calls for row in rows if row is not None}


async def let_in(writer: AdmissionWriter, calls: list[Admission]) -> tuple[int, list[CallQuotaExceededError]]:
    """How many were admitted when all came at once, and what the others were told."""
    answers = await asyncio.gather(*(writer.admit(call) for call in calls), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, CallQuotaExceededError)]
    admitted = [answer for answer in answers if isinstance(answer, Admitted)]
    assert len(refused) + len(admitted) == len(calls), answers
    return len(admitted), refused


async def test_a_minute_lets_in_its_calls_and_not_one_more(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    await limit(database, agent.workspace, {Quota.CALLS_PER_MINUTE: 5})
    limits = CallLimits(((CallSpan.MINUTE, 5),))
    admitted, refused = await let_in(writer, [new_call(limits=limits) for _ in range(20)])
    assert (admitted, len(refused)) == (5, 15)
    error = refused[0]
    assert (error.quota, error.limit, error.used, error.retry_after) == (Quota.CALLS_PER_MINUTE, 5, 5, 60.0)
    assert await counted(database, agent.workspace) == {CallSpan.MINUTE: 5}
    late = new_call(limits=limits, at=NOON + timedelta(seconds=59.5))
    with pytest.raises(CallQuotaExceededError) as told:
        await writer.admit(late)
    assert told.value.retry_after == 1.0, "a second is the least that a header can say"
    assert isinstance(await writer.admit(new_call(limits=limits, at=NOON + MINUTE)), Admitted)
    assert await counted(database, agent.workspace) == {CallSpan.MINUTE: 1}


async def test_a_process_whose_clock_is_behind_counts_into_the_minute_that_began(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    """Otherwise two clocks would take turns to set the count back."""
    await limit(database, agent.workspace, {Quota.CALLS_PER_MINUTE: 2})
    limits = CallLimits(((CallSpan.MINUTE, 2),))
    assert isinstance(await writer.admit(new_call(limits=limits, at=NOON + MINUTE)), Admitted)
    assert isinstance(await writer.admit(new_call(limits=limits, at=NOON)), Admitted)
    with pytest.raises(CallQuotaExceededError):
        await writer.admit(new_call(limits=limits, at=NOON))
    with pytest.raises(CallQuotaExceededError):
        await writer.admit(new_call(limits=limits, at=NOON + MINUTE))


async def test_what_the_day_refuses_is_not_counted_in_the_minute(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    await limit(database, agent.workspace, {Quota.CALLS_PER_MINUTE: 9, Quota.CALLS_PER_DAY: 3})
    limits = CallLimits(((CallSpan.MINUTE, 9), (CallSpan.DAY, 3)))
    admitted, refused = await let_in(writer, [new_call(limits=limits) for _ in range(8)])
    assert admitted == 3
    assert {error.quota for error in refused} == {Quota.CALLS_PER_DAY}
    assert refused[0].retry_after == timedelta(hours=12).total_seconds()
    assert await counted(database, agent.workspace) == {CallSpan.MINUTE: 3, CallSpan.DAY: 3}


async def test_zero_lets_nothing_in_also_when_a_minute_begins(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    await limit(database, agent.workspace, {Quota.CALLS_PER_MINUTE: 0})
    for later in range(3):
        call = new_call(limits=CallLimits(((CallSpan.MINUTE, 0),)), at=NOON + later * MINUTE)
        with pytest.raises(CallQuotaExceededError, match="is 0: 0 in use"):
            await writer.admit(call)


async def test_a_quota_without_its_count_admits_nothing(writer: AdmissionWriter, new_call: NewCall) -> None:
    """Nothing makes such a state; should it be there all the same, it must not mean that there is no limit."""
    with pytest.raises(CallQuotaExceededError):
        await writer.admit(new_call(limits=CallLimits(((CallSpan.DAY, 7),))))


async def test_so_many_calls_at_once_until_one_ends(writer: AdmissionWriter, new_call: NewCall) -> None:
    limits = CallLimits(at_once=3)
    calls = [new_call(limits=limits) for _ in range(10)]
    answers = await asyncio.gather(*(writer.admit(call) for call in calls), return_exceptions=True)
    running = [call for call, answer in zip(calls, answers, strict=True) if isinstance(answer, Admitted)]
    assert len(running) == 3
    with pytest.raises(CallQuotaExceededError) as told:
        await writer.admit(new_call(limits=limits))
    assert (told.value.quota, told.value.used) == (Quota.CONCURRENT_CALLS, 3)
    await writer.finish(running[0].invocation, DONE)
    assert isinstance(await writer.admit(new_call(limits=limits)), Admitted)
    with pytest.raises(CallQuotaExceededError):
        await writer.admit(new_call(limits=limits))


async def test_calls_of_a_workspace_without_quotas_are_not_counted(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    assert isinstance(await writer.admit(new_call()), Admitted)
    assert await counted(database, agent.workspace) == {}


_CALLER = """
import asyncio, sys, uuid
from datetime import UTC, datetime
from skillyard.database import open_database
from skillyard.governance import epoch
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.quotas import CallLimits, CallQuotaExceededError, CallSpan
from skillyard.runtime.admission import AdmissionWriter, open_journal
from skillyard.runtime.journal import Admission, Admitted

async def main(name, url, workspace, agent, version, span_limit, at_once):
    database = await open_database(url)
    async with database.reading() as session:
        now = await epoch.current(session)
    writer = AdmissionWriter(open_journal(database.location, instance=name))
    await writer.start()
    limits = CallLimits(((CallSpan.DAY, span_limit),), at_once)
    async def one():
        call = Admission(str(uuid.uuid4()), workspace, Actor(ActorKind.AGENT, agent), version, "e", now,
                         datetime(2026, 1, 2, 12, tzinfo=UTC), limits=limits)
        try:
            return isinstance(await writer.admit(call), Admitted)
        except CallQuotaExceededError:
            return False
    print("ready", flush=True)
    sys.stdin.readline()
    admitted = 0
    for _ in range(10):
        admitted += sum(await asyncio.gather(*(one() for _ in range(8))))
    print(admitted, flush=True)
    await writer.close()
    await database.close()

asyncio.run(main(sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:7]), int(sys.argv[7]) or None))
"""


@pytest.mark.parametrize(("per_day", "at_once"), [(100, 0), (10_000, 30)])
async def test_processes_that_admit_at_once_stay_within_it_together(
    database: Database, agent: Agent, version: int, per_day: int, at_once: int
) -> None:
    await limit(database, agent.workspace, {Quota.CALLS_PER_DAY: per_day})
    keys = [agent.workspace, agent.id, version, per_day, at_once]
    arguments = [database.url, *map(str, keys)]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    callers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", _CALLER, f"process-{place}", *arguments, **pipes)
        for place in range(4)
    ]
    try:
        async with asyncio.timeout(120):
            for caller in callers:
                assert caller.stdout is not None
                assert (await caller.stdout.readline()).strip() == b"ready"
            told = await asyncio.gather(*(caller.communicate(b"\n") for caller in callers))
    finally:
        for caller in callers:
            if caller.returncode is None:
                caller.kill()
                await caller.wait()
    admitted = [int(out) for out, _ in told]
    assert sum(admitted) == (at_once or per_day), admitted


async def test_a_writer_that_shares_the_database_sees_what_others_counted(
    writer: AdmissionWriter, new_call: NewCall, agent: Agent, database: Database
) -> None:
    await limit(database, agent.workspace, {Quota.CALLS_PER_DAY: 4})
    limits = CallLimits(((CallSpan.DAY, 4),))
    async with writing(database, "other-process") as other:
        both = await asyncio.gather(
            let_in(writer, [new_call(limits=limits) for _ in range(8)]),
            let_in(other, [new_call(limits=limits) for _ in range(8)]),
        )
    assert sum(admitted for admitted, _ in both) == 4
