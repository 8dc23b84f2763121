"""Supervised calls: recorded in full, watched live, stopped with a reason, looked at afterwards; or not made at all."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Allow, Maturity
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import PersonPrincipal, Role, TokenId
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.invocations import CallFilter
from skillyard.runtime.journal import AlreadyFinishedError
from skillyard.runtime.recording import RecordingError
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.states import InvocationState, RecordingState
from skillyard.runtime.supervisor import NotSupervisedError, Supervised
from skillyard.runtime.tables import LeaseRow, RecordingRow
from skillyard.runtime.values import InvokeRequest, SkillRef
from skillyard.runtime.watching import RecordingGoneError, RunsElsewhereError
from skillyard.sandbox.outcome import InputFile, OutcomeState
from skillyard.settings import Settings
from skillyard.times import utcnow
from sqlalchemy import update
from tests.runtime.conftest import Yard, let_go, until

SAYS = """
import sys
import time
from skillyard_call import log, progress


def run(x: float, say: str = "said") -> dict:
    print(say, flush=True)
    print("complaint", file=sys.stderr, flush=True)
    progress(1, total=2, message="half")
    log("info", "noted", {"x": x})
    open("left.txt", "w").write("kept")
    time.sleep(x)
    return {"x": x}
"""


UNTIL_FILE = """
    import pathlib

    while not pathlib.Path(__file__).with_name("go").exists():
        time.sleep(0.02)
"""


def lines_of(data: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in data.splitlines() if line]


def said(events: list[dict[str, Any]], of: str) -> str:
    return "".join(event.get("text", "") for event in events if event.get("of") == of)


async def recorded(runtime: Runtime, workspace: WorkspaceId, call: InvocationId) -> list[dict[str, Any]]:
    return lines_of(b"".join([piece async for piece in await runtime.supervision.watcher.watch(workspace, call)]))


async def kept(runtime: Runtime, workspace: WorkspaceId, call: InvocationId) -> Supervised:
    """Once it is in the database."""
    give_up = time.monotonic() + 60
    while True:
        found = await runtime.supervision.supervisor.show(workspace, call)
        if found.recording is not None:
            return found
        assert time.monotonic() < give_up, "it was never kept"
        await asyncio.sleep(0.02)


class Call:
    """A call of an agent, under way in a task of its own."""

    def __init__(self, runtime: Runtime, agent: Agent, **fields: Any) -> None:
        self.admitted: asyncio.Future[InvocationId] = asyncio.get_running_loop().create_future()
        self.begun = asyncio.Event()
        request = InvokeRequest(
            agent.workspace, agent.id, SkillRef.parse("acme/adder"), input_json=orjson.dumps(fields)
        )
        self.task = asyncio.create_task(
            runtime.invoke(request, lambda _emitted: self.begun.set(), self.admitted.set_result)
        )

    async def running(self) -> InvocationId:
        await self.begun.wait()
        return await self.admitted


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel refuses to make any file larger than that, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_all_that_goes_in_and_comes_out_is_recorded_and_outlives_its_file(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    made = await yard.invoke(bot, given={"x": 0, "say": "hello"}, files=(InputFile("in.bin", b"\xff\x00\xfe"),))
    assert made.outcome.state is OutcomeState.SUCCEEDED, made.outcome.reason
    assert isinstance(made.decision, Allow)
    assert "supervised" in [reason.code for reason in made.decision.reasons]
    events = await recorded(yard.runtime, bot.workspace, made.id)
    assert events[0]["event"] == "started"
    assert (events[0]["agent"], events[0]["skill"]) == (bot.id, "acme/adder@1.0.0")
    assert orjson.loads(said(events, "input")) == {"x": 0, "say": "hello"}
    given = next(event for event in events if event["event"] == "input_file")
    assert (given["of"], given["size"]) == ("file in.bin", 3)
    assert said(events, "stdout") == "hello\n"
    assert said(events, "stderr") == "complaint\n"
    assert [event["message"] for event in events if event["event"] in {"progress", "log"}] == ["half", "noted"]
    assert orjson.loads(said(events, "result")) == {"x": 0}
    left = [event for event in events if event["event"] == "left_file"]
    assert {"left.txt"} <= {event["path"] for event in left}
    assert (events[-1]["event"], events[-1]["state"], events[-1]["truncated"]) == ("ended", "succeeded", False)
    found = await kept(yard.runtime, bot.workspace, made.id)
    assert found.recording is not None
    assert found.recording.state is RecordingState.COMPLETE
    await until(lambda: not list((yard.runtime.settings.home / "recordings").iterdir()))
    assert await recorded(yard.runtime, bot.workspace, made.id) == events


async def test_calls_of_others_are_not_recorded(yard: Yard) -> None:
    await yard.install(yard.skill())
    made = await yard.invoke(await yard.agent("free"))
    assert isinstance(made.decision, Allow)
    assert not made.decision.supervised
    assert not (yard.runtime.settings.home / "recordings").exists()
    with pytest.raises(NotSupervisedError):
        await yard.runtime.supervision.watcher.watch(yard.admin.workspace, made.id)


async def test_a_skill_of_instructions_is_recorded_as_well(yard: Yard) -> None:
    guide = yard.folder / "guide" / "guide"
    guide.mkdir(parents=True)
    (guide / "SKILL.md").write_text("---\nname: guide\ndescription: How to.\n---\nBe brief.\n")
    await yard.install(guide)
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    made = await yard.invoke(bot, "acme/guide")
    assert "Be brief." in said(await recorded(yard.runtime, bot.workspace, made.id), "result")


async def test_a_call_is_watched_live_from_its_start_and_stopped_with_a_reason(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    call = Call(yard.runtime, bot, x=600)
    invocation = await call.running()
    supervisor = yard.runtime.supervision.supervisor
    (live,) = await supervisor.list(bot.workspace, CallFilter(supervised=True, live=True), limit=10)
    assert (live.call.id, live.call.instance) == (invocation, yard.runtime.lease)
    watched, seen = await yard.runtime.supervision.watcher.watch(bot.workspace, invocation), b""
    async for piece in watched:
        seen += piece
        if b"noted" in seen:
            break
    assert not call.task.done(), "what it said was seen before it ended"
    assert orjson.loads(said(lines_of(seen), "input")) == {"x": 600}
    record = await supervisor.stop(invocation, by=Administrator.of(yard.second), reason=" it loops ")
    why = f"cancelled by person {yard.second.person.id}: it loops"
    assert (record.state, record.reason) == (InvocationState.CANCELLED, why)
    ended = await call.task
    assert (ended.outcome.state, ended.outcome.reason) == (OutcomeState.CANCELLED, why)
    async for piece in watched:
        seen += piece
    last = lines_of(seen)[-1]
    assert (last["event"], last["state"], last["reason"]) == ("ended", "cancelled", why)
    assert await supervisor.list(bot.workspace, CallFilter(supervised=True, live=True), limit=10) == ()
    with pytest.raises(AlreadyFinishedError):
        await supervisor.stop(invocation, by=Administrator.of(yard.second), reason="again")
    async with yard.runtime.database.reading() as session:
        lines = [line async for line in audit.export(session, bot.workspace)]
    (stopped,) = [line for line in lines if b"invocation.stopped" in line]
    assert b"it loops" in stopped


async def test_who_may_stop_and_what_for(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    call = Call(yard.runtime, bot, x=600)
    invocation = await call.running()
    stop = yard.runtime.supervision.supervisor.stop
    async with yard.runtime.database.transaction() as session:
        at, by = utcnow(), yard.admin.actor
        member = await people.add_person(session, bot.workspace, "member", Role.MEMBER, by=by, at=at)
        elsewhere = await people.create_workspace(session, "elsewhere", by=by, at=at)
        foreign = await people.add_person(session, elsewhere.id, "foreign", Role.ADMIN, by=by, at=at)
    with pytest.raises(AdminRoleError):
        await stop(invocation, by=Administrator.of(PersonPrincipal(TokenId(0), member)), reason="r")
    with pytest.raises(NotFoundError):
        await stop(invocation, by=Administrator.of(PersonPrincipal(TokenId(0), foreign)), reason="r")
    with pytest.raises(NotFoundError):
        await yard.runtime.supervision.watcher.watch(elsewhere.id, invocation)
    assert await yard.runtime.supervision.supervisor.list(elsewhere.id, CallFilter(), limit=9) == ()
    with pytest.raises(InputError):
        await stop(invocation, by=Administrator.of(yard.second), reason=" ")
    assert not call.task.done()
    await stop(invocation, by=Administrator.of(yard.second), reason="r")
    await call.task


async def test_another_process_over_the_home_watches_and_stops(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    call = Call(yard.runtime, bot, x=600)
    invocation = await call.running()
    async with await create_runtime(yard.runtime.settings) as other:
        watched, seen = await other.supervision.watcher.watch(bot.workspace, invocation), b""
        async for piece in watched:
            seen += piece
            if b"noted" in seen:
                break
        record = await other.supervision.supervisor.stop(
            invocation, by=Administrator.of(yard.second), reason="from elsewhere"
        )
        assert record.state is InvocationState.ACCEPTED
        assert (await call.task).outcome.reason == f"cancelled by person {yard.second.person.id}: from elsewhere"
        async for piece in watched:
            seen += piece
        assert lines_of(seen)[-1]["state"] == "cancelled"


async def test_what_runs_over_another_home_is_refused_with_its_place(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    call = Call(yard.runtime, bot, x=600)
    invocation = await call.running()
    # As a second home on the same database sees it: the lease is another home's, and there is no file here.
    async with yard.runtime.database.transaction() as session:
        await session.execute(update(LeaseRow).values(home_id="another", host="far.example"))
    folder = yard.runtime.settings.home / "recordings"
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(RunsElsewhereError, match=r"far\.example"):
        await yard.runtime.supervision.watcher.watch(bot.workspace, invocation)
    folder.with_name("elsewhere").rename(folder)
    await yard.runtime.supervision.supervisor.stop(invocation, by=Administrator.of(yard.second), reason="enough")
    await call.task


async def test_a_call_that_cannot_be_recorded_is_not_made(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    with no_file_above(8 * 1024 * 1024), pytest.raises(RecordingError, match="not made"):
        await yard.invoke(bot, given={"x": 0})
    assert list((yard.runtime.settings.home / "recordings").iterdir()) == []
    assert yard.runtime.pool.counts().busy == 0
    (refused,) = await yard.runtime.supervision.supervisor.list(bot.workspace, CallFilter(supervised=True), limit=9)
    assert refused.call.state is InvocationState.REFUSED
    assert (refused.call.reason or "").startswith("recording_failed")
    assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def test_a_call_whose_recording_cannot_go_on_is_ended_and_gives_no_result(yard: Yard) -> None:
    then = UNTIL_FILE + "    print('more', flush=True)\n    time.sleep(x)\n"
    installed = await yard.install(yard.skill(SAYS.replace("    time.sleep(x)\n", then)))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    call = Call(yard.runtime, bot, x=600)
    invocation = await call.running()
    (path,) = (yard.runtime.settings.home / "recordings").iterdir()
    # The device fails: what writes to the file finds that it cannot any more.
    (number,) = [int(one.name) for one in Path("/proc/self/fd").iterdir() if _leads_to(one, path)]
    readonly = os.open(path, os.O_RDONLY)
    os.dup2(readonly, number)
    os.close(readonly)
    let_go(yard.bundle(installed))
    ended = await call.task
    assert ended.outcome.state is OutcomeState.CANCELLED
    assert "its recording could not go on" in (ended.outcome.reason or "")
    assert ended.outcome.result_json is None
    found = await kept(yard.runtime, bot.workspace, invocation)
    assert found.recording is not None
    assert found.recording.state is RecordingState.CUT
    assert (await recorded(yard.runtime, bot.workspace, invocation))[0]["event"] == "started"


def _leads_to(descriptor: Path, path: Path) -> bool:
    try:
        return descriptor.readlink() == path
    except OSError:
        return False


class TestSmallRecordings:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"recording_max_mib": 1})

    async def test_what_has_no_room_is_told(self, yard: Yard) -> None:
        code = "def run(n: int) -> str:\n    print('a' * n)\n    return 'r' * n\n"
        await yard.install(yard.skill(code))
        bot = await yard.agent("bot", Maturity.SUPERVISED)
        made = await yard.invoke(bot, given={"n": 900_000})
        assert made.outcome.state is OutcomeState.SUCCEEDED, made.outcome.reason
        assert len(made.outcome.result_json or b"") == 900_002
        events = await recorded(yard.runtime, bot.workspace, made.id)
        (told,) = [event for event in events if event["event"] == "truncated"]
        assert (told["of"], told["seen"]) == ("result", 900_002)
        assert told["message"] == f"truncated at {told['kept']} of 900002 bytes"
        assert len(said(events, "stdout")) == 900_001
        assert len(said(events, "result")) == told["kept"]
        found = await kept(yard.runtime, bot.workspace, made.id)
        assert found.recording is not None
        assert found.recording.state is RecordingState.TRUNCATED
        assert found.recording.size <= 1024 * 1024


async def test_recordings_go_when_their_time_is_over_and_that_is_told(yard: Yard) -> None:
    await yard.install(yard.skill(SAYS))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    made = await yard.invoke(bot, given={"x": 0})
    await kept(yard.runtime, bot.workspace, made.id)
    await yard.runtime.supervision.recordings.expire()
    assert await recorded(yard.runtime, bot.workspace, made.id)
    async with yard.runtime.database.transaction() as session:
        await session.execute(update(RecordingRow).values(expires_at=utcnow()))
    await yard.runtime.supervision.recordings.expire()
    gone = await yard.runtime.supervision.supervisor.show(bot.workspace, made.id)
    assert gone.recording is not None
    assert gone.recording.removed_at is not None
    with pytest.raises(RecordingGoneError):
        await yard.runtime.supervision.watcher.watch(bot.workspace, made.id)
