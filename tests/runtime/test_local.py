"""The operator's own workspace: every content a version, locks reused, evidence judged anew, old versions let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from skillyard.governance.decision import Allow, SkillState
from skillyard.governance.policy import Policy
from skillyard.governance.report import Verdict
from skillyard.ids import BundleDigest
from skillyard.runtime import store
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.local import LocalWorkspace, ensure_operator, local_version
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest, SkillRef
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource

DIGEST = BundleDigest("sha256:" + "0123456789abcdef" * 4)


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with await create_runtime(settings, policy=Policy.local(settings), first_person=False) as opened:
        yield opened


@pytest.fixture
async def local(runtime: Runtime) -> LocalWorkspace:
    return LocalWorkspace(runtime=runtime, operator=await ensure_operator(runtime.database))


def written(parent: Path, note: str) -> FolderSource:
    folder = parent / "adder"
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(
        f'---\nname: adder\ndescription: {note}\nmetadata:\n  version: "1.0.0"\n'
        '  skillyard.entry: "scripts/main.py:run"\n---\n'
    )
    (folder / "scripts" / "main.py").write_text("def run() -> int:\n    return 1\n")
    return FolderSource(folder)


async def call(local: LocalWorkspace, version: InstalledVersion) -> Invocation:
    operator = local.operator
    request = InvokeRequest(workspace=operator.person.workspace, agent=operator.agent.id, skill=version.ref)
    return await local.invoke(request, approve=False)


@pytest.mark.parametrize(
    ("declared", "version"),
    [
        ("1.2.0", "1.2.0+0123456789ab"),
        ("1.2.0-rc.1", "1.2.0-rc.1+0123456789ab"),
        ("1.2.0+linux", "1.2.0+linux.0123456789ab"),
        ("0.0.0+0123456789ab", "0.0.0+0123456789ab"),
    ],
)
def test_a_version_says_which_content_it_is(declared: str, version: str) -> None:
    assert local_version(declared, DIGEST) == version


async def test_two_processes_that_start_at_once_have_one_operator(runtime: Runtime) -> None:
    first, second = await asyncio.gather(ensure_operator(runtime.database), ensure_operator(runtime.database))
    assert first == second


async def test_running_here_makes_no_person_of_a_server(runtime: Runtime) -> None:
    assert runtime.first_token is None
    await ensure_operator(runtime.database)


async def test_old_versions_are_let_go_and_can_come_back(
    local: LocalWorkspace, runtime: Runtime, tmp_path: Path
) -> None:
    versions = [await local.install(written(tmp_path, f"edit {number}")) for number in range(12)]
    async with runtime.database.reading() as session:
        live = await store.live_versions(session, local.operator.person.workspace)
        gone = await store.find_version(session, local.operator.person.workspace, versions[0].ref)
    assert {row.version for _, row in live} == {version.version for version in versions[2:]}
    assert gone is not None
    assert gone.state is SkillState.REMOVED
    again = await local.install(written(tmp_path, "edit 0"))
    assert (again.version, again.state) == (versions[0].version, SkillState.ACTIVE)


async def test_a_servers_judgement_of_the_same_content_does_not_stand_in_the_way(
    settings: Settings, local: LocalWorkspace, runtime: Runtime, tmp_path: Path
) -> None:
    """A server over the same home finds the evidence too old and says so; the operator accepts its age."""
    skill = written(tmp_path, "needs a package")
    (tmp_path / "adder" / "requirements.txt").write_text("iniconfig==2.1.0\n")
    version = await local.install(skill)
    strict = settings.model_copy(update={"advisories_max_age_days": 1.0})
    async with await create_runtime(strict, first_person=False) as server:
        await server.rescanner.rescan()
        view = await server.views.current(version.workspace)
        with pytest.raises(DecisionRefusedError) as refused:
            server.decider.allowed_at_all(view, view.find(version.ref))
    assert "report_stale" in {reason.code for reason in refused.value.reasons}
    fresh = await local.install(skill)
    assert fresh.report.verdict is Verdict.PASS
    stored = await runtime.version(version.workspace, SkillRef("local", "adder", version.version))
    assert stored.report.verdict is Verdict.PASS


async def test_a_call_is_the_operators_and_says_whose_policy_decided(local: LocalWorkspace, tmp_path: Path) -> None:
    invocation = await call(local, await local.install(written(tmp_path, "plain")))
    assert isinstance(invocation.decision, Allow)
    assert "local_policy" in {reason.code for reason in invocation.decision.reasons}
    assert invocation.outcome.result_json == b"1"
