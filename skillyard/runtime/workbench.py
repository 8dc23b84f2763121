"""A skill's lock and report for whoever is making it. Nothing is installed or decided.

Needs neither the database nor an engine; keeps caches and the advisory index in the home folder.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.report import Report
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import ScanTarget
from skillyard.runtime.seams import load_seams
from skillyard.runtime.stages import read, resolve
from skillyard.runtime.subject import subject
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.images import base_target
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.times import utcnow


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


async def examine(settings: Settings, path: str, *, policy: ScanPolicy, on_progress: ProgressSink = silent) -> Examined:
    """Scan whatever is at a path, a skill or not; nothing is installed. A bad verdict is an answer here, not an error.

    Raises ``SourceSpecError`` where there is nothing.
    """
    await ensure_index(settings.home, now=utcnow())
    seams = await asyncio.to_thread(load_seams, settings)
    on_progress(Progress("reading its files", 0, None))

    async def locked(skill: Skill) -> tuple[Lock, ...]:
        on_progress(Progress("resolving its packages", 0, None))
        return await resolve(skill, seams.resolvers, base_target(), on_progress)

    async with subject(
        path,
        home=settings.home,
        environment=settings.tool_environment,
        target=base_target(),
        resolve=locked,
    ) as found:
        on_progress(Progress("scanning files and packages", 0, None))
        target = ScanTarget(skill=found.skill, locks=found.locks, folder=found.folder)
        missing = (*found.gaps, *seams.missing_scanners)
        report = await scan(target, seams.scanners, policy=policy, now=utcnow(), missing=missing)
        return Examined(found.skill, found.locks, report)
