"""A skill's lock and report for whoever is making it. Nothing is installed or decided.

Needs neither the database nor an engine; keeps caches and the advisory index in the home folder.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from skillyard.database import utcnow
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.report import Report
from skillyard.governance.scan import ScanPolicy, scan
from skillyard.governance.scanner import ScanTarget
from skillyard.runtime.seams import load_seams
from skillyard.runtime.stages import read, resolve
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source


@dataclass(frozen=True, slots=True)
class Examined:
    """A skill, its closure, and what scanning both found."""

    skill: Skill
    locks: tuple[Lock, ...]
    report: Report


async def lock(
    settings: Settings, source: Source, *, mode: ParseMode, on_progress: ProgressSink = silent
) -> tuple[Skill, tuple[Lock, ...]]:
    """Fetch, parse and resolve: a lock for each ecosystem the skill declares packages of."""
    async with read(source, home=settings.home, mode=mode, on_progress=on_progress) as (_folder, skill):
        seams = await asyncio.to_thread(load_seams, settings)
        on_progress(Progress("resolving its packages", 0, None))
        return skill, await resolve(skill, seams.resolvers, base_target(), on_progress)


async def examine(
    settings: Settings, source: Source, *, mode: ParseMode, policy: ScanPolicy, on_progress: ProgressSink = silent
) -> Examined:
    """Fetch, parse, resolve and scan. A bad verdict is an answer here, not an error."""
    async with read(source, home=settings.home, mode=mode, on_progress=on_progress) as (folder, skill):
        await ensure_index(settings.home, now=utcnow())
        seams = await asyncio.to_thread(load_seams, settings)
        on_progress(Progress("resolving its packages", 0, None))
        locks = await resolve(skill, seams.resolvers, base_target(), on_progress)
        on_progress(Progress("scanning skill and packages", 0, None))
        target = ScanTarget(skill=skill, locks=locks, folder=folder)
        report = await scan(target, seams.scanners, policy=policy, now=utcnow(), missing=seams.missing_scanners)
        return Examined(skill, locks, report)
