"""A follower whose process is killed anywhere goes on from there, and ends with the same mirror."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta
from pathlib import Path

from skillyard.governance.decision import SkillState
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.times import utcnow
from tests.marketplace_sync.follower.hubs import (
    Here,
    Hub,
    bundle_of,
    gone,
    install,
    moderation,
    publisher,
    rating,
    require_sound,
    skill,
    state_of,
    version,
)

ROOT = Path(__file__).parents[3]


async def followed(here: Here, hub: Hub, home: Path, *, moment: int) -> bool:
    """Run a follower in a process of its own; whether it got to the head before its moment came."""
    orders = {
        "hub": hub.database.url,
        "here": here.database.url,
        "home": str(home),
        "remote": here.remote.id,
        "moment": moment,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.marketplace_sync.follower.killed",
        json.dumps(orders),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    await process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    await require_sound(here)
    return process.returncode == 0


async def test_killed_at_one_moment_after_another(hub: Hub, here: Here, tmp_path: Path) -> None:
    names = [f"acme/s{number}" for number in range(10)]
    await hub.write(publisher("acme"), *map(skill, names), *(version(f"{name}@1.0.0") for name in names))
    revoked = await install(here, bundle=bundle_of("acme/s7@1.0.0"))
    # Each run is killed a little later than the one before, at another step: before a page, before and after a write.
    for moment in (3, 4, 8):
        assert not await followed(here, hub, tmp_path / "hub", moment=moment)
    assert (await here.sync()).equal

    await hub.write(gone(skill(names[1])), skill(names[2], "Changed."), rating(names[3]))
    await hub.write(moderation("acme/s7@1.0.0", ModerationState.REVOKED))
    async with hub.database.transaction() as session:
        own = await store.own(session, at=utcnow())
        await store.purge(session, own, deleted_before=utcnow() + timedelta(seconds=1))
    # Now everything is read again over what is there.
    for moment in (3, 9):
        assert not await followed(here, hub, tmp_path / "hub", moment=moment)
        assert len(await here.keys()) >= 20
    assert (await here.sync()).equal
    assert await state_of(here, revoked) is SkillState.REVOKED
    assert (await here.catalogue()).digest_hex == (await hub.catalogue()).digest_hex
