"""The stages before a report, each on its own: stage a skill's files, parse them, resolve what they declare.

Needs neither the database nor an engine, and imports neither: commands that only read a skill start in half the time.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from skillyard.errors import NotFoundError
from skillyard.runtime.instance import take_lease
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.resolver import Resolver
from skillyard.skills.lock import Lock, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem, ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.threads import taken


@asynccontextmanager
async def read(
    source: Source, *, home: Path, mode: ParseMode, on_progress: ProgressSink = silent
) -> AsyncIterator[tuple[Path, Skill]]:
    """The staged folder and the skill in it, for as long as the block lasts. Raises what fetching and parsing raise."""
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    lease = take_lease(home)
    try:
        async with staged(home / "staging", lease.id) as folder:
            on_progress(Progress("reading the skill", 0, None))
            fetched = await source.fetch(folder)
            yield fetched.folder, await asyncio.to_thread(parse_skill, fetched.folder, mode)
    finally:
        lease.release()


async def resolve(
    skill: Skill, resolvers: Mapping[Ecosystem, Resolver], target: Target, on_progress: ProgressSink = silent
) -> tuple[Lock, ...]:
    """One lock for each ecosystem the skill declares packages of; raises what its resolver raises."""
    locks = []
    for ecosystem in Ecosystem:
        declared = tuple(package for package in skill.declared if package.ecosystem is ecosystem)
        if not declared:
            continue
        resolver = resolvers.get(ecosystem)
        if resolver is None:
            raise NotFoundError(f"no resolver for {ecosystem.value} packages is installed")
        locks.append(await resolver.resolve(declared, target, on_progress))
    return tuple(locks)


@asynccontextmanager
async def staged(staging: Path, lease: str) -> AsyncIterator[Path]:
    """An empty folder that goes when the block ends, or at the next start if this process dies (see ``reconcile``)."""
    await asyncio.to_thread(staging.mkdir, parents=True, exist_ok=True)
    making = partial(tempfile.mkdtemp, prefix=f"{lease}.", dir=staging)
    folder = Path(await taken(making, shutil.rmtree))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))
