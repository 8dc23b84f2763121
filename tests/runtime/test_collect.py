"""What nothing needs goes after its grace, what anything needs stays, and the figures are what the disk says."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.governance import audit
from skillyard.runtime.collect import Collected, CollectingError, Collection, Collector
from skillyard.runtime.instance import home_id
from skillyard.runtime.marks import Marks
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.seams import _NoStore
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environments import WheelEnvironments, environment_key
from skillyard.sandbox.guest_code import GuestCode
from skillyard.sandbox.images import REPOSITORY, BaseImages
from skillyard.settings import Settings
from skillyard.times import utcnow
from sqlalchemy import text
from tests.runtime.conftest import Yard, no_containers, open_yard, until

NOW, DAY = timedelta(0), timedelta(days=1)
WRITES = """from pathlib import Path


def run(x: int) -> int:
    Path('left.txt').write_text('left' * 5000)
    return x
"""


@pytest.fixture
async def house(tmp_path: Path, package_cache: Path) -> AsyncIterator[Yard]:
    """A home that shares nothing but what is known of base images: others' packages must not go."""
    home = tmp_path / "home"
    home.mkdir()
    (package_cache / "images").mkdir(exist_ok=True)
    (home / "images").symlink_to(package_cache / "images")
    settings = Settings(home=home, advisories_max_age_days=100_000)
    opened = await open_yard(settings, tmp_path / "skills")
    try:
        yield opened
    finally:
        await opened.runtime.close()
    await no_containers(opened.runtime.engine, settings)
    await opened.runtime.engine.close()


async def installed(house: Yard, name: str, python: str = "iniconfig==2.1.0") -> tuple[Path, Path]:
    """A skill that was called once, and where its environment and bundle are."""
    code = f"import iniconfig\n\n\ndef run(x: int) -> int:\n    return x + len('{name}')\n"
    version = (await house.install(house.skill(code, name=name, python=python))).version
    bot = await house.agent(f"{name}-bot")
    held = await house.invoke(bot, f"acme/{name}")
    if held.approval is not None:
        await house.runtime.approver.approve(held.approval, person=house.second)
    outcome = (await house.invoke(bot, f"acme/{name}")).outcome
    assert outcome.result_json == orjson.dumps(1 + len(name)), outcome
    environment = house.runtime.settings.home / "environments" / "python" / environment_key(version.locks[0])
    return environment, house.runtime.bundles.path(version.skill.bundle.digest)


async def uninstall(house: Yard, name: str) -> None:
    await house.runtime.uninstall(SkillRef("acme", name), workspace=house.admin.workspace, actor=house.admin)
    mine = {"skillyard.instance": home_id(house.runtime.settings.home), "skillyard.skill": f"acme/{name}@1.0.0"}
    async with asyncio.timeout(60):
        while await house.runtime.engine.containers(mine):  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.05)


def settled(bundle: Path) -> None:
    """As if the bundle had been stored an hour ago."""
    hour_ago = bundle.stat().st_mtime - 3600
    os.utime(bundle, (hour_ago, hour_ago))


def by_kind(found: Collection) -> dict[str, Collected]:
    return {one.kind: one for one in found.kinds}


def tree(home: Path) -> dict[str, tuple[int, int]]:
    """Everything on disk but the database and what collecting writes about itself."""
    found = {}
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if not name.startswith(("skillyard.db", "gc/", "gc", "leases/", ".")) and "locks" not in path.parts:
            status = path.lstat()
            found[name] = (status.st_ino, status.st_blocks)
    return found


def on_disk(home: Path) -> int:
    return sum(dict(tree(home).values()).values()) * 512


async def test_what_an_uninstalled_skill_leaves_goes_and_what_others_need_stays(house: Yard) -> None:
    home, collector = house.runtime.settings.home, house.runtime.upkeep.collector
    kept, kept_bundle = await installed(house, "kept")
    gone, gone_bundle = await installed(house, "gone", "iniconfig==2.1.0 pluggy==1.6.0")
    settled(gone_bundle)
    assert by_kind(await collector.collect(grace=NOW))["environments"].removed == ()
    await uninstall(house, "gone")

    before = tree(home)
    foretold = await collector.collect(grace=NOW, dry_run=True)
    assert tree(home) == before
    assert gone.is_dir()
    bytes_before = on_disk(home)
    done = await collector.collect(grace=NOW)
    kinds = by_kind(done)
    assert done.complete
    assert (kinds["environments"].removed, kinds["bundles"].removed) == ((gone.name,), (f"sha256:{gone_bundle.name}",))
    assert len(kinds["wheels"].removed) == 1, "the other wheel is shared"
    assert [(one.kind, one.removed, one.freed_bytes) for one in done.kinds] == [
        (one.kind, one.removed, one.freed_bytes) for one in foretold.kinds
    ]
    assert done.freed_bytes == bytes_before - on_disk(home) > 0
    assert not gone.exists()
    assert not gone_bundle.exists()
    assert kept.is_dir()
    assert kept_bundle.is_dir()
    assert (await house.invoke(await house.agent("third"), "acme/kept")).outcome.result_json == b"5"
    async with house.runtime.database.reading() as session:
        lines = [orjson.loads(line) async for line in audit.export(session, house.admin.workspace)]
    (record,) = [line for line in lines if line["action"] == "garbage.collected"]
    assert orjson.loads(record["payload"])["kinds"]["environments"]["removed"] == 1
    assert (await house.runtime.audit.verify(house.admin.workspace)).broken is None


async def test_the_grace_counts_from_when_nothing_was_first_seen_to_refer_to_it(house: Yard) -> None:
    home, collector = house.runtime.settings.home, house.runtime.upkeep.collector
    gone, _ = await installed(house, "gone")
    await collector.collect(grace=DAY)
    await uninstall(house, "gone")
    for _ in range(2):
        found = by_kind(await collector.collect(grace=DAY))["environments"]
        assert (found.unneeded, found.removed) == (1, ())
    file = home / "gc" / "marks.json"
    marks = Marks.load(file)
    aged = {kind: {name: at - DAY for name, at in since.items()} for kind, since in marks.since.items()}
    Marks(aged, marks.collected_at).save(file)
    assert by_kind(await collector.collect(grace=DAY))["environments"].removed == (gone.name,)
    assert Marks.load(file).since["environments"] == {}


async def test_what_was_needed_again_meanwhile_waits_its_grace_anew(house: Yard) -> None:
    home, collector = house.runtime.settings.home, house.runtime.upkeep.collector
    gone, _ = await installed(house, "gone")
    await uninstall(house, "gone")
    await collector.collect(grace=DAY)
    file = home / "gc" / "marks.json"
    assert set(Marks.load(file).since["environments"]) == {gone.name}
    await house.install(house.folder / "gone-1.0.0" / "gone")
    await collector.collect(grace=DAY)
    assert Marks.load(file).since["environments"] == {}


async def test_marks_that_cannot_be_read_make_the_grace_begin_anew(house: Yard) -> None:
    gone, _ = await installed(house, "gone")
    await uninstall(house, "gone")
    file = house.runtime.settings.home / "gc" / "marks.json"
    file.parent.mkdir()
    file.write_text('{"since": {"environments": ["broken"]}')
    found = by_kind(await house.runtime.upkeep.collector.collect(grace=DAY))["environments"]
    assert (found.unneeded, found.removed) == (1, ())
    assert gone.is_dir()


async def test_a_running_sandbox_keeps_what_it_stands_on_though_its_version_is_gone(house: Yard) -> None:
    """A version that was uninstalled while another process still serves a call of it."""
    environment, bundle = await installed(house, "gone")
    settled(bundle)
    async with house.runtime.database.transaction() as session:
        await session.execute(text("UPDATE skills SET active_version_id = NULL"))
        await session.execute(text("UPDATE skill_versions SET state = 'removed'"))
    found = by_kind(await house.runtime.upkeep.collector.collect(grace=NOW))
    assert [found[kind].removed for kind in ("environments", "wheels", "bundles")] == [(), (), ()]
    assert environment.is_dir()
    assert bundle.is_dir()


async def test_a_bundle_that_somebody_is_about_to_install_stays(house: Yard) -> None:
    _, bundle = await installed(house, "gone")
    await uninstall(house, "gone")
    assert by_kind(await house.runtime.upkeep.collector.collect(grace=NOW))["bundles"].removed == ()
    assert bundle.is_dir()
    settled(bundle)
    await house.install(house.folder / "gone-1.0.0" / "gone")
    await uninstall(house, "gone")
    assert by_kind(await house.runtime.upkeep.collector.collect(grace=NOW))["bundles"].removed == (), (
        "it was stored again"
    )
    assert bundle.is_dir()


async def test_files_of_calls_go_when_their_time_is_over_and_their_rows_say_so(house: Yard) -> None:
    home, collector = house.runtime.settings.home, house.runtime.upkeep.collector
    await house.install(house.skill(WRITES))
    bot = await house.agent("bot")
    old, new = await house.invoke(bot), await house.invoke(bot)
    file = home / "artefacts" / old.id / "left.txt"
    size = file.lstat().st_blocks * 512
    assert size > 0
    async with house.runtime.database.transaction() as session:
        await session.execute(
            text("UPDATE invocation_files SET expires_at = '2001-01-01' WHERE invocation_id = :id"), {"id": old.id}
        )
    ancient = home / "artefacts" / "00000000-0000-4000-8000-000000000000"
    ancient.mkdir()
    (ancient / "unknown").write_bytes(b"x" * 5000)
    os.utime(ancient, (0, 0))
    foretold = by_kind(await collector.collect(grace=DAY, dry_run=True))["artefacts"]
    assert file.is_file()
    done = by_kind(await collector.collect(grace=DAY))["artefacts"]
    assert set(done.removed) == {f"{old.id}/left.txt", ancient.name} == set(foretold.removed)
    assert done.freed_bytes == foretold.freed_bytes
    assert not file.parent.exists()
    assert not ancient.exists()
    assert (home / "artefacts" / new.id / "left.txt").is_file()
    async with house.runtime.database.reading() as session:
        rows = await session.execute(text("SELECT invocation_id, removed_at IS NOT NULL FROM invocation_files"))
        assert {call: bool(gone) for call, gone in rows} == {old.id: True, new.id: False}
    assert by_kind(await collector.collect(grace=DAY))["artefacts"].removed == ()


async def test_a_file_that_was_deleted_before_its_row_was_marked_is_marked_the_next_time(house: Yard) -> None:
    """As after a kill between the two."""
    await house.install(house.skill(WRITES))
    call = await house.invoke(await house.agent("bot"))
    (house.runtime.settings.home / "artefacts" / call.id / "left.txt").unlink()
    async with house.runtime.database.transaction() as session:
        await session.execute(text("UPDATE invocation_files SET expires_at = '2001-01-01'"))
    done = by_kind(await house.runtime.upkeep.collector.collect(grace=DAY))["artefacts"]
    assert (done.removed, done.freed_bytes) == ((f"{call.id}/left.txt",), 0)


async def test_the_folder_of_a_call_that_runs_is_left_alone(house: Yard) -> None:
    await house.install(house.skill(WRITES))
    call = await house.invoke(await house.agent("bot"))
    folder = house.runtime.settings.home / "artefacts" / call.id
    async with house.runtime.database.transaction() as session:
        await session.execute(text("DELETE FROM invocation_files"))
        await session.execute(text("UPDATE invocations SET state = 'accepted', ended_at = NULL"))
    assert by_kind(await house.runtime.upkeep.collector.collect(grace=NOW))["artefacts"].removed == ()
    assert folder.is_dir()
    async with house.runtime.database.transaction() as session:
        await session.execute(text("UPDATE invocations SET state = 'failed', ended_at = started_at"))
    assert by_kind(await house.runtime.upkeep.collector.collect(grace=NOW))["artefacts"].removed == (call.id,)


async def test_without_an_engine_nobody_knows_what_runs_and_so_nothing_goes(house: Yard) -> None:
    environment, _ = await installed(house, "gone")
    await uninstall(house, "gone")
    runtime = house.runtime
    away = Engine(address="unix:///nonexistent/docker.sock")
    collector = Collector(
        home=runtime.settings.home,
        database=runtime.database,
        engine=away,
        bundles=runtime.bundles,
        environments=runtime.seams.environments,
        images=BaseImages(engine=away, settings=runtime.settings),
    )
    found = await collector.collect(grace=NOW)
    assert not found.complete
    assert {one.kind for one in found.kinds if one.skipped is None} == {"artefacts"}
    assert environment.is_dir()


async def test_a_store_that_does_not_say_what_it_keeps_is_said(house: Yard) -> None:
    runtime = house.runtime
    collector = Collector(
        home=runtime.settings.home,
        database=runtime.database,
        engine=runtime.engine,
        bundles=runtime.bundles,
        environments=_NoStore("it did not load"),
        images=BaseImages(engine=runtime.engine, settings=runtime.settings),
    )
    found = by_kind(await collector.collect(grace=NOW))
    assert found["packages"].skipped is not None


async def test_only_one_process_collects_at_a_time(house: Yard) -> None:
    collector = house.runtime.upkeep.collector
    async with collector._only_one():
        with pytest.raises(CollectingError):
            await collector.collect(grace=NOW)
    assert (await collector.collect(grace=NOW)).complete


async def test_an_image_that_no_setting_leads_to_goes_and_the_one_in_force_stays(house: Yard, tmp_path: Path) -> None:
    """A second name of the image stands in for one of an older recipe; only what this home knows is its to remove."""
    runtime = house.runtime
    images = BaseImages(engine=runtime.engine, settings=runtime.settings)
    current = (await images.python_image()).reference
    tag = f"3.11-test-{tmp_path.name[-8:].lower()}-{os.getpid()}"
    await runtime.engine.tag(current, repository=REPOSITORY, tag=tag)
    try:
        found = by_kind(await runtime.upkeep.collector.collect(grace=NOW, dry_run=True))["images"]
        # Containers of whoever else uses this engine may be made of it just now.
        assert found.removed in ((), (f"{REPOSITORY}:{tag}",))
        assert (found.freed_bytes, current in found.removed) == (0, False)
    finally:
        await runtime.engine.remove_image(f"{REPOSITORY}:{tag}")


async def test_a_copy_of_another_releases_guest_goes_unless_a_container_runs_from_it(house: Yard) -> None:
    runtime = house.runtime
    image = await BaseImages(engine=runtime.engine, settings=runtime.settings).python_image()
    await GuestCode(root=runtime.settings.home / "guest", engine=runtime.engine).folder(image)
    (current,) = [one for one in (runtime.settings.home / "guest").iterdir() if len(one.name) == 32]
    older = current.with_name("0" * 32)
    shutil.copytree(current, older)
    (older / "relay.py").chmod(0o644)
    (older / "relay.py").write_text("# of another release")
    container = await runtime.engine.create(
        {"Image": image.reference, "Labels": {"skillyard.instance": home_id(runtime.settings.home)}},
        {"Mounts": [{"Type": "bind", "Source": str(older), "Target": "/opt/guest", "ReadOnly": True}]},
    )
    try:
        found = by_kind(await runtime.upkeep.collector.collect(grace=NOW))["guests"]
        assert (found.removed, older.is_dir()) == ((), True), "a container mounts it"
    finally:
        await runtime.engine.remove(container)
    found = by_kind(await runtime.upkeep.collector.collect(grace=NOW))["guests"]
    assert (found.removed, older.exists(), current.is_dir()) == ((older.name,), False, True)
    assert found.freed_bytes


async def test_a_server_collects_by_itself_when_it_is_time(settings: Settings, tmp_path: Path) -> None:
    house = await open_yard(settings, tmp_path / "skills")
    runtime = house.runtime
    try:
        assert await runtime.upkeep.collector.collected_at() is None
        await runtime.upkeep.collect_if_due()
        first = await runtime.upkeep.collector.collected_at()
        assert first is not None
        await runtime.upkeep.collect_if_due()
        assert await runtime.upkeep.collector.collected_at() == first, "it is not time yet"
        file = settings.home / "gc" / "marks.json"
        Marks(Marks.load(file).since, first - timedelta(hours=settings.gc_period_hours)).save(file)
        await runtime.upkeep.collect_if_due()
        second = await runtime.upkeep.collector.collected_at()
        assert second is not None
        assert first <= second <= utcnow()
    finally:
        await runtime.close()
    async with await create_runtime(settings.model_copy(update={"gc_period_hours": 0.0})) as never:
        Marks({}, None).save(file)
        await never.upkeep.collect_if_due()
        assert await never.upkeep.collector.collected_at() is None


async def test_installing_and_collecting_at_once_never_fails_a_call(house: Yard) -> None:
    """Another skill with the same packages comes and goes while everything unneeded is taken away over and over."""
    rounds = 0

    async def collect() -> None:
        nonlocal rounds
        while True:
            await house.runtime.upkeep.collector.collect(grace=NOW)
            rounds += 1

    await installed(house, "first")
    collecting = asyncio.create_task(collect())
    try:
        for number in range(4):
            name = f"skill-{number}"
            seen = rounds
            await installed(house, name)
            await uninstall_quietly(house, name)
            await until(lambda seen=seen: rounds > seen)
    finally:
        collecting.cancel()
        await asyncio.gather(collecting, return_exceptions=True)
    assert isinstance(house.runtime.seams.environments, WheelEnvironments)
    assert (await house.runtime.seams.environments.verify()).damage == ()


async def uninstall_quietly(house: Yard, name: str) -> None:
    await house.runtime.uninstall(SkillRef("acme", name), workspace=house.admin.workspace, actor=house.admin)
