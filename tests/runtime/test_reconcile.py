"""What a killed process leaves behind is gone at the next start: containers, open calls, half-written folders."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from skillyard.governance.decision import Maturity
from skillyard.runtime.instance import home_id, is_alive, sweep_leases, take_lease
from skillyard.runtime.invocations import invocations
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.tables import InvocationState
from skillyard.settings import Settings
from tests.runtime.conftest import Yard, no_containers

VICTIM = """
import asyncio, sys
from pathlib import Path
from skillyard.ids import AgentId, WorkspaceId
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import InvokeRequest, SkillRef
from skillyard.settings import Settings

async def main(home, agent, workspace):
    runtime = await create_runtime(Settings(home=Path(home), advisories_max_age_days=100_000))
    request = InvokeRequest(WorkspaceId(workspace), AgentId(agent), SkillRef("acme", "adder"), input_json=b'{"x": 99}')
    await runtime.invoke(request, lambda output: print(output.data.decode(), flush=True))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def test_a_server_killed_in_mid_call_leaves_no_container_and_no_open_call(settings: Settings, yard: Yard) -> None:
    code = "import time\n\n\ndef run(x: float) -> None:\n    print('running', flush=True)\n    time.sleep(x)\n"
    await yard.install(yard.skill(code))
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
        assert (await next_start.verify_audit(bot.workspace)).broken is None


async def test_what_a_living_process_owns_is_left_alone(settings: Settings, yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    await yard.invoke(bot)
    async with await create_runtime(settings):
        pass
    assert (await yard.invoke(bot)).outcome.result_json == b"2"
    assert yard.runtime.pool.counts().idle == 1


def test_a_lease_is_alive_exactly_while_it_is_held(tmp_path: Path) -> None:
    lease = take_lease(tmp_path)
    assert is_alive(tmp_path, lease.id)
    assert sweep_leases(tmp_path) == ()
    lease.release()
    assert not is_alive(tmp_path, lease.id)


def test_a_homes_identity_never_changes(tmp_path: Path) -> None:
    assert home_id(tmp_path) == home_id(tmp_path)
    assert len(home_id(tmp_path)) == 32
