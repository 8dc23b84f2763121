"""What a killed process leaves behind goes: at the next start, and by the sweeping of any server that lives."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from skillyard.governance import audit
from skillyard.governance.decision import Maturity
from skillyard.runtime import leases
from skillyard.runtime.instance import home_id, is_alive, lease_files, sweep_leases, take_lease
from skillyard.runtime.invocations import invocations, mark_lost
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.states import InvocationState
from skillyard.sandbox.images import BaseImages
from skillyard.settings import Settings
from sqlalchemy import text
from tests.runtime.conftest import Yard, no_containers, open_yard

VICTIM = """
import asyncio, sys
from pathlib import Path
from skillyard.errors import SkillyardError
from skillyard.ids import AgentId, WorkspaceId
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import InvokeRequest, SkillRef
from skillyard.settings import Settings

async def main(home, agent, workspace):
    runtime = await create_runtime(Settings(home=Path(home), advisories_max_age_days=100_000, skill_timeout=600))
    request = InvokeRequest(WorkspaceId(workspace), AgentId(agent), SkillRef("acme", "adder"), input_json=b'{"x": 599}')
    try:
        await runtime.invoke(request, lambda output: print(output.data.decode(), flush=True))
    except SkillyardError as error:
        print("ended", error.code, flush=True)
    await runtime.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""

SLEEPER = "import time\n\n\ndef run(x: float) -> None:\n    print('running', flush=True)\n    time.sleep(x)\n"


async def test_a_server_killed_in_mid_call_leaves_no_container_and_no_open_call(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill(SLEEPER))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, str(settings.home), str(bot.id), str(bot.workspace),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert victim.stdout is not None
    while b"running" not in await victim.stdout.readline():
        assert victim.returncode is None
    os.kill(victim.pid, signal.SIGKILL)
    await victim.wait()
    half_done = settings.home / "staging" / "0123456789abcdef.dead"
    half_done.mkdir(parents=True)
    async with await create_runtime(settings) as next_start:
        async with next_start.database.reading() as session:
            (lost,) = await invocations(session, bot.workspace, limit=10)
        assert lost.state is InvocationState.LOST
        await no_containers(next_start.engine, settings)
        assert not half_done.exists()
        assert (await next_start.audit.verify(bot.workspace)).broken is None


async def test_what_a_living_process_owns_is_left_alone(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    async with await create_runtime(settings):
        pass
    assert (await yard.invoke(bot)).outcome.result_json == b"2"
    assert yard.runtime.pool.counts().idle == 1


@dataclass
class Victim:
    """Another server on the same home, in the middle of a call."""

    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def calling(yard: Yard, **environment: str) -> AsyncIterator[Victim]:
    await yard.install(yard.skill(SLEEPER))
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    home = str(yard.runtime.settings.home)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, home, str(bot.id), str(bot.workspace),
        stdout=asyncio.subprocess.PIPE, env=os.environ | environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        while b"running" not in await process.stdout.readline():
            assert process.returncode is None
        yield Victim(process)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()


async def _run(*command: str) -> None:
    """A command that has to work, within a minute."""
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(60):
        assert await process.wait() == 0


async def recorded(yard: Yard) -> list[InvocationState]:
    async with yard.runtime.database.reading() as session:
        return [one.state for one in await invocations(session, yard.admin.workspace, limit=100)]


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that nobody signals and that takes asking."""
    give_up = time.monotonic() + 60
    while not await condition():
        assert time.monotonic() < give_up, "it never became true"
        await asyncio.sleep(0.05)


async def containers(yard: Yard) -> list[str]:
    mine = {"skillyard.instance": home_id(yard.runtime.settings.home)}
    return [one.id for one in await yard.runtime.engine.containers(mine)]


async def lease_rows(yard: Yard) -> list[str]:
    async with yard.runtime.database.reading() as session:
        return [one.id for one in await leases.every(session)]


@pytest.fixture
async def sweeping(settings: Settings, tmp_path: Path) -> AsyncIterator[Yard]:
    """A server that sweeps several times a second."""
    opened = await open_yard(settings.model_copy(update={"sweep_period": 0.2}), tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    await no_containers(opened.runtime.engine, settings)
    await opened.runtime.engine.close()


async def test_a_server_sweeps_what_another_leaves_that_is_killed_beside_it(sweeping: Yard) -> None:
    """The container is paused: it notices nothing, and would stay for ever."""
    home = sweeping.runtime.settings.home
    async with calling(sweeping) as victim:
        (left,) = await containers(sweeping)
        await _run("docker", "pause", left)
        try:
            (theirs,) = set(await lease_rows(sweeping)) - {sweeping.runtime.lease}
            folder = home / "staging" / f"{theirs}.half-done"
            (folder / "deeper").mkdir(parents=True)
            (folder / "deeper").chmod(0o555)
            rounds = sweeping.runtime.upkeep.sweeps
            await eventually(_past(sweeping, rounds + 2))
            assert await containers(sweeping) == [left]
            assert await recorded(sweeping) == [InvocationState.ACCEPTED]
            assert folder.is_dir(), "what belongs to the living stays"
            await victim.kill()
            rounds = sweeping.runtime.upkeep.sweeps
            # A sweep that was under way at the kill may have looked before it; the next one has not.
            await eventually(_past(sweeping, rounds + 2))
            assert await containers(sweeping) == []
        finally:
            # Gone already where all is well; a paused container ends by nothing else.
            await sweeping.runtime.engine.remove(left)
    assert await recorded(sweeping) == [InvocationState.LOST]
    assert not folder.exists()
    assert await lease_rows(sweeping) == [sweeping.runtime.lease]
    assert lease_files(home) == (sweeping.runtime.lease,)
    assert (await sweeping.runtime.audit.verify(sweeping.admin.workspace)).broken is None


def _past(yard: Yard, rounds: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return yard.runtime.upkeep.sweeps >= rounds

    return reached


async def test_a_call_is_recorded_as_lost_once_however_many_sweep(settings: Settings, yard: Yard) -> None:
    async with calling(yard) as victim:
        await victim.kill()
    others = [await create_runtime(settings.model_copy(update={"sweep_period": 0.05})) for _ in range(3)]
    for other in others:
        await other.close()
    assert await recorded(yard) == [InvocationState.LOST]
    async with yard.runtime.database.reading() as session:
        actions = [json.loads(line)["action"] async for line in audit.export(session, yard.admin.workspace)]
    assert actions.count("invocation.lost") == 1


async def test_a_process_of_another_machine_is_lost_only_after_its_lease_ran_out_unrenewed(
    settings: Settings, tmp_path: Path
) -> None:
    """Its row says another host, so that our lock files say nothing of it, and a time that is years off."""
    quick = settings.model_copy(update={"sweep_period": 0.1, "lease_ttl": 3.0, "lease_heartbeat": 0.3})
    yard = await open_yard(quick, tmp_path / "skills")
    try:
        async with calling(yard, SKILLYARD_LEASE_TTL="3", SKILLYARD_LEASE_HEARTBEAT="0.3") as victim:
            (theirs,) = set(await lease_rows(yard)) - {yard.runtime.lease}
            async with yard.runtime.database.transaction() as session:
                await session.execute(
                    text("UPDATE leases SET host = 'elsewhere', boot_id = 'other' WHERE id = :id"), {"id": theirs}
                )
            # It goes on renewing for longer than a lease lasts.
            rounds = yard.runtime.upkeep.sweeps
            await eventually(_past(yard, rounds + 40))
            assert await recorded(yard) == [InvocationState.ACCEPTED]
            await victim.kill()
            async with yard.runtime.database.transaction() as session:
                await session.execute(
                    text("UPDATE leases SET heartbeat_at = '1999-01-01' WHERE id = :id"), {"id": theirs}
                )
            rounds = yard.runtime.upkeep.sweeps
            await eventually(_past(yard, rounds + 2))
            assert await recorded(yard) == [InvocationState.ACCEPTED], "two looks are no proof"
            await eventually(lambda: _is_lost(yard))
        assert await lease_rows(yard) == [yard.runtime.lease]
    finally:
        await yard.runtime.close()


async def _is_lost(yard: Yard) -> bool:
    return await recorded(yard) == [InvocationState.LOST]


async def test_who_was_stopped_for_longer_than_its_lease_does_not_bring_back_what_was_ended(
    settings: Settings, tmp_path: Path
) -> None:
    """SIGSTOP, taken for dead by somebody who cannot see its lock, SIGCONT: its call stays lost, its answer is none."""
    yard = await open_yard(settings, tmp_path / "skills")
    try:
        async with calling(yard) as victim:
            (theirs,) = set(await lease_rows(yard)) - {yard.runtime.lease}
            victim.process.send_signal(signal.SIGSTOP)
            async with yard.runtime.database.transaction() as session:
                await leases.withdraw(session, theirs)
                assert await mark_lost(session, [theirs]) == 1
            victim.process.send_signal(signal.SIGCONT)
            assert victim.process.stdout is not None
            said = (await asyncio.wait_for(victim.process.stdout.read(), 60)).decode()
            assert "lease_lost" in said
            assert said.splitlines()[-1] == "ended already_finished"
            await victim.process.wait()
        assert await recorded(yard) == [InvocationState.LOST]
        assert (await yard.runtime.audit.verify(yard.admin.workspace)).broken is None
    finally:
        await yard.runtime.close()
    await no_containers(yard.runtime.engine, settings)
    await yard.runtime.engine.close()


async def test_sandboxes_whose_files_were_replaced_are_stopped_by_their_own_process(sweeping: Yard) -> None:
    """As ``doctor --verify`` does with what is damaged, from a process of its own."""
    version = (await sweeping.install(sweeping.skill())).version
    bot = await sweeping.agent("bot")
    await sweeping.invoke(bot)
    (before,) = await containers(sweeping)
    folder = sweeping.runtime.bundles.path(version.skill.bundle.digest)
    folder.rename(folder.with_name("aside"))
    shutil.copytree(folder.with_name("aside"), folder)

    async def replaced() -> bool:
        return before not in await containers(sweeping)

    await eventually(replaced)
    assert (await sweeping.invoke(bot)).outcome.result_json == b"2"
    shutil.rmtree(folder.with_name("aside"))


async def test_a_container_that_this_process_lost_track_of_goes(yard: Yard) -> None:
    version = (await yard.install(yard.skill())).version
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    (known,) = await containers(yard)
    lost = await _stray(yard, version.skill.bundle.digest)
    reconciler = yard.runtime.upkeep.reconciler
    await reconciler.reconcile()
    assert sorted(await containers(yard)) == sorted([known, lost]), "it may be a start under way"
    reconciler._stray_seconds = 0.0
    await reconciler.reconcile()
    assert await containers(yard) == [known]


async def _stray(yard: Yard, digest: str) -> str:
    """A container under our own labels that nothing in this process holds."""
    image = await BaseImages(engine=yard.runtime.engine, settings=yard.runtime.settings).python_image()
    labels = {
        "skillyard.instance": home_id(yard.runtime.settings.home),
        "skillyard.lease": yard.runtime.lease,
        "skillyard.digest": digest,
    }
    return await yard.runtime.engine.create({"Image": image.reference, "Cmd": ["true"], "Labels": labels}, {})


async def test_what_cannot_be_removed_does_not_keep_the_rest(
    yard: Yard, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder that is a mount point cannot go."""
    staging = yard.runtime.settings.home / "staging"
    stuck, other = staging / f"{'0' * 32}.stuck", staging / f"{'1' * 32}.other"
    for folder in (stuck, other):
        folder.mkdir(parents=True)
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    await _run("mount", "--bind", str(mounted), str(stuck))
    try:
        await yard.runtime.upkeep.reconciler.reconcile()
        assert not other.exists()
        assert "folder_not_removed" in capsys.readouterr().out
    finally:
        await _run("umount", str(stuck))


def test_a_lease_is_alive_exactly_while_it_is_held(tmp_path: Path) -> None:
    lease = take_lease(tmp_path)
    assert is_alive(tmp_path, lease.id)
    assert sweep_leases(tmp_path) == ()
    lease.release()
    assert not is_alive(tmp_path, lease.id)


def test_a_homes_identity_never_changes(tmp_path: Path) -> None:
    assert home_id(tmp_path) == home_id(tmp_path)
    assert len(home_id(tmp_path)) == 32
