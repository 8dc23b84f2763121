"""llm-sandbox as a peer: its pool of containers, driven in a process of its own over lines.

It expects ``mkdir`` and a virtual environment in the image; both are added to our base image, since none can be relied
on to be pulled. It runs each call with ``docker exec`` in a container that calls share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from skillyard.sandbox.images import BaseImage

from benchmarks.build import building
from benchmarks.docker_cli import docker
from benchmarks.leftovers import labels
from benchmarks.peers import Work
from benchmarks.provision import provisions

_START_SECONDS, _CALL_SECONDS = 120, 60
_PREPARE = """
import os, shutil, subprocess, sys
subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", "/sandbox/.sandbox-venv"])
if not shutil.which("mkdir"):
    # Asked for before each call, for a folder that is there: cheaper than the real one.
    with open("/usr/bin/mkdir", "w") as file:
        file.write('#!/bin/sh\\n[ -d "$2" ]\\n')
    os.chmod("/usr/bin/mkdir", 0o755)
"""


class LlmSandbox:
    """A process that answers calls. ``call`` takes a session from the pool, ``call_kept`` uses one that stays open."""

    def __init__(self, work: Work, process: asyncio.subprocess.Process) -> None:
        self._work = work
        self._process = process
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._code = (
            f'import sys\nsys.path.insert(0, "/env")\n{work.text.code}\n'
            f"import json\nprint(json.dumps(run(**json.loads({work.text.input.decode()!r}))))\n"
        )

    async def call(self) -> None:
        await self._ask(kept=False)

    async def call_kept(self) -> None:
        await self._ask(kept=True)

    async def _ask(self, *, kept: bool) -> None:
        assert self._process.stdin is not None
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "kept": kept, "code": self._code}).encode() + b"\n")
        async with asyncio.timeout(_CALL_SECONDS):
            said = await future
        if said["exit"] != 0:
            raise RuntimeError(f"llm-sandbox: {said['stderr']}")
        self._work.check(said["stdout"].encode())

    async def listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            self._waiting.pop(said["id"]).set_result(said)
        for future in self._waiting.values():
            future.set_exception(RuntimeError("the process of llm-sandbox ended"))


@asynccontextmanager
async def open_llm_sandbox(work: Work, *, containers: int) -> AsyncIterator[LlmSandbox]:
    """A warm pool of that many containers, which are removed at the end."""
    async with _image(work.image) as image:
        mounts = [f"{source}:{target}:ro" for source, target in work.mounts]
        program = Path(__file__).with_name("llm_sandbox_lines.py")
        process = await asyncio.create_subprocess_exec(
            *(str(provisions().python), "-P", str(program), image, str(containers), json.dumps(mounts)),
            json.dumps(dict(labels())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sys.stderr,
        )
        listening: asyncio.Task[None] | None = None
        try:
            assert process.stdout is not None
            async with asyncio.timeout(_START_SECONDS):
                first = await process.stdout.readline()
            if not first:
                raise RuntimeError("llm-sandbox did not start; it says why above")
            peer = LlmSandbox(work, process)
            listening = asyncio.create_task(peer.listen())
            yield peer
        finally:
            process.kill()
            await process.wait()
            if listening is not None:
                await asyncio.wait({listening})
            if left := (await docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}")).decode().split():
                await docker("rm", "--force", "--volumes", *left)


@asynccontextmanager
async def _image(base: BaseImage) -> AsyncIterator[str]:
    dockerfile = f"FROM {base.reference}\nRUN {json.dumps([base.python, '-c', _PREPARE])}\n"
    async with building() as built:
        yield await built.image(dockerfile)
