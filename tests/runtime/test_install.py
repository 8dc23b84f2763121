"""Installing: a version is stored whole or not at all, and never silently replaced."""

from __future__ import annotations

import asyncio

import pytest
from skillyard.governance.administrators import Administrator
from skillyard.governance.advisories.index import index_path
from skillyard.governance.decision import SkillState
from skillyard.governance.report import Verdict
from skillyard.governance.rules import draft_ban
from skillyard.runtime.errors import (
    AlreadyInstalledError,
    DecisionRefusedError,
    ReportRefusedError,
    VersionExistsError,
)
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.errors import ResolveError
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.runtime.conftest import Yard


async def test_a_skill_without_packages_is_active_at_once(yard: Yard) -> None:
    done = await yard.install(yard.skill())
    assert (done.created, done.active, done.version.state) == (True, True, SkillState.ACTIVE)
    assert done.version.report.verdict is Verdict.PASS


async def test_a_skill_with_unapproved_packages_is_held_and_names_them(yard: Yard) -> None:
    done = await yard.install(yard.skill(python="iniconfig==2.1.0"))
    assert done.version.state is SkillState.HELD
    assert [str(package) for package in done.unapproved] == ["iniconfig==2.1.0"]


async def test_installing_the_same_content_again_changes_nothing(yard: Yard) -> None:
    folder = yard.skill()
    first, again = await yard.install(folder), await yard.install(folder)
    assert not again.created
    assert again.version == first.version


async def test_other_content_under_the_same_version_is_refused(yard: Yard) -> None:
    folder = yard.skill()
    await yard.install(folder)
    (folder / "scripts" / "main.py").write_text("def run(x: int) -> int:\n    return x + 2\n")
    with pytest.raises(VersionExistsError, match="a version never changes"):
        await yard.install(folder)


async def test_a_second_version_needs_an_upgrade(yard: Yard) -> None:
    await yard.install(yard.skill())
    with pytest.raises(AlreadyInstalledError, match="use upgrade"):
        await yard.install(yard.skill(version="2.0.0"))


async def test_a_vulnerable_lock_is_refused_with_package_and_advisory_and_leaves_nothing(yard: Yard) -> None:
    with pytest.raises(ReportRefusedError, match=r"jinja2==2\.10 .*PYSEC-") as refused:
        await yard.install(yard.skill(python="jinja2==2.10"))
    assert refused.value.report.verdict is Verdict.BLOCK
    assert await yard.runtime.skills(yard.admin.workspace) == ()


async def test_an_index_that_is_too_old_never_installs(settings: Settings, yard: Yard) -> None:
    await yard.runtime.close()
    async with await create_runtime(settings.model_copy(update={"advisories_max_age_days": 1.0})) as runtime:
        strict = Yard(runtime, yard.admin, yard.second, yard.folder)
        with pytest.raises(ReportRefusedError) as refused:
            await strict.install(yard.skill(python="iniconfig==2.1.0"))
    assert refused.value.report.verdict is Verdict.INDETERMINATE
    assert "days old" in refused.value.report.reasons[0]


async def test_a_missing_index_never_installs(yard: Yard) -> None:
    index_path(yard.runtime.settings.home).unlink()
    with pytest.raises(ReportRefusedError) as refused:
        await yard.install(yard.skill(python="iniconfig==2.1.0"))
    assert refused.value.report.verdict is Verdict.INDETERMINATE


async def test_a_banned_package_in_the_closure_is_refused(yard: Yard) -> None:
    ban = draft_ban(ecosystem="pypi", name="MarkupSafe", reason="for the test", now=utcnow())
    await yard.runtime.packages.add(ban, by=Administrator.of(yard.admin))
    with pytest.raises(DecisionRefusedError, match="markupsafe"):
        await yard.install(yard.skill(python="jinja2>=3.1.6"))


async def test_an_unresolvable_requirement_leaves_nothing(yard: Yard) -> None:
    with pytest.raises(ResolveError, match="iniconfig"):
        await yard.install(yard.skill(python="iniconfig==99.99.99"))
    assert await yard.runtime.skills(yard.admin.workspace) == ()
    assert list((yard.runtime.settings.home / "staging").iterdir()) == []


async def test_concurrent_installs_of_one_skill_store_it_once(yard: Yard) -> None:
    folder = yard.skill()
    done = await asyncio.gather(*(yard.install(folder) for _ in range(8)))
    assert sorted(one.created for one in done) == [False] * 7 + [True]
    (stored,) = await yard.runtime.skills(yard.admin.workspace)
    assert len(stored.versions) == 1


async def test_what_is_installed_survives_a_restart(settings: Settings, yard: Yard) -> None:
    done = await yard.install(yard.skill(python="iniconfig==2.1.0"))
    await yard.runtime.close()
    async with await create_runtime(settings) as runtime:
        assert runtime.first_token is None
        assert await runtime.version(yard.admin.workspace, SkillRef("acme", "adder")) == done.version


async def test_a_given_hash_that_no_wheel_has_is_refused_at_its_line(yard: Yard) -> None:
    folder = yard.skill()
    (folder / "requirements.txt").write_text(f"iniconfig==2.1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ResolveError, match=r"requirements\.txt:1: .*matches the hashes"):
        await yard.install(folder)


async def test_installing_again_what_was_removed_tells_where_it_comes_from_now(yard: Yard) -> None:
    folder = yard.skill()
    await yard.install(folder)
    await yard.runtime.uninstall(SkillRef("acme", "adder"), workspace=yard.admin.workspace, actor=yard.admin)
    moved = folder.parent.with_name("elsewhere")
    folder.parent.rename(moved)
    again = await yard.install(moved / "adder")
    assert "elsewhere" in again.version.origin
