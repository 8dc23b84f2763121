"""Hot swap: calls in flight end, a broken version never takes the pointer, rolling back is the same move."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from pydantic import SecretStr
from skillyard.errors import ConflictError, NotFoundError, SkillyardError
from skillyard.governance.decision import Maturity
from skillyard.runtime.errors import NothingToRollBackError
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.errors import HealthError
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.errors import SkillError
from skillyard.skills.sources.folder import FolderSource
from tests.runtime.conftest import UNTIL_LET_GO, Yard, let_go, open_yard, until

REF = SkillRef("acme", "adder")
ADD_TEN = "def run(x: int) -> int:\n    return x + 10\n"
NEW = "def run(x: float) -> str:\n    return 'new'\n"


async def test_an_upgrade_takes_over_and_a_rollback_brings_the_old_back(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    swap = await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))
    assert (swap.moved, swap.old, swap.new) == (True, "1.0.0", "2.0.0")
    assert (await yard.invoke(bot)).outcome.result_json == b"11"
    back = await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin)
    assert (back.moved, back.new) == (True, "1.0.0")
    assert (await yard.invoke(bot)).outcome.result_json == b"2"


async def test_a_pinned_version_keeps_working_beside_the_new_one(yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))
    bot = await yard.agent("bot")
    assert (await yard.invoke(bot, "acme/adder@1.0.0")).outcome.result_json == b"2"
    assert (await yard.invoke(bot)).outcome.result_json == b"11"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param("import nowhere_to_be_found\n\n\ndef run() -> None: ...\n", "nowhere_to_be_found", id="import"),
        pytest.param("def run() -> None: ...\n\n\ndel run\n", "run", id="entry"),
        pytest.param("def run() -> None: ...\n\n\n1 / 0\n", "ZeroDivisionError", id="raises"),
    ],
)
async def test_a_version_that_fails_its_check_never_takes_the_pointer(yard: Yard, code: str, why: str) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    with pytest.raises(HealthError, match=why):
        await yard.upgrade(yard.skill(code, version="2.0.0"))
    assert (await yard.runtime.version(yard.admin.workspace, REF)).version == "1.0.0"
    assert (await yard.invoke(bot)).outcome.result_json == b"2"


@pytest.mark.parametrize("code", ["def runn() -> None: ...\n", "def run( -> None: ...\n"], ids=["entry", "syntax"])
async def test_a_version_that_does_not_parse_is_not_even_stored(yard: Yard, code: str) -> None:
    await yard.install(yard.skill())
    with pytest.raises(SkillError, match=r"main\.py"):
        await yard.upgrade(yard.skill(code, version="2.0.0"))
    (stored,) = await yard.runtime.skills(yard.admin.workspace)
    assert [version.version for version in stored.versions] == ["1.0.0"]


async def test_a_version_with_unapproved_packages_is_stored_and_does_not_take_the_pointer(yard: Yard) -> None:
    await yard.install(yard.skill())
    swap = await yard.upgrade(yard.skill(version="2.0.0", python="iniconfig==2.1.0"))
    assert not swap.moved
    assert "iniconfig==2.1.0" in (swap.reason or "")
    assert (await yard.runtime.version(yard.admin.workspace, REF)).version == "1.0.0"


async def test_an_upgrade_keeps_the_lock_while_the_same_packages_are_declared(
    settings: Settings, tmp_path: Path
) -> None:
    """An index that is gone is noticed only where something has to be resolved."""
    yard = await open_yard(settings, tmp_path / "skills")
    async with yard.runtime:
        first = await yard.install(yard.skill(python="iniconfig>=2"))
    away = settings.model_copy(update={"index_url": SecretStr("http://127.0.0.1:9/simple"), "index_timeout": 20.0})
    async with await create_runtime(away) as runtime:
        yard.runtime = runtime
        swap = await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0", python="iniconfig>=2"))
        kept = await runtime.version(yard.admin.workspace, SkillRef("acme", "adder", swap.new))
        assert kept.lock_digest == first.version.lock_digest
        with pytest.raises(SkillyardError):
            await yard.upgrade(yard.skill(ADD_TEN, version="3.0.0", python="iniconfig>=2.0.1"))
        with pytest.raises(SkillyardError):
            await runtime.upgrade(
                FolderSource(yard.skill(ADD_TEN, version="4.0.0", python="iniconfig>=2")),
                workspace=yard.admin.workspace,
                publisher="acme",
                actor=yard.admin,
                relock=True,
            )


async def test_a_call_in_flight_ends_in_the_old_version(yard: Yard) -> None:
    old_one = await yard.install(yard.skill(UNTIL_LET_GO))
    bot = await yard.agent("bot")
    await yard.invoke(bot, given={"x": 0})
    flying = asyncio.create_task(yard.invoke(bot, given={"x": -1}))
    await until(lambda: yard.runtime.pool.counts().busy > 0)
    await yard.upgrade(yard.skill(NEW, version="2.0.0"))
    new = await yard.invoke(bot, given={"x": 0})
    assert not flying.done()
    let_go(yard.bundle(old_one))
    old = await flying
    assert (new.outcome.result_json, old.outcome.result_json) == (b'"new"', b"-1")


async def test_no_call_is_lost_while_versions_swap_back_and_forth(yard: Yard) -> None:
    await yard.install(yard.skill())
    bot = await yard.agent("bot")
    results: list[int] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            done = await yard.invoke(bot)
            assert done.outcome.state is OutcomeState.SUCCEEDED, done.outcome
            results.append(orjson.loads(done.outcome.result_json or b"null"))

    callers = [asyncio.create_task(caller()) for _ in range(3)]
    await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))
    await until(lambda: 11 in results)
    await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin)
    seen = len(results)
    await until(lambda: len(results) >= seen + 20)
    stop.set()
    await asyncio.gather(*callers)
    assert set(results) == {2, 11}
    assert (await yard.invoke(bot)).outcome.result_json == b"2"


async def test_rolling_back_without_an_earlier_version_says_so(yard: Yard) -> None:
    await yard.install(yard.skill())
    with pytest.raises(NothingToRollBackError):
        await yard.runtime.rollback(REF, workspace=yard.admin.workspace, actor=yard.admin)


async def test_two_upgrades_at_once_leave_one_clear_winner(yard: Yard) -> None:
    await yard.install(yard.skill())
    done = await asyncio.gather(
        yard.upgrade(yard.skill(ADD_TEN, version="2.0.0")),
        yard.upgrade(yard.skill(ADD_TEN, version="3.0.0")),
        return_exceptions=True,
    )
    refused = [one for one in done if isinstance(one, BaseException)]
    assert all(isinstance(one, ConflictError) for one in refused)
    active = (await yard.runtime.version(yard.admin.workspace, REF)).version
    assert active in [one.new for one in done if not isinstance(one, BaseException)]


async def test_a_removed_skill_is_gone_and_can_be_installed_again(yard: Yard) -> None:
    folder = yard.skill()
    await yard.install(folder)
    bot = await yard.agent("bot", Maturity.SUPERVISED)
    await yard.invoke(bot)
    await yard.runtime.uninstall(REF, workspace=yard.admin.workspace, actor=yard.admin)
    with pytest.raises(NotFoundError):
        await yard.invoke(bot)
    assert (await yard.install(folder)).active
    assert (await yard.invoke(bot)).outcome.result_json == b"2"


async def test_the_active_version_cannot_be_pulled_away_from_under_the_others(yard: Yard) -> None:
    await yard.install(yard.skill())
    await yard.upgrade(yard.skill(ADD_TEN, version="2.0.0"))
    with pytest.raises(ConflictError, match="roll back first"):
        await yard.runtime.uninstall(
            SkillRef("acme", "adder", "2.0.0"), workspace=yard.admin.workspace, actor=yard.admin
        )
