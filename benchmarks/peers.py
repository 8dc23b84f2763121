"""The same work done as people do it without Skillyard: ``docker run`` and ``docker exec``; and the bare minimum.

All use the same base image, the same skill file, JSON in and JSON out, and no network. None of them decides, records
or limits anything.
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

_INPUT, _ANSWER = b'{"x": 1}', b"2"
_SECONDS = 60
_LABEL = "skillyard-bench"

_CALL = """
import json, runpy, sys
run = runpy.run_path("/skill/scripts/main.py")["run"]
print(json.dumps(run(**json.load(sys.stdin))))
"""

# Reads a request, forks a child that does the work and writes the answer, and waits for its end before the next one.
_FORK = """
import json, os, runpy
run = runpy.run_path("/skill/scripts/main.py")["run"]
while request := os.read(0, 65536):
    child = os.fork()
    if child == 0:
        os.write(1, json.dumps(run(**json.loads(request))).encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True, slots=True)
class DockerRun:
    """A fresh container for every call: ``docker run --rm -i``."""

    image: BaseImage
    skill: Path

    async def call(self) -> None:
        mount = f"type=bind,source={self.skill},target=/skill,readonly"
        options = ("--rm", "--interactive", "--network=none", f"--label={_LABEL}", f"--mount={mount}")
        await _docker("run", *options, self.image.reference, self.image.python, "-I", "-S", "-c", _CALL)


@dataclass(frozen=True, slots=True)
class DockerExec:
    """A fresh interpreter in a container that is there already: ``docker exec -i``."""

    image: BaseImage
    container: str

    async def call(self) -> None:
        await _docker("exec", "--interactive", self.container, self.image.python, "-I", "-S", "-c", _CALL)


class Fork:
    """A child forked for every call in a container that is attached already: what no runtime can be faster than."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    async def call(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._lock:
            await loop.sock_sendall(self._connection, _INPUT)
            answer = await loop.sock_recv(self._connection, 4096)
        stream, size = struct.unpack_from(">BxxxI", answer)
        if (stream, size, answer[8:]) != (1, len(_ANSWER), _ANSWER):
            raise RuntimeError(f"the forked child answered {answer!r}")


@dataclass(frozen=True, slots=True)
class Peers:
    """``forks`` are as many containers as were asked for."""

    run: DockerRun
    exec: DockerExec
    forks: tuple[Fork, ...]


@asynccontextmanager
async def open_peers(settings: Settings, skill: Path, *, forks: int) -> AsyncIterator[Peers]:
    """Their containers are removed at the end, whatever happens."""
    engine = Engine(address=settings.docker_host)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.close)
        image = await BaseImages(engine=engine, settings=settings).python_image()
        idle = await stack.enter_async_context(
            _container(engine, image, skill, ["-c", "import signal; signal.pause()"])
        )
        await engine.start(idle)
        forking = [await stack.enter_async_context(_forking(engine, image, skill)) for _ in range(forks)]
        yield Peers(DockerRun(image, skill), DockerExec(image, idle), tuple(forking))


@asynccontextmanager
async def _forking(engine: Engine, image: BaseImage, skill: Path) -> AsyncIterator[Fork]:
    async with _container(engine, image, skill, ["-c", _FORK]) as container:
        connection = await engine.attach(container)
        with connection:
            await engine.start(container)
            yield Fork(connection)


@asynccontextmanager
async def _container(engine: Engine, image: BaseImage, skill: Path, command: list[str]) -> AsyncIterator[str]:
    config = {
        "Image": image.reference,
        "Entrypoint": [image.python, "-I", "-S", *command],
        "Labels": {_LABEL: ""},
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
    }
    mount = {"Type": "bind", "Source": str(skill), "Target": "/skill", "ReadOnly": True}
    host = {"NetworkMode": "none", "Mounts": [mount], "LogConfig": {"Type": "none", "Config": {}}}
    container = await engine.create(config, host, name=f"{_LABEL}-{secrets.token_hex(6)}")
    try:
        yield container
    finally:
        await engine.remove(container)


async def _docker(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(_SECONDS):
        out, err = await process.communicate(_INPUT)
    if process.returncode != 0 or json.loads(out) != json.loads(_ANSWER):
        raise RuntimeError(f"docker {arguments[0]} answered {out!r} and {err!r}")
