"""New advisories reach what is installed already: the version is quarantined, and its next call refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from skillyard.errors import ConflictError
from skillyard.governance import audit, webhook_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.sources import FileSource, Taken
from skillyard.governance.advisories.update import update as update_index
from skillyard.governance.audit import Action
from skillyard.governance.decision import Agent, ApprovalState, SkillState
from skillyard.governance.report import Verdict
from skillyard.governance.tables import WebhookDeliveryRow
from skillyard.governance.waivers.waiver import draft_waiver
from skillyard.governance.webhook import WebhookEvent
from skillyard.runtime import rescan_work, snapshots, store
from skillyard.runtime.events import Event, QuarantineLifted, SkillQuarantined
from skillyard.runtime.rescan import Rescanner
from skillyard.runtime.rescan_work import Unmatched
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.snapshots import Snapshot
from skillyard.runtime.stored import StoredValueError
from skillyard.runtime.tables import AdvisorySnapshotRow, SkillVersionRow, VersionMarkRow
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow
from sqlalchemy import select, update
from tests.runtime.conftest import Yard

HIT = SkillRef("acme", "hit")


@pytest.fixture(autouse=True)
def _nobody_else_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server looks for new data every quarter of a minute, and might be first where a test takes that long."""
    monkeypatch.setattr("skillyard.runtime.rescan.LOOK_SECONDS", 3600.0)


USES_INICONFIG = "import iniconfig\n\n\ndef run(x: int) -> int:\n    return x\n"


def advisory(package: str, *, id_: str = "TEST-2026-1", withdrawn: bool = False) -> dict[str, object]:
    """A made-up record in the OSV schema: every version of a package is affected."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    record: dict[str, object] = {
        "id": id_,
        "modified": now,
        "published": now,
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }
    return {**record, "withdrawn": now} if withdrawn else record


def records(folder: Path, *found: dict[str, object]) -> FileSource:
    file = folder / "new.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in found))
    return FileSource(file)


async def learn(yard: Yard, folder: Path, *found: dict[str, object]) -> tuple[int, tuple[SkillRef, ...]]:
    """New records come into this home's index, and everything is matched against them."""
    await update_index(index_path(yard.runtime.settings.home), records(folder, *found), now=utcnow())
    return await yard.runtime.rescanner.rescan()


async def approved(yard: Yard) -> Agent:
    """A skill that needs a package which a second person has approved, and the agent that asked for it."""
    await yard.install(yard.skill(USES_INICONFIG, name="hit", python="iniconfig==2.1.0"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot, "acme/hit")
    assert held.approval is not None
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    return bot


async def test_a_new_advisory_quarantines_what_it_affects_and_nothing_else(yard: Yard, tmp_path: Path) -> None:
    bot = await approved(yard)
    await yard.install(yard.skill(name="missed"))
    assert (await yard.invoke(bot, "acme/hit")).outcome.state is OutcomeState.SUCCEEDED
    assert (await learn(yard, tmp_path, advisory("iniconfig")))[1] == (SkillRef("acme", "hit", "1.0.0"),)
    hit = await yard.runtime.version(bot.workspace, HIT)
    assert hit.state is SkillState.QUARANTINED
    assert [one.advisory for one in hit.report.findings] == ["TEST-2026-1"]
    refused = await yard.invoke(bot, "acme/hit")
    assert refused.outcome.refusal == {"decision": "denied", "code": "skill_not_active"}
    assert yard.runtime.pool.counts(hit.id).idle == 0
    assert (await yard.invoke(bot, "acme/missed")).outcome.state is OutcomeState.SUCCEEDED


async def test_quarantine_ends_the_approvals_that_did_not_know_and_tells_who_wants_to_be_told(
    yard: Yard, tmp_path: Path
) -> None:
    await approved(yard)
    other = await yard.agent("other")
    heard: list[Event] = []
    yard.runtime.events._sinks = (*yard.runtime.events._sinks, _Ear(heard))
    async with yard.runtime.database.transaction() as session:
        hook, _ = await webhook_store.add(
            session,
            yard.admin.workspace,
            "https://127.0.0.1:9/x",
            [WebhookEvent.SKILL_QUARANTINED],
            origin="https://127.0.0.1:9",
            by=Administrator.of(yard.admin),
            at=utcnow(),
        )
    await yard.install(yard.skill(USES_INICONFIG, name="waits", python="iniconfig==2.1.0 six==1.17.0"))
    waiting = await yard.invoke(other, "acme/waits")
    assert waiting.approval is not None
    await learn(yard, tmp_path, advisory("iniconfig"))
    workspace = yard.admin.workspace
    rules = (await yard.runtime.views.current(workspace)).rules
    assert (Ecosystem.PYPI, "iniconfig") not in rules.by_name
    async with yard.runtime.database.reading() as session:
        actions = [json.loads(line) async for line in audit.export(session, workspace)]
        bodies = await session.scalars(select(WebhookDeliveryRow.body).where(WebhookDeliveryRow.webhook_id == hook.id))
        told = [json.loads(body)["data"] for body in bodies]
    ended = [one for one in actions if one["action"] == Action.PACKAGE_RULE_REVOKED]
    assert len(ended) == 1
    assert "TEST-2026-1" in str(ended[0])
    assert {one["subject"] for one in actions if one["action"] == Action.SKILL_QUARANTINED} == {
        "acme/hit@1.0.0",
        "acme/waits@1.0.0",
    }
    assert {one["skill"] for one in told} == {"acme/hit@1.0.0", "acme/waits@1.0.0"}
    assert {one["findings"][0]["advisory"] for one in told} == {"TEST-2026-1"}
    review = await yard.runtime.reviewer.one(workspace, waiting.approval)
    assert review.request.state is ApprovalState.WITHDRAWN
    assert {one.skill for one in heard if isinstance(one, SkillQuarantined)} == {"acme/hit", "acme/waits"}


async def test_an_unchanged_report_is_not_written_again_and_yet_rests_on_the_new_data(
    yard: Yard, tmp_path: Path
) -> None:
    """Ten thousand reports a day must not be rewritten to say what they said the day before."""
    await yard.install(yard.skill(name="kept", python="iniconfig==2.1.0"))
    kept = SkillRef("acme", "kept")
    before = await yard.runtime.version(yard.admin.workspace, kept)
    file = tmp_path / "all.jsonl"
    file.write_text(json.dumps(advisory("somebody-elses")) + "\n")
    today = utcnow().replace(microsecond=0)
    source = FileSource(file, taken=Taken(data_date=today))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow(), replace=True)
    written = await _stored_report(yard, before)
    assert await yard.runtime.rescanner.rescan() == (1, ())
    after = await yard.runtime.version(yard.admin.workspace, kept)
    assert _data_date(after) == today
    assert _data_date(before) < today
    assert await _stored_report(yard, before) == written


async def test_what_was_not_matched_yet_never_looks_fresh(yard: Yard, tmp_path: Path) -> None:
    """Staleness is what keeps a version from running on old evidence, so it must not go away by itself."""
    await yard.install(yard.skill(name="kept", python="iniconfig==2.1.0"))
    kept = SkillRef("acme", "kept")
    old = _data_date(await yard.runtime.version(yard.admin.workspace, kept))
    file = tmp_path / "all.jsonl"
    file.write_text(json.dumps(advisory("somebody-elses")) + "\n")
    source = FileSource(file, taken=Taken(data_date=utcnow()))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow(), replace=True)
    await _break(yard, "kept", lock_json="{not json")
    with pytest.raises(StoredValueError, match="cannot be read"):
        await yard.runtime.rescanner.rescan()
    assert _data_date(await yard.runtime.version(yard.admin.workspace, kept)) == old


async def test_a_report_that_was_written_anew_is_not_dated_by_an_older_match(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="kept", python="iniconfig==2.1.0"))
    version = await yard.runtime.version(yard.admin.workspace, SkillRef("acme", "kept"))
    source = records(tmp_path, advisory("somebody-elses"))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow())
    await yard.runtime.rescanner.rescan()
    async with yard.runtime.database.transaction() as session:
        await store.set_report(session, version.workspace, version.id, version.report)
        mark = await session.get_one(VersionMarkRow, version.id)
        assert mark.snapshot_id is None


class Overtaken(Rescanner):
    """The real rescanner; while it matches what it read, somebody else does something."""

    meanwhile: Callable[[], Awaitable[object]]

    async def _batch(self, snapshot: Snapshot, after: int) -> tuple[Unmatched, ...]:
        read = await super()._batch(snapshot, after)
        if read:
            await self.meanwhile()
        return read


def overtaken(runtime: Runtime, meanwhile: Callable[[], Awaitable[object]], **given: Any) -> Overtaken:
    made = Overtaken(
        settings=runtime.settings,
        database=runtime.database,
        installer=runtime._installer,
        enforcer=runtime.rescanner._enforcer,
        policy=runtime.policy.scan,
        events=runtime.events,
        lease=runtime.lease,
        **given,
    )
    made.meanwhile = meanwhile
    return made


async def test_a_skill_removed_while_it_is_rescanned_stays_removed(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    source = records(tmp_path, advisory("iniconfig"))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow())

    async def remove() -> None:
        await yard.runtime.uninstall(HIT, workspace=yard.admin.workspace, actor=yard.admin)

    assert (await overtaken(yard.runtime, remove).rescan())[1] == ()
    assert await yard.runtime.skills(yard.admin.workspace) == ()


async def test_a_report_made_meanwhile_is_not_overwritten_by_one_that_did_not_see_it(
    yard: Yard, tmp_path: Path
) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    version = await yard.runtime.version(yard.admin.workspace, HIT)
    source = records(tmp_path, advisory("iniconfig"))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow())

    async def scan_anew() -> None:
        async with yard.runtime.database.transaction() as session:
            await store.set_report(session, version.workspace, version.id, version.report)

    assert (await overtaken(yard.runtime, scan_anew).rescan())[1] == ()
    assert (await yard.runtime.rescanner.rescan())[1] == (SkillRef("acme", "hit", "1.0.0"),)


async def test_a_version_that_cannot_be_matched_does_not_shield_the_others(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="broken", python="iniconfig==2.1.0"))
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0 six==1.17.0"))
    await _break(yard, "broken", lock_json='[{"ecosystem": "pypi"}]')
    with pytest.raises(StoredValueError, match="cannot be read"):
        await learn(yard, tmp_path, advisory("iniconfig"))
    assert await _state(yard, "hit") is SkillState.QUARANTINED


async def test_a_rescan_of_many_versions_does_not_make_calls_decide_again_for_each(yard: Yard, tmp_path: Path) -> None:
    for number in range(5):
        await yard.install(yard.skill(name=f"skill-{number}"))
    await yard.runtime.rescanner.look()
    before = (await yard.runtime.views.current(yard.admin.workspace)).epoch
    assert (await learn(yard, tmp_path, advisory("iniconfig")))[0] == 5
    assert (await yard.runtime.views.current(yard.admin.workspace)).epoch == before + 1


async def test_a_fresh_install_is_matched_without_a_change_that_anybody_hears_of(yard: Yard) -> None:
    await yard.install(yard.skill(name="new", python="iniconfig==2.1.0"))
    before = (await yard.runtime.views.current(yard.admin.workspace)).epoch
    await yard.runtime.rescanner.look()
    assert (await yard.runtime.views.current(yard.admin.workspace)).epoch == before
    assert await _left(yard) == 0


async def test_a_waived_advisory_does_not_quarantine(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    draft = draft_waiver(
        ecosystem="pypi",
        name="iniconfig",
        version="2.1.0",
        advisory="TEST-2026-1",
        reason="We do not reach it.",
        expires_at=utcnow() + timedelta(days=1),
        now=utcnow(),
    )
    await yard.runtime.waivers.add(draft, by=Administrator.of(yard.admin))
    assert (await learn(yard, tmp_path, advisory("iniconfig")))[1] == ()
    assert await _state(yard, "hit") is not SkillState.QUARANTINED


async def test_a_withdrawn_advisory_clears_the_report_and_a_person_lifts_the_quarantine(
    yard: Yard, tmp_path: Path
) -> None:
    bot = await approved(yard)
    await learn(yard, tmp_path, advisory("iniconfig"))
    heard: list[Event] = []
    yard.runtime.events._sinks = (*yard.runtime.events._sinks, _Ear(heard))
    (listed,) = await yard.runtime.quarantine.page(bot.workspace)
    assert (listed.verdict, listed.can_be_lifted) == (Verdict.BLOCK, False)
    named = SkillRef("acme", "hit", "1.0.0")
    with pytest.raises(ConflictError, match="TEST-2026-1"):
        await yard.runtime.quarantine.lift(named, workspace=bot.workspace, by=yard.admin, reason="too early")
    await learn(yard, tmp_path, advisory("iniconfig", withdrawn=True))
    assert await _state(yard, "hit") is SkillState.QUARANTINED
    (listed,) = await yard.runtime.quarantine.page(bot.workspace)
    assert (listed.verdict, listed.can_be_lifted) == (Verdict.PASS, True)
    await yard.runtime.quarantine.lift(named, workspace=bot.workspace, by=yard.admin, reason="it was withdrawn")
    assert [type(one) for one in heard] == [QuarantineLifted]
    held = await yard.invoke(bot, "acme/hit")
    assert held.approval is not None, "its approval ended with the quarantine, and has to be given again"
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    assert (await yard.invoke(bot, "acme/hit")).outcome.state is OutcomeState.SUCCEEDED
    with pytest.raises(ConflictError, match="not in quarantine"):
        await yard.runtime.quarantine.lift(named, workspace=bot.workspace, by=yard.admin, reason="again")


async def test_an_index_that_was_replaced_without_a_rescan_is_noticed(yard: Yard, tmp_path: Path) -> None:
    """Somebody's update was killed between the new file and the rescan."""
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    await yard.runtime.rescanner.look()
    source = records(tmp_path, advisory("iniconfig"))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow())
    await yard.runtime.rescanner.look()
    assert await _state(yard, "hit") is SkillState.QUARANTINED


async def test_a_server_with_older_data_leaves_the_newer_alone(yard: Yard, tmp_path: Path) -> None:
    """Two servers over one database have homes of their own; the one that was not updated must not undo the other."""
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    await learn(yard, tmp_path, advisory("iniconfig"))
    home = tmp_path / "another"
    home.mkdir()
    theirs = yard.runtime.settings.model_copy(update={"home": home, "database_url": yard.runtime.database.url})
    async with await create_runtime(theirs, first_person=False) as other:
        await other.rescanner.look()
        async with other.database.reading() as session:
            now = await snapshots.current(session)
    assert now is not None
    assert await _left(yard) == 0
    assert await _state(yard, "hit") is SkillState.QUARANTINED
    hit = await yard.runtime.version(yard.admin.workspace, HIT)
    assert [one.advisory for one in hit.report.findings] == ["TEST-2026-1"]


async def test_one_process_matches_and_the_other_waits_for_its_end(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    source = records(tmp_path, advisory("iniconfig"))
    await update_index(index_path(yard.runtime.settings.home), source, now=utcnow())
    looks: list[int] = []

    async def another_looks() -> None:
        another = overtaken(yard.runtime, _nothing)
        another._lease = "another-process"
        await another.look()
        looks.append(await _left(yard))

    assert (await overtaken(yard.runtime, another_looks).rescan())[0] == 1
    assert looks == [1], "it kept out while the first had the claim"
    assert await _left(yard) == 0


async def test_a_rescan_that_was_killed_halfway_is_finished_by_another_process(yard: Yard, tmp_path: Path) -> None:
    for number in range(3):
        await yard.install(yard.skill(name=f"hit-{number}", python="iniconfig==2.1.0"))
    await yard.runtime.rescanner.look()
    records(tmp_path, advisory("iniconfig"))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("half_a_rescan.py")), str(tmp_path / "new.jsonl")),
        env={
            **os.environ,
            "SKILLYARD_HOME": str(yard.runtime.settings.home),
            "SKILLYARD_ADVISORIES_MAX_AGE_DAYS": "100000",
            "SKILLYARD_DATABASE_URL": yard.runtime.database.url,
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        async with asyncio.timeout(90):
            said = [line async for line in _until(child.stdout, b"half done")]
        assert said[-1:] == [b"half done\n"], said
    finally:
        child.kill()
        await child.wait()
    assert sorted([await _state(yard, f"hit-{number}") for number in range(3)]) == [
        SkillState.HELD,
        SkillState.HELD,
        SkillState.QUARANTINED,
    ]
    async with yard.runtime.database.transaction() as session:
        # As when the time is over for which its claim stands.
        await session.execute(update(AdvisorySnapshotRow).values(claimed_until=utcnow() - timedelta(seconds=1)))
    await yard.runtime.rescanner.look()
    assert {await _state(yard, f"hit-{number}") for number in range(3)} == {SkillState.QUARANTINED}


async def _until(stream: asyncio.StreamReader, word: bytes) -> AsyncIterator[bytes]:
    """Lines up to the one that begins with a word, or to the end."""
    while line := await stream.readline():
        yield line
        if line.startswith(word):
            return


class _Ear:
    def __init__(self, heard: list[Event]) -> None:
        self._heard = heard

    def publish(self, event: Event) -> None:
        self._heard.append(event)


async def _nothing() -> None: ...


async def _stored_report(yard: Yard, version: InstalledVersion) -> str:
    async with yard.runtime.database.reading() as session:
        return (await session.get_one(SkillVersionRow, version.id)).report_json


async def _state(yard: Yard, name: str) -> SkillState:
    async with yard.runtime.database.reading() as session:
        row = await store.need_version(session, yard.admin.workspace, SkillRef("acme", name))
        return row.state


async def _left(yard: Yard) -> int:
    async with yard.runtime.database.reading() as session:
        now = await snapshots.current(session)
        assert now is not None
        return await rescan_work.count_unmatched(session, now)


async def _break(yard: Yard, name: str, **values: str) -> None:
    async with yard.runtime.database.transaction() as session:
        row = await store.need_version(session, yard.admin.workspace, SkillRef("acme", name))
        await session.execute(update(SkillVersionRow).where(SkillVersionRow.id == row.id).values(**values))


def _data_date(version: InstalledVersion) -> datetime:
    (one,) = [one.data_date for one in version.report.evidence if one.scanner == "advisories"]
    assert one is not None
    return one
