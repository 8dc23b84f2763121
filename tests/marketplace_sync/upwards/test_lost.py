"""What a remote took and has lost, because a backup was put back there, goes up again; what was taken away does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.upwards.values import UploadState
from tests.marketplace_sync.world import SIDES, End, World

SKILL = "acme/anvil"


@pytest.fixture
async def world(_migrated_file: Path, advisories: Path) -> AsyncIterator[World]:
    made = World(_migrated_file, advisories)
    await made.begin()
    await made.publish("anvil", "1.0.0")
    for side in SIDES:
        await made.ends[side].sync()
    yield made
    await made.end()


async def rate(end: End, stars: int) -> None:
    await end.uploads.rate("hub", SKILL, stars=stars, by=end.person)
    await end.send()


async def ratings(world: World) -> list[int]:
    found = [one for id_, one in (await world.entries()).items() if id_.kind is EntryKind.RATING and not one.deleted]
    return sorted(orjson.loads(one.document or "")["stars"] for one in found)


async def waiting(end: End) -> int:
    return len(await end.uploads.list(end.by.workspace, state=UploadState.WAITING))


@pytest.mark.parametrize("said", [True, False])
async def test_ratings_that_a_backup_does_not_have_go_up_again(world: World, said: bool) -> None:
    alpha, beta = (world.ends[side] for side in SIDES)
    await rate(alpha, 2)
    backup = await world.back_up()
    await rate(alpha, 5)
    await rate(beta, 4)
    for end in (alpha, beta):
        await end.sync()
    assert await ratings(world) == [4, 5]

    await world.put_back(backup, said=said)
    assert await ratings(world) == [2]
    for end in (alpha, beta):
        await end.sync()
        if not said:
            await end.enable()
            await end.sync()
        await end.send()
    assert await ratings(world) == [4, 5], "the later word of one, and what was lost of the other"
    await alpha.sync()
    assert await waiting(alpha) == 0, "once it is there, nothing of it goes again"


async def test_a_rating_that_was_taken_back_stays_so(world: World) -> None:
    alpha = world.ends["alpha"]
    await rate(alpha, 2)
    backup = await world.back_up()
    await alpha.uploads.unrate("hub", SKILL, by=alpha.person)
    await alpha.send()
    assert await ratings(world) == []
    await world.put_back(backup, said=True)
    await alpha.sync()
    await alpha.send()
    assert await ratings(world) == []


async def test_what_went_with_its_skill_is_not_sent_after_it(world: World) -> None:
    """The skill's name has another life: what was said of the one before is not said of this one."""
    alpha = world.ends["alpha"]
    await rate(alpha, 1)
    await alpha.sync()
    await world.hub.moderate(SKILL, ModerationState.DELETED, "Given up.", by=world.by)
    await alpha.sync()
    backup = await world.back_up()
    await world.hub.moderate(SKILL, ModerationState.VISIBLE, "Another one.", by=world.by)
    await world.publish("anvil", "2.0.0")
    await alpha.sync()
    await world.put_back(backup, said=True)
    await world.hub.moderate(SKILL, ModerationState.VISIBLE, "Another one.", by=world.by)
    await world.publish("anvil", "2.0.0")
    await alpha.sync()
    assert await waiting(alpha) == 0
