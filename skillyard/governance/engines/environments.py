"""Locked Python environments, one for each engine.

An engine pins packages that Skillyard pins otherwise (pip-audit cyclonedx, safety typer), so each lives in an
environment of its own, made from a lock that ships with Skillyard: every artefact by its hash. An environment's folder
is named after the lock it was made from. After an upgrade with another lock the old environment is therefore not
found, and an engine that is not found is missing evidence, never a quiet pass.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final

import uv

from skillyard.errors import MachineError
from skillyard.governance.engines.names import INSTALLED_BY_US
from skillyard.settings import Settings
from skillyard.subprocesses.tools import GIB, DiskLimit, Ended, ToolError, run_tool
from skillyard.threads import taken

LOCKS: Final = Path(__file__).parent / "locks"
SAFETY_DRIVER: Final = Path(__file__).parent / "safety_driver.py"
"""The script that runs in safety's environment."""
_INSTALL_SECONDS: Final = 300.0
_MOST_DISK: Final = 2 * GIB
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s\\;]+)", re.MULTILINE)
_LONGEST: Final = 2000


class EngineInstallError(MachineError):
    """An engine's environment could not be made."""

    code = "engine_install"


@dataclass(frozen=True, slots=True)
class EngineEnvironment:
    """Where an engine is, or would be. ``version`` is the one in its lock."""

    name: str
    version: str
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_there(self) -> bool:
        """Whether it was made, and its interpreter is still there."""
        return self.python.exists()


def engine_environment(settings: Settings, name: str) -> EngineEnvironment:
    """The environment of one of ``INSTALLED_BY_US`` for this release."""
    lock, version, digest = _lock(name)
    del lock
    return EngineEnvironment(name, version, engines_folder(settings) / f"{name}-{digest[:16]}")


def engines_folder(settings: Settings) -> Path:
    """Beside the packages of the Python that Skillyard runs in, unless the setting names a folder.

    So it goes with that installation, is made and upgraded by whoever may change it, and is shared by every home.
    """
    return settings.engines_folder or Path(sys.prefix) / "share" / "skillyard" / "engines"


async def install_engine(settings: Settings, name: str, *, index: Mapping[str, str]) -> EngineEnvironment:
    """Make an engine's environment where it is not there; remove those of earlier locks. Raises ``EngineInstallError``.

    ``index`` is how uv is told about package indexes (its environment). The folder appears whole or not at all.
    """
    environment = engine_environment(settings, name)
    if not await asyncio.to_thread(lambda: environment.is_there):
        await _make(environment, _lock(name)[0], index)
    await asyncio.to_thread(_remove_others, environment)
    return environment


async def _make(environment: EngineEnvironment, lock: Path, index: Mapping[str, str]) -> None:
    parent = environment.folder.parent
    try:
        await asyncio.to_thread(parent.mkdir, parents=True, exist_ok=True)
        making = partial(tempfile.mkdtemp, prefix=f".{environment.name}-", dir=parent)
        staging = Path(await taken(making, shutil.rmtree))
    except OSError as error:
        raise EngineInstallError(
            f"{parent} cannot be written: {error.strerror}; set SKILLYARD_ENGINES_FOLDER"
        ) from error
    try:
        made = staging / "environment"
        await _uv(
            ["venv", "--quiet", "--no-project", "--relocatable", "--python", sys.executable, made], staging, index
        )
        python = made / "bin" / "python"
        sync = ["pip", "sync", "--quiet", "--compile-bytecode", "--only-binary", ":all:", "--require-hashes"]
        await _uv([*sync, "--python", python, lock], staging, index)
        await asyncio.to_thread(_put, made, environment)
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True))


def _put(made: Path, environment: EngineEnvironment) -> None:
    """Into its place. Somebody else's that appeared meanwhile was made from the same lock, and stays."""
    if not environment.is_there:
        shutil.rmtree(environment.folder, ignore_errors=True)
        try:
            made.rename(environment.folder)
        except OSError as error:
            if not environment.is_there:
                raise EngineInstallError(f"{environment.folder} cannot be made: {error.strerror}") from error


async def _uv(arguments: list[str | Path], folder: Path, index: Mapping[str, str]) -> Ended:
    try:
        program = uv.find_uv_bin()
        ended = await run_tool(
            [str(program), *map(str, arguments)],
            environment=index,
            cwd=folder,
            timeout=_INSTALL_SECONDS,
            disk_limit=DiskLimit(folder, _MOST_DISK),
        )
    except FileNotFoundError as error:
        raise EngineInstallError("uv is not installed beside Skillyard; reinstall the package 'uv'") from error
    except ToolError as error:
        raise EngineInstallError(str(error)) from error
    if ended.exit_code != 0:
        raise EngineInstallError(f"uv ended with exit code {ended.exit_code}: {ended.stderr.strip()[-_LONGEST:]}")
    return ended


def _remove_others(environment: EngineEnvironment) -> None:
    for folder in environment.folder.parent.glob(f"{environment.name}-*"):
        if folder != environment.folder:
            shutil.rmtree(folder, ignore_errors=True)


@cache
def _lock(name: str) -> tuple[Path, str, str]:
    """The lock's path, the engine's version in it, and the digest of lock and interpreter version."""
    if name not in INSTALLED_BY_US:
        raise ValueError(f"no such engine: {name}")
    path = LOCKS / f"{name}.txt"
    text = path.read_text(encoding="utf-8")
    version = dict(_PINNED.findall(text))[name]
    python = f"{sys.implementation.cache_tag}\n"
    return path, version, hashlib.sha256((python + text).encode()).hexdigest()
