"""Fetching one wheel from the index, or from where it was built, into a folder, by its hash, with uv.

uv gets a cache of its own for every fetch, inside the staging folder: its shared cache trusts what it once unpacked, so
a damaged entry would be installed again and again without a word. A private one also bounds what a hostile archive can
unpack to, because all that uv writes is in one folder that is watched.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from skillyard.errors import SkillyardError
from skillyard.sandbox.errors import DiskFullError, ResolverUnavailableError, WheelError
from skillyard.sandbox.folders import Place, disk_full_named, remove_folder
from skillyard.sandbox.index import PackageIndex, uv_program
from skillyard.sandbox.record import StoredFile, verify_unpacked
from skillyard.sandbox.resolvers.uv_errors import says_full, says_unreachable
from skillyard.skills.lock import Target, exact_pin
from skillyard.subprocesses.tools import DiskLimit, ToolDiskError, ToolError, run_tool

_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class WantedWheel:
    """One wheel. ``sha256`` is the archive's, 64 hex digits; ``size`` in bytes where known.

    ``archive`` is the file of a wheel that was built here; others come from the index.
    """

    name: str
    version: str
    filename: str
    sha256: str
    size: int | None
    archive: Path | None = None


@dataclass(frozen=True, slots=True)
class WheelLimits:
    """What one wheel may be: bytes of the archive, and files and bytes that it unpacks to."""

    archive_bytes: int = 2048 * _MIB
    unpacked_bytes: int = 6144 * _MIB
    files: int = 100_000


class WheelFetcher:
    """Fetches and verifies; at most ``concurrency`` downloads at once over all callers."""

    def __init__(self, *, index: PackageIndex, limits: WheelLimits | None = None, concurrency: int = 4) -> None:
        self._index = index
        self._limits = limits or WheelLimits()
        self._slots = asyncio.Semaphore(concurrency)

    async def fetch(self, wheel: WantedWheel, target: Target, place: Place, into: Path) -> tuple[StoredFile, ...]:
        """Unpack ``wheel`` into the new folder ``into`` below ``place``; its files, verified.

        A wheel that does not verify is fetched once more, in case the transfer or the disk was at fault.
        Raises ``WheelError``, ``DiskFullError`` or ``ResolverUnavailableError``.
        """
        if wheel.size is not None and wheel.size > self._limits.archive_bytes:
            raise WheelError(f"{wheel.filename} has {wheel.size} bytes; at most {self._limits.archive_bytes} are taken")
        async with self._slots:
            try:
                return await self._attempt(wheel, target, place, into)
            except WheelError:
                await asyncio.to_thread(remove_folder, into)
                return await self._attempt(wheel, target, place, into)

    async def _attempt(self, wheel: WantedWheel, target: Target, place: Place, into: Path) -> tuple[StoredFile, ...]:
        work = place.path / f"fetch-{wheel.sha256}"
        with disk_full_named(place.path):
            await asyncio.to_thread(work.mkdir)
        try:
            await self._install(wheel, target, place, into, work)
            limits = self._limits
            return await asyncio.to_thread(
                verify_unpacked, into, most_files=limits.files, most_bytes=limits.unpacked_bytes
            )
        except WheelError as error:
            raise WheelError(f"{wheel.name} {wheel.version}: {error}") from error
        finally:
            await asyncio.shield(asyncio.to_thread(remove_folder, work))

    async def _install(self, wheel: WantedWheel, target: Target, place: Place, into: Path, work: Path) -> None:
        requirement = f"{exact_pin(wheel.name, wheel.version)} --hash=sha256:{wheel.sha256}\n"
        with disk_full_named(place.path):
            await asyncio.to_thread((work / "wheel.txt").write_text, requirement, encoding="utf-8")
        command = [
            *(uv_program(), "pip", "install", "--quiet", "--no-config", "--no-deps", "--no-sources"),
            *("--only-binary", ":all:", "--require-hashes", "--no-compile-bytecode", "--link-mode", "hardlink"),
            *("--python", sys.executable, "--python-version", target.python, "--python-platform", target.platform),
            *(("--no-index", "--find-links", str(wheel.archive.parent)) if wheel.archive else ()),
            *("--target", str(into), "-r", "wheel.txt"),
        ]
        try:
            ended = await run_tool(
                command,
                environment={**self._index.uv_environment(work / "cache"), "TMPDIR": str(work)},
                cwd=work,
                timeout=self._index.timeout,
                disk_limit=DiskLimit(work, self._limits.archive_bytes + self._limits.unpacked_bytes),
                file_limit=self._limits.unpacked_bytes,
                keep_open=[place.lock],
            )
        except ToolDiskError as error:
            raise WheelError(f"{wheel.filename} unpacks to more than is allowed") from error
        except ToolError as error:
            raise ResolverUnavailableError(f"{wheel.filename} could not be fetched: {error}") from error
        if ended.exit_code != 0:
            raise _failure(self._index.scrub(ended.stderr), ended.exit_code, wheel, place)


def _failure(text: str, exit_code: int, wheel: WantedWheel, place: Place) -> SkillyardError:
    """A download that failed: the disk, the index, or the wheel itself."""
    if says_full(text):
        return DiskFullError(f"no space is left in {place.path.parent}")
    if "Hash mismatch" in text:
        holder = "what was built as" if wheel.archive else "what the index has as"
        return WheelError(f"{holder} {wheel.filename} does not match the hash in the lock")
    if says_unreachable(text):
        return ResolverUnavailableError(f"{wheel.filename} could not be fetched: {text}")
    return WheelError(f"{wheel.filename} could not be installed: {text or f'uv ended with exit code {exit_code}'}")
