"""The first stages on their own, for whoever is making a skill: parse, resolve, scan. Nothing is installed or decided.

Needs neither the database nor an engine; keeps caches and the advisory index in the home folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from skillyard.database import utcnow
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.report import Report
from skillyard.governance.scan import ScanPolicy, scan
from skillyard.governance.scanner import ScanTarget
from skillyard.runtime.install import resolve, staged
from skillyard.runtime.instance import take_lease
from skillyard.runtime.seams import load_seams
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source


@dataclass(frozen=True, slots=True)
class Examined:
    """A skill, its closure, and what scanning both found."""

    skill: Skill
    locks: tuple[Lock, ...]
    report: Report


async def read(settings: Settings, source: Source, *, mode: ParseMode, on_progress: ProgressSink = silent) -> Skill:
    """Fetch and parse. Raises what fetching and parsing raise."""
    async with _read(settings, source, mode, on_progress) as (_folder, skill):
        return skill


async def lock(
    settings: Settings, source: Source, *, mode: ParseMode, on_progress: ProgressSink = silent
) -> tuple[Skill, tuple[Lock, ...]]:
    """Fetch, parse and resolve: a lock for each ecosystem the skill declares packages of."""
    async with _read(settings, source, mode, on_progress) as (_folder, skill):
        seams = await asyncio.to_thread(load_seams, settings)
        on_progress(Progress("resolving its packages", 0, None))
        return skill, await resolve(skill, seams.resolvers, base_target())


async def examine(
    settings: Settings, source: Source, *, mode: ParseMode, policy: ScanPolicy, on_progress: ProgressSink = silent
) -> Examined:
    """Fetch, parse, resolve and scan. A bad verdict is an answer here, not an error."""
    async with _read(settings, source, mode, on_progress) as (folder, skill):
        await ensure_index(settings.home, now=utcnow())
        seams = await asyncio.to_thread(load_seams, settings)
        on_progress(Progress("resolving its packages", 0, None))
        locks = await resolve(skill, seams.resolvers, base_target())
        on_progress(Progress("scanning skill and packages", 0, None))
        target = ScanTarget(skill=skill, locks=locks, folder=folder)
        report = await scan(target, seams.scanners, policy=policy, now=utcnow(), missing=seams.missing_scanners)
        return Examined(skill, locks, report)


@asynccontextmanager
async def _read(
    settings: Settings, source: Source, mode: ParseMode, on_progress: ProgressSink
) -> AsyncIterator[tuple[Path, Skill]]:
    """The staged folder and the skill in it, for as long as the block lasts."""
    await asyncio.to_thread(settings.home.mkdir, parents=True, exist_ok=True)
    lease = take_lease(settings.home)
    try:
        async with staged(settings.home / "staging", lease.id) as folder:
            on_progress(Progress("reading the skill", 0, None))
            fetched = await source.fetch(folder)
            yield fetched.folder, await asyncio.to_thread(parse_skill, fetched.folder, mode)
    finally:
        lease.release()
