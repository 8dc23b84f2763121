"""Sandboxes under attack: one that serves attack after attack, a neighbour of another workspace, and the host's facts.

Every test here says what was tried, and what stopped it. What an attack answers is the kernel's word as an honest
attacker heard it; what the assertions stand on besides is out of an attacker's reach: the outcome that the host makes
of the call, the host's own files and processes, and what the *next* call of the same sandbox finds. That call is made
after every test, by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from skillyard.ids import BundleDigest
from skillyard.sandbox.docker import DockerSandbox, create_sandbox
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.outcome import Call, Outcome, OutcomeState
from skillyard.sandbox.running import DockerRunningSandbox
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Granted
from skillyard.skills.skill import Entry, EntryKind, SkillKind

ASSETS = Path(__file__).parent.parent / "assets" / "escape"

GRANTED = Granted(
    memory_bytes=256 * MIB,
    timeout_seconds=60.0,
    processes=64,
    cpu_shares=1024,
    cpu_quota=None,
    scratch_bytes=32 * MIB,
    stream_bytes=MIB,
    result_bytes=2 * MIB,
    artefact_bytes=8 * MIB,
    open_files=256,
    file_bytes=16 * MIB,
)


class Target:
    """A sandbox that is attacked call by call, and started anew where an attack may cost it."""

    def __init__(self, starter: Callable[[], Any]) -> None:
        self._starter = starter
        self._running: DockerRunningSandbox | None = None
        self.may_end = False
        """Whether the attack at hand may cost the sandbox; else losing it is a failure."""

    @property
    def running(self) -> DockerRunningSandbox:
        assert self._running is not None
        return self._running

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.alive

    async def ready(self) -> None:
        """Start where there is none."""
        if not self.alive:
            await self.stop()
            self._running = await self._starter()

    async def stop(self) -> None:
        if self._running is not None:
            await self._running.stop()
            self._running = None

    async def attack(self, entry: str, given: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        """Call ``file.py:function`` below ``scripts``, and wait until the sandbox is clean again or given up."""
        path, _, function = entry.partition(":")
        sink = fields.pop("on_output", None)
        call = Call(
            entry=Entry(EntryKind.FUNCTION, f"scripts/{path}", function),
            input_json=orjson.dumps(given or {}),
            **fields,
        )
        return await (self.running.call(call) if sink is None else self.running.call(call, sink))

    async def tell(self, entry: str, given: dict[str, Any] | None = None, **fields: Any) -> Any:
        """What an attack answered; it has to end well for that."""
        outcome = await self.attack(entry, given, **fields)
        assert outcome.state is OutcomeState.SUCCEEDED, outcome
        return orjson.loads(outcome.result_json or b"null")

    async def leftovers(self, canary: str | None = None) -> dict[str, Any]:
        """What the next call finds that a call should not find."""
        found: dict[str, Any] = await self.tell("leave.py:look", {"canary": canary})
        return found


CLEAN = {"found": [], "canary": []}


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest on a slow machine says what it has to say later. Its own clock is still told from the host's: an attack
    that stops the guest's for as long as it can takes longer than this."""
    monkeypatch.setattr("skillyard.sandbox.running.GRACE_SECONDS", 12.0)
    for name in ("_READY_SECONDS", "_CANCEL_SECONDS"):
        monkeypatch.setattr(f"skillyard.sandbox.running.{name}", 60.0)


@pytest.fixture(scope="session")
def instance() -> str:
    return f"escape-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Bundle and environment, as copies of their own that are mounted: whether they changed is seen from outside."""
    root = tmp_path_factory.mktemp("attacked")
    root.chmod(0o755)
    for name in ("skill", "packages"):
        shutil.copytree(ASSETS / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [root, *root.rglob("*")]:
        # Open to everybody: what keeps an attacker from writing is then the mount alone.
        path.chmod(0o777 if path.is_dir() else 0o666)
    for parent in list(root.parents)[:3]:
        if parent.is_relative_to(tmp_path_factory.getbasetemp().parent.parent):
            parent.chmod(parent.stat().st_mode | 0o011)
    return root / "skill", root / "packages"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine() -> AsyncIterator[Engine]:
    opened = Engine()
    yield opened
    await opened.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[DockerSandbox]:
    made = create_sandbox(Settings())
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def start(
    sandbox: DockerSandbox, engine: Engine, folders: tuple[Path, Path], instance: str
) -> AsyncIterator[Callable[..., Any]]:
    """Starts a sandbox of a workspace, with other packages and limits where said; all of them are gone in the end."""
    bundle, environment = folders

    async def starter(
        workspace: str = "one", preload: tuple[str, ...] = ("innocent",), **limits: Any
    ) -> DockerRunningSandbox:
        labels = {"instance": instance, "workspace": workspace, "lease": uuid.uuid4().hex}
        digest = BundleDigest("sha256:" + "0" * 64)
        spec = SandboxSpec(SkillKind.PYTHON, digest, bundle, environment, preload, labels)
        return await sandbox.start(spec, replace(GRANTED, **limits))

    yield starter
    give_up = time.monotonic() + 60
    while left := await engine.containers({"skillyard.instance": instance}):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(start: Callable[..., Any]) -> AsyncIterator[Target]:
    target = Target(start)
    yield target
    await target.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def target(shared: Target) -> AsyncIterator[Target]:
    """The sandbox under attack. After the test it still serves, and the next call finds nothing."""
    await shared.ready()
    shared.may_end = False
    yield shared
    if shared.may_end:
        await shared.ready()
    assert shared.alive, "the attack cost the sandbox, which it should not"
    assert await shared.leftovers() == CLEAN


@asynccontextmanager
async def _one_more(start: Callable[..., Any], **fields: Any) -> AsyncIterator[Target]:
    target = Target(lambda: start(**fields))
    await target.ready()
    try:
        yield target
    finally:
        await target.stop()


@pytest.fixture(scope="session")
def one_more(start: Callable[..., Any]) -> Callable[..., Any]:
    """``async with one_more(workspace="two", memory_bytes=…) as target``: another sandbox."""
    return lambda **fields: _one_more(start, **fields)


@pytest.fixture(scope="session", autouse=True)
def _the_host_stays_as_it_is(folders: tuple[Path, Path]) -> Iterator[None]:
    """After all attacks: not a byte of what was mounted has changed, nor what the host is set to."""
    before = _host(folders)
    yield
    assert _host(folders) == before


def _host(folders: tuple[Path, Path]) -> dict[str, Any]:
    settings = ("kernel/core_pattern", "kernel/hostname", "vm/overcommit_memory", "fs/suid_dumpable")
    digests = {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode, path.stat().st_nlink)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {
        "files": digests,
        "settings": {name: Path("/proc/sys", name).read_text() for name in settings},
        "interfaces": sorted(name for _, name in socket.if_nameindex() if not name.startswith("veth")),
    }
