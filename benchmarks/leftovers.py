"""What benchmarks put on the engine carries one label, and their folders one prefix, with the process that made them.

A benchmark removes its own things in the end, whatever happens; what a killed one left is removed by the next.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from skillyard.sandbox.folders import remove_folder

from benchmarks.docker_cli import docker

LABEL = "skillyard-bench"


def labels() -> Mapping[str, str]:
    """For everything that this process creates."""
    return {LABEL: str(os.getpid())}


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Containers and images of this process are gone after the block, those of dead processes before it."""
    for owner in await _owners():
        if not _alive(owner):
            await _remove(owner)
    await asyncio.to_thread(_sweep_folders)
    try:
        yield
    finally:
        await _remove(str(os.getpid()))


def prefix() -> str:
    """For the names of temporary folders."""
    return f"{LABEL}-{os.getpid()}-"


def _sweep_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{LABEL}-*-*"):
        if not _alive(folder.name.removeprefix(f"{LABEL}-").partition("-")[0]):
            remove_folder(folder)


async def _owners() -> set[str]:
    label = f'{{{{.Label "{LABEL}"}}}}'
    containers = await docker("ps", "--all", "--filter", f"label={LABEL}", "--format", label)
    found = set(containers.decode().split())
    for image in (await docker("image", "ls", "--quiet", "--filter", f"label={LABEL}")).decode().split():
        of = f'{{{{index .Config.Labels "{LABEL}"}}}}'
        found |= set((await docker("image", "inspect", "--format", of, image)).decode().split())
    return found


async def _remove(owner: str) -> None:
    chosen = ("--filter", f"label={LABEL}={owner}")
    if containers := (await docker("ps", "--all", "--quiet", *chosen)).decode().split():
        await docker("rm", "--force", "--volumes", *containers)
    # Those of a build that failed have no name, but are listed.
    if images := set((await docker("image", "ls", "--quiet", *chosen)).decode().split()):
        await docker("image", "rm", "--force", *images)


def _alive(owner: str) -> bool:
    try:
        os.kill(int(owner), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
