"""What is told of installs and calls is what happened, as totals, and nothing at all unless it is wanted."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from pathlib import Path

import orjson
import pytest
from skillyard.database import Database, Session
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import ActorKind, Person
from skillyard.marketplace_sync.catalogue.entry import EntryKind
from skillyard.marketplace_sync.upwards.counting import SETTLING_SECONDS, swept
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationRow, PointerMoveRow, SkillRow, SkillVersionRow
from skillyard.sandbox.gate import Gate
from skillyard.skills.bundle import make_bundle
from skillyard.skills.bundle_store import BundleStore
from skillyard.times import utcnow
from tests.marketplace_sync.upwards.conftest import SKILL, EmptyBench, Outpost, add_remote, outpost_of


async def installed(session: Session, admin: Person, origin: str, *, name: str, version: str, calls: int) -> None:
    """A version that was put in use and called."""
    now = utcnow()
    skill = SkillRow(workspace_id=admin.workspace, publisher="acme", name=name, created_at=now)
    session.add(skill)
    await session.flush()
    row = SkillVersionRow(
        workspace_id=admin.workspace,
        skill_id=skill.id,
        version=version,
        bundle_digest="sha256:" + "0" * 64,
        bundle_bytes=1,
        lock_digest="sha256:" + "0" * 64,
        lock_json="[]",
        report_json="{}",
        skill_json="{}",
        state=SkillState.ACTIVE,
        origin=origin,
        installed_at=now,
    )
    session.add(row)
    await session.flush()
    for _ in range(2):
        move = PointerMoveRow(
            workspace_id=admin.workspace,
            skill_id=skill.id,
            to_version_id=row.id,
            at=now,
            actor_kind=ActorKind.SYSTEM,
        )
        session.add(move)
    for _ in range(calls):
        call = InvocationRow(
            id=str(uuid.uuid4()),
            workspace_id=admin.workspace,
            person_id=admin.id,
            skill_version_id=row.id,
            entry="run",
            epoch=1,
            instance_id="here",
            state=InvocationState.SUCCEEDED,
            started_at=now,
            ended_at=now,
        )
        session.add(call)
    await session.flush()


@pytest.fixture
async def busy(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        await installed(session, admin, f"remote:hub/{SKILL}@1.0.0", name="csv-report", version="1.0.0", calls=3)
        await installed(session, admin, "remote:hub-two/acme/other@1.0.0", name="other", version="1.0.0", calls=1)
        await installed(session, admin, "/srv/skills/mine", name="mine", version="1.0.0", calls=1)


async def made(database: Database, admin: Person, home: Path, *, share: bool) -> Outpost:
    remote = await add_remote(database, admin)
    return outpost_of(database, remote, admin, home, bench=EmptyBench(home), marketplace_share_counts=share)


@pytest.mark.usefixtures("busy")
async def test_totals_of_that_remotes_skills_go_up_once(database: Database, admin: Person, tmp_path: Path) -> None:
    outpost = await made(database, admin, tmp_path / "home", share=True)
    assert await outpost.uploads.enqueue_counts(outpost.remote) == 1
    await outpost.send()
    (counts,) = [one for one in outpost.market.entries.values() if one.id.kind is EntryKind.COUNTS]
    document = orjson.loads(str(counts.document))
    assert (counts.id.key.partition("#")[0], document["installs"], document["calls"]) == (SKILL, 1, 3)
    assert await outpost.uploads.enqueue_counts(outpost.remote) == 0


@pytest.mark.usefixtures("busy")
async def test_nothing_is_told_unless_it_is_wanted(database: Database, admin: Person, tmp_path: Path) -> None:
    outpost = await made(database, admin, tmp_path / "home", share=False)
    assert await outpost.uploads.enqueue_counts(outpost.remote) == 0
    assert await outpost.uploads.list(admin.workspace) == ()


async def test_a_bundle_that_is_being_put_again_stays_and_one_that_nothing_waits_for_goes(tmp_path: Path) -> None:
    """An upload that is written down a moment later would have no files to send."""
    outgoing = BundleStore(tmp_path / "outgoing")
    kept: dict[str, Path] = {}
    for name in ("needed", "again"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: A skill.\n---\n")
        bundle = make_bundle(tmp_path / name)
        kept[bundle.digest] = outgoing.put(tmp_path / name, bundle)
        os.utime(kept[bundle.digest], (time.time() - 2 * SETTLING_SECONDS,) * 2)
    needed, again = kept
    async with Gate(outgoing.gate).inside():
        sweeping = asyncio.create_task(swept(outgoing, {needed}))
        await asyncio.sleep(0.3)
        os.utime(kept[again])
    assert await sweeping == 0
    assert kept[again].is_dir()
    os.utime(kept[again], (time.time() - 2 * SETTLING_SECONDS,) * 2)
    assert await swept(outgoing, {needed}) == 1
    assert [place.is_dir() for place in kept.values()] == [True, False]
