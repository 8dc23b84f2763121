"""What the first start makes in every home alike, made once a process and copied: it is more than a second of work.

Tests of the first start itself begin with a home that was not furnished, and so do those that ``make accept`` tells.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from skillyard.database import migrate
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.update import ensure_index
from skillyard.times import utcnow

DATABASE = "skillyard.db"


def furnish(home: Path, *, database: bool = True) -> None:
    """Give a home, made if need be, the embedded advisories and a database with the schema of today and nothing in it.

    What is there stays. ``database`` is whether the servers of the home keep their state there; where the whole run has
    them keep it elsewhere (``--servers-on``), they never do.
    """
    home.mkdir(parents=True, exist_ok=True)
    wanted = [index_path(home).name]
    if database and "SKILLYARD_DATABASE_URL" not in os.environ:
        wanted.append(DATABASE)
    for name in wanted:
        if not (home / name).exists():
            shutil.copy(_pattern() / name, home / name)


def forget() -> None:
    """Remove what is copied from; for the end of the process."""
    if _pattern.cache_info().currsize:
        shutil.rmtree(_pattern())
        _pattern.cache_clear()


@cache
def _pattern() -> Path:
    home = Path(tempfile.mkdtemp(prefix="skillyard-tests-"))
    # A thread has no event loop; who asks may be in one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _first_start(home)).result()
    return home


async def _first_start(home: Path) -> None:
    await migrate(f"sqlite+aiosqlite:///{home / DATABASE}")
    await ensure_index(home, now=utcnow())
