"""The guest's own code as a folder that sandboxes mount: byte-compiled once for an image, found by its content.

Without bytecode every start compiles the guest anew, which takes longer than the rest of its start, and the memory
that compiling leaves behind is copied by every fork. A copy of its own also does not depend on whether the folder the
package is installed in may be read by the user that skills run as.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from skillyard.sandbox.bytecode import ByteCompiler, collect_bytecode
from skillyard.sandbox.chores import sweep_chores
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, sync_folder
from skillyard.sandbox.hostconfig import GUEST_SOURCE
from skillyard.sandbox.images import BaseImage, base_target
from skillyard.sandbox.tags import cache_tag

_NAME = "guest"


class Guest(Protocol):
    """Where the guest's code for an image is."""

    async def folder(self, image: BaseImage) -> Path:
        """A folder on the host with the modules of ``sandbox.guest``, readable by everybody."""
        ...


class GuestSource:
    """The package's own folder, compiled by every start: for one sandbox that nobody waits for."""

    async def folder(self, image: BaseImage) -> Path:  # noqa: ARG002 - the protocol's signature
        return GUEST_SOURCE


class GuestCode:
    """Compiled copies below ``root``, one for each content and interpreter. Safe with other processes."""

    def __init__(self, *, root: Path, engine: Engine) -> None:
        self._root = root
        self._engine = engine
        self._staging = Staging(root / "staging")
        self._compiler = ByteCompiler(engine=engine)
        self._known: dict[str, Path] = {}

    async def folder(self, image: BaseImage) -> Path:
        """Raises ``WheelError``, ``DiskFullError`` or ``EngineUnavailableError``."""
        tag = cache_tag(replace(base_target(), python=image.version))
        known = self._known.get(image.version)
        if known is not None and known.is_dir():
            return known
        digest = await asyncio.to_thread(_digest, GUEST_SOURCE, image.version)
        final = self._root / digest
        async with locked(self._root / f"{digest}.lock"):
            if not await asyncio.to_thread(final.is_dir):
                # What a process left that died while it compiled: its container first, which its folder tells.
                await sweep_chores(self._engine, self._staging.root)
                await asyncio.to_thread(self._staging.sweep)
                async with self._staging.place() as place:
                    await self._build(image, tag, place, final)
        self._known[image.version] = final
        return final

    async def _build(self, image: BaseImage, tag: str, place: Place, final: Path) -> None:
        sources, out = place.path / _NAME / "files", place.path / "out"
        with disk_full_named(place.path):
            names = await asyncio.to_thread(_copy, GUEST_SOURCE, sources)
            await asyncio.to_thread(out.mkdir)
        await self._compiler.compile(image, place, [_NAME], out)
        await asyncio.to_thread(_finish, sources, out / _NAME / "files", names, tag, final)


def _modules(source: Path) -> tuple[Path, ...]:
    return tuple(sorted(source.glob("*.py")))


def _digest(source: Path, version: str) -> str:
    content = hashlib.sha256(version.encode())
    for module in _modules(source):
        content.update(f"\0{module.name}\0".encode() + hashlib.sha256(module.read_bytes()).digest())
    return content.hexdigest()[:32]


def _copy(source: Path, into: Path) -> tuple[str, ...]:
    into.mkdir(parents=True)
    for module in _modules(source):
        shutil.copyfile(module, into / module.name)
        (into / module.name).chmod(0o444)
    return tuple(module.name for module in _modules(source))


def _finish(sources: Path, out: Path, names: tuple[str, ...], tag: str, final: Path) -> None:
    for name in collect_bytecode(out, sources, names, tag):
        (sources / name).chmod(0o444)
    (sources / "__pycache__").chmod(0o755)
    sources.chmod(0o755)
    sync_folder(sources)
    sources.rename(final)
    sync_folder(final.parent)
