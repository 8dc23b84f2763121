"""The socket that a guest connects to: reachable once, by it alone, and gone before anything foreign runs."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import orjson
import pytest
from skillyard.sandbox.docker import DockerSandbox, _direct
from skillyard.sandbox.folders import Staging
from skillyard.sandbox.listener import NAME, Listener
from skillyard.sandbox.outcome import Call, OutcomeState
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Entry, EntryKind


def test_a_long_path_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    listener = Listener(folder)
    assert stat.S_ISSOCK((folder / NAME).stat().st_mode)
    listener.close()
    listener.close()
    assert list(folder.iterdir()) == []


async def test_nothing_of_the_socket_is_left_once_a_sandbox_runs(start, channels: Staging) -> None:
    running = await start()
    assert [path for path in channels.root.iterdir() if path.suffix != ".lock"] == []
    outcome = await running.call(_knock(f"/opt/skillyard/channel/{NAME}"))
    assert stat.S_IMODE(channels.root.stat().st_mode) == 0o700
    assert (outcome.state, outcome.result_json) == (OutcomeState.SUCCEEDED, b'"FileNotFoundError"')


async def test_a_start_that_fails_leaves_no_socket(
    sandbox: DockerSandbox, spec: SandboxSpec, granted: Granted, channels: Staging
) -> None:
    starting = asyncio.create_task(sandbox.start(spec, granted))
    while not channels.root.is_dir() or not list(channels.root.glob(f"*/{NAME}")):
        assert not starting.done()
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert [path for path in channels.root.iterdir() if path.suffix != ".lock"] == []


async def test_sockets_of_a_process_that_died_are_swept_at_the_first_start(start, channels: Staging) -> None:
    channels.root.mkdir(exist_ok=True)
    left = channels.root / "dead"
    left.mkdir()
    (channels.root / "dead.lock").touch()
    Listener(left).listening.close()
    await start()
    assert not left.exists()


@pytest.mark.parametrize(
    ("settings", "direct"),
    [
        ({}, True),
        ({"docker_host": "unix:///run/other.sock"}, True),
        ({"docker_host": "tcp://10.0.0.1:2376"}, False),
        ({"runtime_name": "runsc"}, False),
        ({"runtime_name": "runsc", "channel": "socket"}, True),
        ({"channel": "attached"}, False),
    ],
)
def test_the_socket_is_for_engines_of_this_machine(settings: dict[str, str], direct: bool) -> None:
    assert _direct(Settings(**settings)) is direct


def _knock(address: str) -> Call:
    entry = Entry(EntryKind.FUNCTION, "scripts/plain.py", "knock")
    return Call(entry, input_json=orjson.dumps({"address": address}))
