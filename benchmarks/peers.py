"""The same work done as people do it without Skillyard: ``docker run`` and ``docker exec``; and the bare minimum.

All use the same base image, the same skill file, the same packages, JSON in and JSON out, and no network. None of them
decides, records or limits anything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skillyard.sandbox.engine import Engine
from skillyard.sandbox.images import BaseImage, BaseImages
from skillyard.settings import Settings

from benchmarks.docker_cli import docker
from benchmarks.leftovers import labels
from benchmarks.skills import SkillText

_SECONDS = 60

CALL = """
import json, runpy, sys
sys.path.insert(0, "/env")
run = runpy.run_path("/skill/scripts/main.py")["run"]
print(json.dumps(run(**json.load(sys.stdin))))
"""

# Reads a request, forks a child that does the work and writes the answer, and waits for its end before the next one.
FORK = """
import json, os, runpy, sys
sys.path.insert(0, "/env")
run = runpy.run_path("/skill/scripts/main.py")["run"]
while request := os.read(0, 65536):
    child = os.fork()
    if child == 0:
        os.write(1, json.dumps(run(**json.loads(request))).encode())
        os._exit(0)
    os.waitpid(child, 0)
"""

# The same with the child forked before the request comes: it is the child that waits for it.
SPARE = """
import json, os, runpy, sys
sys.path.insert(0, "/env")
run = runpy.run_path("/skill/scripts/main.py")["run"]
while True:
    child = os.fork()
    if child == 0:
        request = os.read(0, 65536)
        if not request:
            os._exit(1)
        os.write(1, json.dumps(run(**json.loads(request))).encode())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        break
"""

IDLE = "import os\nwhile os.read(0, 65536):\n    pass"
"""Ends when whoever attached it does."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done: a skill, where its files and its packages are, and in which image it runs."""

    text: SkillText
    skill: Path
    environment: Path | None
    image: BaseImage

    @property
    def mounts(self) -> tuple[tuple[Path, str], ...]:
        return ((self.skill, "/skill"), *(((self.environment, "/env"),) if self.environment else ()))

    @property
    def python(self) -> tuple[str, ...]:
        return (self.image.python, "-I", "-S", "-B")

    def check(self, answer: bytes) -> None:
        if json.loads(answer) != json.loads(self.text.answer):
            raise RuntimeError(f"a peer answered {answer!r}")


@dataclass(frozen=True, slots=True)
class DockerRun:
    """A fresh container for every call: ``docker run --rm -i``."""

    work: Work

    async def call(self) -> None:
        options = ["--rm", "--interactive", "--network=none", *(f"--label={k}={v}" for k, v in labels().items())]
        options += [f"--mount=type=bind,source={source},target={to},readonly" for source, to in self.work.mounts]
        command = (self.work.image.reference, *self.work.python, "-c", CALL)
        self.work.check(await docker("run", *options, *command, stdin=self.work.text.input))


@dataclass(frozen=True, slots=True)
class DockerExec:
    """A fresh interpreter in a container that is there already: ``docker exec -i``."""

    work: Work
    container: str

    async def call(self) -> None:
        command = (self.container, *self.work.python, "-c", CALL)
        self.work.check(await docker("exec", "--interactive", *command, stdin=self.work.text.input))


class Forks:
    """A child for every call in a container that is attached already: what no runtime can be faster than."""

    def __init__(self, work: Work, connection: socket.socket) -> None:
        self._work = work
        self._connection = connection
        self._lock = asyncio.Lock()

    async def call(self) -> None:
        await self.ask(self._work.text)

    async def ask(self, text: SkillText) -> None:
        """Raises ``RuntimeError`` for another answer and where the container is gone."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            async with asyncio.timeout(_SECONDS):
                await loop.sock_sendall(self._connection, text.input)
                answer = await loop.sock_recv(self._connection, 4096)
        if len(answer) < 8:
            raise RuntimeError("the container is gone")
        stream, size = struct.unpack_from(">BxxxI", answer)
        if (stream, size, answer[8:]) != (1, len(text.answer), text.answer):
            raise RuntimeError(f"the forked child answered {answer!r}")


class Peers:
    """Makes peers for one piece of work; their containers are removed when the block of ``open_peers`` ends."""

    def __init__(self, work: Work, engine: Engine, stack: AsyncExitStack) -> None:
        self.work = work
        self.engine = engine
        self._stack = stack
        self.run = DockerRun(work)

    async def exec(self) -> DockerExec:
        container, _ = await self._stack.enter_async_context(running(self.engine, self.work, IDLE))
        return DockerExec(self.work, container)

    async def forks(self, program: str = FORK) -> Forks:
        _, connection = await self._stack.enter_async_context(running(self.engine, self.work, program))
        return Forks(self.work, connection)


@asynccontextmanager
async def open_peers(
    settings: Settings, text: SkillText, skill: Path, *, environment: Path | None = None
) -> AsyncIterator[Peers]:
    engine = Engine(address=settings.docker_host)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.close)
        image = await BaseImages(engine=engine, settings=settings).python_image()
        yield Peers(Work(text, skill, environment, image), engine, stack)


@asynccontextmanager
async def running(engine: Engine, work: Work, program: str) -> AsyncIterator[tuple[str, socket.socket]]:
    """A started container and the connection to its program, which ends with the connection."""
    config = {
        "Image": work.image.reference,
        "Entrypoint": [*work.python, "-c", program],
        "Labels": dict(labels()),
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
    }
    host = {
        "NetworkMode": "none",
        "AutoRemove": True,
        "Mounts": [{"Type": "bind", "Source": str(a), "Target": b, "ReadOnly": True} for a, b in work.mounts],
        "LogConfig": {"Type": "none", "Config": {}},
    }
    container = await engine.create(config, host, name=f"skillyard-bench-{secrets.token_hex(6)}")
    try:
        with await engine.attach(container) as connection:
            await engine.start(container)
            try:
                yield container, connection
            finally:
                # Before the connection is closed, so that a call that still waits hears of the end.
                await engine.remove(container)
    finally:
        await engine.remove(container)
