"""Ten thousand changes at once: ``python -m benchmarks.burst [--changes N] [--engine sqlite|postgresql]``.

A hub and two followers with live channels, three real servers. Ten writers' transactions of a thousand changes each are
committed to the hub's database one behind the other, as fast as it takes them. The time counts from the first to the
moment at which both mirrors have the hub's digest, which says that nothing is missing.

The hub is written to by another process than the one that serves, so that it has to hear of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from skillyard.database import open_database
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.times import utcnow

from benchmarks.effort import FULL, Effort
from benchmarks.leftovers import prefix
from benchmarks.publish_to_follower import databases, follow, server
from benchmarks.results import Result
from benchmarks.sync_yard import Unindexed, fill

CHANGES = 10_000
_TOGETHER = 1_000
_LOOK_SECONDS = 0.05
_LONGEST = 120.0


async def measure(effort: Effort = FULL) -> Result:
    """Once on each engine."""
    changes = effort.of(CHANGES, least=_TOGETHER)
    sqlite = await asyncio.to_thread(figures, changes, "sqlite")
    postgresql = await asyncio.to_thread(figures, changes, "postgresql")
    return Result(
        name="burst_10000",
        unit="s",
        better="lower",
        ours={
            "p50": sqlite[1],
            "written_within": sqlite[0],
            "postgresql_p50": postgresql[1],
            "postgresql_written_within": postgresql[0],
        },
        peers={},
        floor=None,
        rounds=1,
    )


def figures(changes: int, engine: str) -> tuple[float, float]:
    """Seconds in which the changes were written, and until both followers had them all."""
    with ExitStack() as last_first:
        folder = Path(last_first.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        log = last_first.enter_context((folder / "log").open("w"))
        urls = databases(folder, ("hub", "one", "other"), engine, last_first)
        asyncio.run(fill(urls["hub"], changes))
        hub = last_first.enter_context(server(folder / "hub", urls["hub"], log))
        for name in ("one", "other"):
            follow(last_first.enter_context(server(folder / name, urls[name], log)), hub)
        return asyncio.run(_burst(urls["hub"], (urls["one"], urls["other"]), changes))


async def _burst(hub: str, followers: tuple[str, str], count: int) -> tuple[float, float]:
    database = await open_database(hub)
    async with database.reading() as session:
        own = await store.own(session, at=utcnow())
        skills = await store.with_prefix(session, own.id, EntryKind.SKILL, "publisher-", limit=count)
    changes = []
    for entry in skills:
        document = read_document(SkillDocument, entry.document or "")
        changes.append(Change(entry.id, document.model_copy(update={"description": "Changed in a burst."}).text))
    assert len(changes) == count, "too few skills"
    began = time.perf_counter()
    for begin in range(0, count, _TOGETHER):
        async with database.transaction() as session:
            own = await store.find(session, own.id)
            some = changes[begin : begin + _TOGETHER]
            own, _ = await store.write(session, own, some, projection=Unindexed(), at=utcnow())
    written = time.perf_counter() - began
    await database.close()
    for url in followers:
        await _equal(url, own.digest_hex, own.live)
    return round(written, 2), round(time.perf_counter() - began, 2)


async def _equal(url: str, digest: str, live: int) -> None:
    """Return when a follower's mirror is what the hub has."""
    database = await open_database(url)
    until = time.monotonic() + _LONGEST
    async with database.reading() as session:
        (remote,) = await remote_store.list_remotes(session, None)
    while time.monotonic() < until:
        async with database.reading() as session:
            mirror = await store.find(session, remote.catalogue)
        if (mirror.digest_hex, mirror.live) == (digest, live):
            await database.close()
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"a follower did not come to be equal within {_LONGEST:g} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    written, equal = figures(wanted.changes, wanted.engine)
    said = {"name": "burst", "engine": wanted.engine, "changes": wanted.changes}
    sys.stdout.write(json.dumps({**said, "written_seconds": written, "equal_seconds": equal}) + "\n")


if __name__ == "__main__":
    main()
