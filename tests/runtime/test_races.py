"""What overtakes what: bans and removals against starts, drains against rollbacks, endings against everything.

Each of these happens to somebody whose calls are lost, doubled, served by the wrong version, or never answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import orjson
import pytest
from skillyard.database import Kind
from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.administrators import Administrator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Agent, PackageRule, SkillState
from skillyard.governance.identity import SYSTEM
from skillyard.governance.rules import draft_ban
from skillyard.runtime.errors import DecisionRefusedError, ShuttingDownError, VersionStoppedError
from skillyard.runtime.invocations import InvocationSummary, invocations
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Ecosystem, Skill
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from structlog.testing import capture_logs
from tests.out_of_band import change
from tests.runtime.conftest import ADD_ONE, UNTIL_LET_GO, Yard, let_go, no_containers, open_yard, until

REF = SkillRef("acme", "adder")
SLEEP = "import time\n\n\ndef run(x: float) -> float:\n    time.sleep(x)\n    return x\n"
WHICH = "import importlib.metadata\n\n\ndef run() -> str:\n    return importlib.metadata.version('iniconfig')\n"


@pytest.fixture
async def tight(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """One sandbox in all, and a second for calls of a version that was replaced."""
    limits = {"max_sandboxes": 1, "max_sandboxes_per_skill": 2, "drain_timeout": 1.0}
    opened = await open_yard(settings.model_copy(update=limits), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()


@pytest.fixture
async def slow(settings: Settings, tmp_path: Path) -> AsyncIterator[tuple[Yard, SlowEngine]]:
    """An engine on which no container starts before it is let."""
    engine = await SlowEngine.open(tmp_path / "engine.sock", held=b"/start ")
    try:
        through = settings.model_copy(update={"docker_host": f"unix://{engine.path}"})
        opened = await open_yard(through, tmp_path / "skills")
        try:
            yield opened, engine
        finally:
            engine.answers.set()
            await opened.runtime.close()
    finally:
        await engine.close()


@pytest.fixture
async def leisurely(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A replaced version has more time for its calls than any test takes."""
    opened = await open_yard(settings.model_copy(update={"drain_timeout": 600.0}), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()


@pytest.fixture
async def hurried(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A replaced version has one second for its calls."""
    opened = await open_yard(settings.model_copy(update={"drain_timeout": 1.0}), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    await no_containers(opened.runtime.engine, settings)
    await opened.runtime.engine.close()


async def recorded(runtime: Runtime, agent: Agent) -> tuple[InvocationSummary, ...]:
    async with runtime.database.reading() as session:
        return await invocations(session, agent.workspace, limit=1000)


async def approved(yard: Yard, agent: Agent, skill: str = "acme/adder", **fields: object) -> None:
    """Let a call ask for the approval of the skill's packages, and give it."""
    held = await yard.invoke(agent, skill, **fields)
    assert held.approval is not None, held
    await yard.runtime.approver.approve(held.approval, person=yard.second)


async def ban(yard: Yard, name: str = "iniconfig", *, runtime: Runtime | None = None) -> PackageRule:
    draft = draft_ban(ecosystem="pypi", name=name, reason="for the test", now=utcnow())
    return await (runtime or yard.runtime).packages.add(draft, by=Administrator.of(yard.admin))


# Bans, expiries and removals against what runs, starts or waits


async def test_a_ban_reaches_a_sandbox_that_is_still_starting_and_the_call_that_waits_for_it(
    slow: tuple[Yard, SlowEngine],
) -> None:
    yard, engine = slow
    version = (await yard.install(yard.skill(SLEEP, python="iniconfig==2.1.0"))).version
    bot = await yard.agent("bot")
    await approved(yard, bot, given={"x": 0})
    engine.answers.clear()
    waiting = asyncio.create_task(yard.invoke(bot, given={"x": 0}))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    banning = asyncio.create_task(ban(yard))
    with pytest.raises(VersionStoppedError, match="iniconfig"):
        await waiting
    engine.answers.set()
    await banning
    counts = yard.runtime.pool.counts(version.id)
    assert (counts.idle, counts.busy, counts.starting) == (0, 0, 0)
    await no_containers(yard.runtime.engine, yard.runtime.settings)
    (kept,) = await recorded(yard.runtime, bot)
    assert kept.state is InvocationState.REFUSED


async def test_a_version_banned_while_an_upgrade_checks_it_never_takes_the_pointer(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    # Its check imports it, and goes on until the ban ends it.
    newer = yard.skill("import time\n\ntime.sleep(60)\n\n\n" + ADD_ONE, version="2.0.0", python="iniconfig==2.1.0")
    assert not (await yard.upgrade(newer)).moved
    await approved(yard, bot, "acme/adder@2.0.0")
    ref = replace(REF, version="2.0.0")
    moving = asyncio.create_task(yard.runtime.activate(ref, workspace=bot.workspace, actor=yard.admin))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    await ban(yard)
    with pytest.raises((DecisionRefusedError, VersionStoppedError)):
        await moving
    assert (await yard.runtime.version(bot.workspace, REF)).version == "1.0.0"
    assert yard.runtime.pool.counts().idle == 0


async def test_an_approval_that_runs_out_stops_the_sandboxes_that_stand_ready(
    yard: Yard, later: Callable[[timedelta], None]
) -> None:
    await yard.install(yard.skill(python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot)
    assert held.approval is not None
    hour = timedelta(hours=1)
    await yard.runtime.approver.approve(held.approval, person=yard.second, expires_at=utcnow() + hour)
    assert (await yard.invoke(bot)).outcome.state is OutcomeState.SUCCEEDED
    await asyncio.sleep(1)  # Looked after twice meanwhile.
    assert yard.runtime.pool.counts().idle == 1
    later(hour)
    await until(lambda: yard.runtime.pool.counts().idle == 0)
    assert (await yard.invoke(bot)).outcome.refusal == {"decision": "held", "code": "expired_approval"}


async def test_what_another_process_removed_stops_here_too(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.invoke(await yard.agent("bot"))
    assert yard.runtime.pool.counts().idle == 1
    async with await create_runtime(settings) as other:
        await other.uninstall(REF, workspace=yard.admin.workspace, actor=yard.admin)
    await until(lambda: yard.runtime.pool.counts().idle == 0)


async def test_a_skill_installed_again_with_other_packages_is_not_served_by_what_ran_before(
    settings: Settings, yard: Yard
) -> None:
    folder = yard.skill(WHICH, python="iniconfig")
    older = await yard.runtime.prepare(FolderSource(yard.skill(WHICH, name="older", python="iniconfig==2.0.0")))

    async def older_locks(_skill: Skill) -> tuple[Lock, ...]:
        return older.locks

    bot = await yard.agent("bot")
    prepared = await yard.runtime.prepare(FolderSource(folder), known_locks=older_locks)
    given = {"workspace": bot.workspace, "publisher": "acme", "actor": yard.admin, "upgrade": False}
    first = await yard.runtime.install_prepared(prepared, **given)
    await approved(yard, bot, given={})
    assert (await yard.invoke(bot, given={})).outcome.result_json == b'"2.0.0"'
    async with await create_runtime(settings) as other:
        await other.uninstall(REF, workspace=bot.workspace, actor=yard.admin)
        again = await other.install_prepared(await other.prepare(FolderSource(folder)), **given)
    assert again.version.id == first.version.id
    await approved(yard, bot, given={})
    newer = orjson.loads((await yard.invoke(bot, given={})).outcome.result_json or b"null")
    assert newer == again.version.locks[0].packages[0].version != "2.0.0"


async def test_lifting_a_ban_makes_the_skill_active_again(yard: Yard) -> None:
    await yard.install(yard.skill(python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    await approved(yard, bot)
    await ban(yard)
    assert (await yard.runtime.version(bot.workspace, REF)).state is SkillState.HELD
    await yard.runtime.packages.unban(Ecosystem.PYPI, "iniconfig", by=Administrator.of(yard.admin))
    assert (await yard.runtime.version(bot.workspace, REF)).state is SkillState.ACTIVE


# Drains


async def test_a_rollback_during_the_drain_keeps_the_calls_of_the_version_it_brings_back(leisurely: Yard) -> None:
    first = await leisurely.install(leisurely.skill(UNTIL_LET_GO))
    bot = await leisurely.agent("bot")
    await leisurely.invoke(bot, given={"x": 0})
    flying = asyncio.create_task(leisurely.invoke(bot, given={"x": -1}))
    await until(lambda: leisurely.runtime.pool.counts().busy == 1)
    await leisurely.upgrade(leisurely.skill(SLEEP, version="2.0.0"))
    drains = leisurely.runtime._swapper._drains
    assert first.version.id in drains
    await leisurely.runtime.rollback(REF, workspace=bot.workspace, actor=leisurely.admin)
    await until(lambda: first.version.id not in drains)
    assert not flying.done(), "the drain was called off, and not over"
    let_go(leisurely.bundle(first))
    ended = await flying
    assert (ended.outcome.state, ended.skill.version) == (OutcomeState.SUCCEEDED, "1.0.0")


async def test_a_drain_ends_only_the_calls_that_the_upgrade_found(hurried: Yard) -> None:
    await hurried.install(hurried.skill(SLEEP))
    bot = await hurried.agent("bot")
    await asyncio.gather(*(hurried.invoke(bot, given={"x": 0.2}) for _ in range(2)))
    before = asyncio.create_task(hurried.invoke(bot, given={"x": 30}))
    await until(lambda: hurried.runtime.pool.counts().busy == 1)
    await hurried.upgrade(hurried.skill(SLEEP + "\n", version="2.0.0"))
    pinned = asyncio.create_task(hurried.invoke(bot, "acme/adder@1.0.0", given={"x": 3}))
    cut, kept = await asyncio.gather(before, pinned)
    assert cut.outcome.state is OutcomeState.KILLED
    assert "replaced" in (cut.outcome.reason or "")
    assert kept.outcome.state is OutcomeState.SUCCEEDED


async def test_rolling_back_goes_to_the_version_that_is_named(yard: Yard) -> None:
    await yard.install(yard.skill())
    for version in ("2.0.0", "3.0.0"):
        await yard.upgrade(yard.skill(f"def run(x: int) -> str:\n    return '{version}'\n", version=version))
    named = replace(REF, version="1.0.0")
    swap = await yard.runtime.rollback(named, workspace=yard.admin.workspace, actor=yard.admin)
    assert (swap.moved, swap.old, swap.new) == (True, "3.0.0", "1.0.0")


async def test_rolling_back_twice_is_there_and_back_again(yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.upgrade(yard.skill("def run(x: int) -> int:\n    return 2\n", version="2.0.0"))
    swaps = [await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin) for _ in range(2)]
    assert [swap.new for swap in swaps] == ["1.0.0", "2.0.0"]


# Waiting


async def test_a_busy_skill_does_not_starve_another_when_no_place_is_free(tight: Yard) -> None:
    await tight.install(tight.skill(SLEEP, name="greedy"))
    await tight.install(tight.skill(name="modest"))
    bot = await tight.agent("bot")
    enough = asyncio.Event()

    async def hammer() -> None:
        while not enough.is_set():
            await tight.invoke(bot, "acme/greedy", given={"x": 0.05})

    hammers = [asyncio.create_task(hammer()) for _ in range(3)]
    await until(lambda: tight.runtime.pool.counts().waiting >= 2)
    async with asyncio.timeout(60):
        assert (await tight.invoke(bot, "acme/modest")).outcome.result_json == b"2"
    enough.set()
    await asyncio.gather(*hammers)


async def test_starts_that_fail_are_not_tried_over_and_over_while_a_call_runs(yard: Yard) -> None:
    bundle = yard.bundle(await yard.install(yard.skill(UNTIL_LET_GO)))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": -1}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    away = bundle.with_name("moved-away")
    bundle.rename(away)
    with capture_logs() as logs:
        waiting = asyncio.create_task(yard.invoke(bot, given={"x": 0}))
        await until(lambda: yard.runtime.pool.status().since_start.start_failures > 0)
        await asyncio.sleep(1)  # Time for many more.
        let_go(away)
        done = await asyncio.gather(running, waiting)
    away.rename(bundle)
    assert [one.outcome.state for one in done] == [OutcomeState.SUCCEEDED] * 2
    assert len([line for line in logs if line["event"] == "sandbox_start_failed"]) == 1


# Endings


async def test_every_call_ends_once_wherever_its_caller_leaves(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    left = 0
    for turns in range(0, 240, 3):
        calling = asyncio.create_task(yard.invoke(bot))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        calling.cancel()  # the second time, while the first is being dealt with
        left += isinstance((await asyncio.gather(calling, return_exceptions=True))[0], BaseException)
    assert left > 10, "the calls ended before anybody could leave"
    assert (await yard.invoke(bot)).outcome.result_json == b"2"
    await until_ended(yard.runtime, bot)
    states = {one.state for one in await recorded(yard.runtime, bot)}
    assert states <= {InvocationState.SUCCEEDED, InvocationState.CANCELLED}
    counts = yard.runtime.pool.counts()
    assert (counts.busy, counts.waiting) == (0, 0)
    assert (await yard.runtime.audit.verify(bot.workspace)).broken is None


async def test_a_call_that_left_processes_behind_when_it_was_cancelled_does_not_cost_the_next_one_its_answer(
    yard: Yard,
) -> None:
    code = (
        "import os, signal, time\n\n\ndef run(x: float) -> float:\n"
        "    for _ in range(20 if x else 0):\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "            time.sleep(100)\n"
        "    time.sleep(x)\n    return x\n"
    )
    await yard.install(yard.skill(code))
    bot = await yard.agent("bot")
    for _ in range(5):
        await yard.invoke(bot, given={"x": 0})
        running = asyncio.create_task(yard.invoke(bot, given={"x": 50}))
        await until(lambda: yard.runtime.pool.counts().busy == 1)
        await asyncio.wait([running], timeout=0.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (await yard.invoke(bot, given={"x": 0})).outcome.state is OutcomeState.SUCCEEDED


async def until_ended(runtime: Runtime, agent: Agent) -> None:
    """Wait until no call is open: those whose caller left are ended a moment later."""
    give_up = time.monotonic() + 60
    while any(one.state is InvocationState.ACCEPTED for one in await recorded(runtime, agent)):
        assert time.monotonic() < give_up, "a call stays open"
        await asyncio.sleep(0.05)


_NO_ENDS = """CREATE FUNCTION no_ends() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN RAISE EXCEPTION ''no ends today'' USING ERRCODE = ''check_violation''; END'"""
REFUSE_ENDS = {
    Kind.SQLITE: (
        "CREATE TRIGGER no_ends BEFORE UPDATE ON invocations BEGIN SELECT RAISE(ABORT, 'no ends today'); END",
    ),
    Kind.POSTGRESQL: (
        _NO_ENDS,
        "CREATE TRIGGER no_ends BEFORE UPDATE ON invocations FOR EACH ROW EXECUTE FUNCTION no_ends()",
    ),
}
ACCEPT_ENDS = {Kind.SQLITE: "DROP TRIGGER no_ends", Kind.POSTGRESQL: "DROP TRIGGER no_ends ON invocations"}


async def test_an_end_that_the_database_refused_is_recorded_as_soon_as_it_can_be(yard: Yard) -> None:
    await yard.install(yard.skill(SLEEP))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    url = yard.runtime.settings.database
    await change(url, *REFUSE_ENDS[yard.runtime.database.location.kind])
    with pytest.raises(ConflictError, match="no ends today"):
        await yard.invoke(bot, given={"x": 0})
    assert InvocationState.ACCEPTED in {one.state for one in await recorded(yard.runtime, bot)}
    await change(url, ACCEPT_ENDS[yard.runtime.database.location.kind])
    await until_ended(yard.runtime, bot)
    assert {one.state for one in await recorded(yard.runtime, bot)} == {InvocationState.SUCCEEDED}


async def test_closing_ends_calls_that_run_wait_and_start_and_records_them(
    settings: Settings, slow: tuple[Yard, SlowEngine]
) -> None:
    yard, engine = slow
    await yard.install(yard.skill(SLEEP))
    await yard.install(yard.skill(name="other"))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 50}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    engine.answers.clear()
    starting = asyncio.create_task(yard.invoke(bot, "acme/other"))
    await until(lambda: yard.runtime.pool.counts().starting == 1)
    closing = asyncio.create_task(yard.runtime.close())
    with pytest.raises(ShuttingDownError):
        await starting
    engine.answers.set()
    await closing
    assert (await running).outcome.state is OutcomeState.KILLED
    async with await create_runtime(settings) as again:
        states = sorted(one.state for one in await recorded(again, bot))
    assert states == sorted([InvocationState.SUCCEEDED, InvocationState.KILLED, InvocationState.REFUSED])


async def test_files_that_cannot_be_kept_do_not_make_a_call_that_ran_look_refused(yard: Yard) -> None:
    code = "from pathlib import Path\n\n\ndef run() -> None:\n    Path('made.txt').write_text('here')\n"
    await yard.install(yard.skill(code))
    bot = await yard.agent("bot")
    (yard.runtime.settings.home / "artefacts").write_text("a file where the folder should be")
    with pytest.raises((SkillyardError, OSError)):
        await yard.invoke(bot, given={})
    (kept,) = await recorded(yard.runtime, bot)
    assert kept.state is InvocationState.LOST


async def test_uninstalling_waits_for_the_call_that_runs_and_admits_no_other(yard: Yard) -> None:
    await yard.install(yard.skill(SLEEP))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    running = asyncio.create_task(yard.invoke(bot, given={"x": 2}))
    await until(lambda: yard.runtime.pool.counts().busy == 1)
    await yard.runtime.uninstall(REF, workspace=bot.workspace, actor=yard.admin)
    with pytest.raises(SkillyardError, match="not installed"):
        await yard.invoke(bot, given={"x": 0})
    assert (await running).outcome.state is OutcomeState.SUCCEEDED
    await until(lambda: yard.runtime.pool.counts().idle == 0)


async def test_closing_closes_everything_though_the_engine_died(settings: Settings, yard: Yard, tmp_path: Path) -> None:
    await yard.runtime.close()
    home = settings.home
    forwarded = await Forwarded.open(tmp_path / "engine.sock")
    through = settings.model_copy(update={"docker_host": f"unix://{forwarded.path}"})
    runtime = await create_runtime(through)
    try:
        relayed = Yard(runtime, yard.admin, yard.second, yard.folder)
        await relayed.install(relayed.skill())
        assert (await relayed.invoke(await relayed.agent("bot"))).outcome.result_json == b"2"
        await forwarded.close()
    finally:
        await asyncio.gather(runtime.close(), return_exceptions=True)
    assert list((home / "leases").iterdir()) == []
    with pytest.raises(ShuttingDownError):
        await runtime._writer.record(AuditRecord(yard.admin.workspace, utcnow(), SYSTEM, Action.SKILL_REMOVED, "x", {}))
    # Its channel was cut, so the guest has ended by itself.
    await no_containers(yard.runtime.engine, settings)


class Forwarded:
    """The engine's socket behind one of our own, so that it can die while the engine lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    async def open(cls, path: Path, **fields: Any) -> Self:
        self = cls(path, **fields)
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def close(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


class SlowEngine(Forwarded):
    """The engine's socket, on which requests with ``held`` in them take until ``answers`` is set."""

    def __init__(self, path: Path, *, held: bytes) -> None:
        super().__init__(path)
        self._held = held
        self.answers = asyncio.Event()
        self.answers.set()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._held in data:
                    await self.answers.wait()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
