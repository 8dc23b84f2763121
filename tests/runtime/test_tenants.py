"""Tenants of one runtime: what one has is not the other's, what an operator limits is limited, a suspension is now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from skillyard.errors import NotFoundError
from skillyard.governance import audit, people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent, Deny, Maturity
from skillyard.governance.identity import PersonPrincipal
from skillyard.governance.quotas import CallQuotaExceededError, Quota, QuotaExceededError
from skillyard.ids import WorkspaceId
from skillyard.runtime.values import Installation, Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.skills.permissions import MIB
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow
from tests.runtime.conftest import UNTIL_LET_GO, Yard, let_go, until

WHO = """
import os, pathlib

def run(leave: str = "") -> dict:
    found = [str(path) for top in ("/tmp", "/work", os.getcwd(), os.path.expanduser("~"))
             for path in pathlib.Path(top).rglob("canary*")]
    if leave:
        for top in {"/tmp", os.getcwd()}:
            pathlib.Path(top, "canary-" + leave).write_text(leave)
        os.environ["CANARY"] = leave
    return {"where": os.readlink("/proc/self/ns/pid"), "found": found, "environment": os.environ.get("CANARY", "")}
"""
KEEP = "def run(size: int) -> int:\n    open('kept.bin', 'wb').write(b'x' * size)\n    return size\n"
SLEEP = "import time\n\ndef run(seconds: float) -> str:\n    time.sleep(seconds)\n    return 'done'\n"


@dataclass
class Tenant:
    """A workspace with its admin and an agent that may call what is installed there."""

    yard: Yard
    admin: PersonPrincipal
    agent: Agent

    @property
    def id(self) -> WorkspaceId:
        return self.admin.workspace

    async def install(self, folder: Path) -> Installation:
        return await self.yard.runtime.install(
            FolderSource(folder), workspace=self.id, publisher="acme", actor=self.admin
        )

    async def invoke(self, skill: str = "acme/adder", **given: Any) -> Invocation:
        request = InvokeRequest(
            workspace=self.id, agent=self.agent.id, skill=SkillRef.parse(skill), input_json=orjson.dumps(given)
        )
        return await self.yard.runtime.invoke(request)

    async def limit(self, **quotas: int | None) -> None:
        wanted = {Quota(name): most for name, most in quotas.items()}
        await self.yard.runtime.quotas.change(self.id, wanted, by=operator(self.yard))

    async def used(self, quota: Quota) -> int:
        use = await self.yard.runtime.quotas.use(self.id)
        return next(one.used for one in use.quotas if one.quota is quota)


def operator(yard: Yard) -> Administrator:
    return Administrator.of(yard.admin)


async def new_tenant(yard: Yard, name: str) -> Tenant:
    founded = await yard.runtime.workspaces.add(name, admin="boss", by=operator(yard))
    async with yard.runtime.database.transaction() as session:
        admin = await tokens.authenticate(session, founded.token, utcnow())
        assert isinstance(admin, PersonPrincipal)
        agent = await people.add_agent(
            session,
            admin.workspace,
            "bot",
            owner=admin.person.id,
            maturity=Maturity.AUTONOMOUS,
            by=admin.actor,
            at=utcnow(),
        )
    return Tenant(yard, admin, agent)


@pytest.fixture
async def tenant(yard: Yard) -> Tenant:
    return await new_tenant(yard, "tenant")


def result(invocation: Invocation) -> Any:
    assert invocation.outcome.state is OutcomeState.SUCCEEDED, invocation.outcome
    return orjson.loads(invocation.outcome.result_json or b"null")


async def test_no_sandbox_of_one_tenant_ever_serves_another(yard: Yard, tenant: Tenant) -> None:
    """The same bundle with the same lock in both, so that nothing but the workspace tells them apart."""
    rival = await new_tenant(yard, "rival")
    folder = yard.skill(WHO, name="who")
    first, second = await tenant.install(folder), await rival.install(folder)
    assert first.version.skill.bundle.digest == second.version.skill.bundle.digest
    left = result(await tenant.invoke("acme/who", leave="secret"))
    again = result(await tenant.invoke("acme/who"))
    assert again["where"] == left["where"], "the tenant's own sandbox is warm, and would have served"
    seen = [result(await rival.invoke("acme/who")) for _ in range(3)]
    assert {one["where"] for one in seen} == {seen[0]["where"]} != {left["where"]}
    assert all(not one["found"] and not one["environment"] for one in (*seen, again)), "a canary got out"
    containers = await yard.runtime.engine.containers({"skillyard.workspace": str(tenant.id)})
    others = await yard.runtime.engine.containers({"skillyard.workspace": str(rival.id)})
    assert len(containers) == len(others) == 1
    assert not {one.id for one in containers} & {one.id for one in others}


async def test_what_one_tenant_installed_does_not_exist_for_another(yard: Yard, tenant: Tenant) -> None:
    rival = await new_tenant(yard, "rival")
    await tenant.install(yard.skill())
    with pytest.raises(NotFoundError):
        await rival.invoke(x=1)
    with pytest.raises(NotFoundError):
        await yard.runtime.uninstall(SkillRef("acme", "adder"), workspace=rival.id, actor=rival.admin)
    assert result(await tenant.invoke(x=1)) == 2


async def test_a_suspension_stops_what_runs_and_admits_nothing_more(yard: Yard, tenant: Tenant) -> None:
    await tenant.install(yard.skill(SLEEP, name="sleeper"))
    running = asyncio.create_task(tenant.invoke("acme/sleeper", seconds=50))
    await until(lambda: yard.runtime.pool.status(tenant.id).now.busy == 1)
    await yard.runtime.workspaces.suspend(tenant.id, reason="unpaid", by=operator(yard))
    ended = await running
    assert ended.outcome.state is OutcomeState.KILLED
    assert "suspended" in str(ended.outcome.reason)
    refused = await tenant.invoke("acme/sleeper", seconds=0)
    assert isinstance(refused.decision, Deny)
    assert [reason.code for reason in refused.decision.reasons] == ["workspace_suspended"]
    await until(lambda: yard.runtime.pool.status(tenant.id).now.memory_bytes == 0)
    async with yard.runtime.database.transaction() as session:
        assert len(await people.agents(session, tenant.id)) == 1, "what is there can be read"
    await yard.runtime.workspaces.resume(tenant.id, reason="paid", by=operator(yard))
    assert result(await tenant.invoke("acme/sleeper", seconds=0)) == "done"


async def test_calls_over_a_quota_are_refused_from_the_next_one_on_and_noted_once(
    yard: Yard, tenant: Tenant, later: Callable[[timedelta], None]
) -> None:
    later(utcnow().replace(hour=12, minute=0, second=10) + timedelta(days=1) - utcnow())  # No day begins meanwhile.
    await tenant.install(yard.skill())
    assert result(await tenant.invoke(x=1)) == 2
    await tenant.limit(calls_per_day=3)
    assert await tenant.used(Quota.CALLS_PER_DAY) == 1, "calls of today count that were made before there was a quota"
    answers = await asyncio.gather(*(tenant.invoke(x=1) for _ in range(6)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, CallQuotaExceededError)]
    assert (len(refused), refused[0].limit, refused[0].used) == (4, 3, 3)
    assert await tenant.used(Quota.CALLS_PER_DAY) == 3
    text = "\n".join([line.decode() async for line in exported(yard, tenant.id)])
    assert 1 <= text.count('\\"quota_exceeded\\"') <= 2, "one a minute, and a minute may have begun"
    await tenant.limit(calls_per_day=4)
    assert result(await tenant.invoke(x=1)) == 2
    with pytest.raises(CallQuotaExceededError):
        await tenant.invoke(x=1)
    await tenant.limit(calls_per_day=None)
    assert result(await tenant.invoke(x=1)) == 2


async def exported(yard: Yard, workspace: WorkspaceId) -> AsyncIterator[bytes]:
    async with yard.runtime.database.reading() as session:
        async for line in audit.export(session, workspace):
            yield line if isinstance(line, bytes) else str(line).encode()


async def test_no_more_skills_and_bytes_than_a_quota(yard: Yard, tenant: Tenant) -> None:
    first = await tenant.install(yard.skill())
    size = first.version.skill.bundle.size
    assert await tenant.used(Quota.STORAGE) == size, "what the workspace's bundle takes on disk"
    await tenant.limit(skills=1)
    with pytest.raises(QuotaExceededError) as told:
        await tenant.install(yard.skill(name="second"))
    assert (told.value.quota, told.value.limit, told.value.used) == (Quota.SKILLS, 1, 1)
    await tenant.limit(skills=None, storage_bytes=size + 10)
    with pytest.raises(QuotaExceededError) as told:
        await tenant.install(yard.skill(name="third"))
    assert (told.value.quota, told.value.used) == (Quota.STORAGE, size)
    assert (await tenant.install(yard.folder / "adder-1.0.0" / "adder")).created is False, "it is there already"
    await yard.runtime.uninstall(SkillRef("acme", "adder"), workspace=tenant.id, actor=tenant.admin)
    assert await tenant.used(Quota.STORAGE) == 0
    assert (await tenant.install(yard.folder / "adder-1.0.0" / "adder")).created


async def test_files_that_a_quota_leaves_no_room_for_are_not_kept(yard: Yard, tenant: Tenant) -> None:
    await tenant.install(yard.skill(KEEP, name="keeper"))
    before = await tenant.used(Quota.STORAGE)
    await tenant.limit(storage_bytes=before + 2500)
    ended = await asyncio.gather(*(tenant.invoke("acme/keeper", size=1000) for _ in range(5)))
    kept = [one for one in ended if one.outcome.state is OutcomeState.SUCCEEDED]
    refused = [one for one in ended if one.outcome.state is OutcomeState.DISK_FULL]
    assert (len(kept), len(refused)) == (2, 3)
    assert refused[0].outcome.refusal == {
        "code": "quota_exceeded",
        "quota": "storage_bytes",
        "limit": str(before + 2500),
        "used": str(before + 2000),
    }
    assert not refused[0].outcome.files
    folders = {path.name for path in (yard.runtime.settings.home / "artefacts").iterdir()}
    assert folders == {one.id for one in kept}, "what is refused does not stay on disk"
    assert await tenant.used(Quota.STORAGE) == before + 2000


async def test_a_quota_of_sandboxes_holds_from_when_it_is_set(yard: Yard, tenant: Tenant) -> None:
    await tenant.install(yard.skill(SLEEP, name="sleeper"))
    await asyncio.gather(*(tenant.invoke("acme/sleeper", seconds=0.5) for _ in range(3)))
    assert await tenant.used(Quota.SANDBOXES) >= 2
    await tenant.limit(sandboxes=1)
    # One whose start was under way counts as well, and is ready a moment later.
    await until(lambda: _there(yard, tenant) <= 1)
    busiest = 0

    async def watched() -> None:
        nonlocal busiest
        while True:
            now = yard.runtime.pool.status(tenant.id).now
            busiest = max(busiest, now.busy + now.starting)
            await asyncio.sleep(0.005)

    watch = asyncio.create_task(watched())
    assert [result(one) for one in await asyncio.gather(*(tenant.invoke("acme/sleeper", seconds=0.1) for _ in "123"))]
    watch.cancel()
    assert busiest == 1, "those that found none free waited"
    await tenant.limit(sandboxes=None)
    await asyncio.gather(*(tenant.invoke("acme/sleeper", seconds=0.5) for _ in range(3)))
    assert await tenant.used(Quota.SANDBOXES) >= 2


def _there(yard: Yard, tenant: Tenant) -> int:
    now = yard.runtime.pool.status(tenant.id).now
    return now.idle + now.busy + now.starting


async def test_a_sandbox_that_no_quota_of_memory_can_hold_is_refused_by_name(yard: Yard, tenant: Tenant) -> None:
    await tenant.install(yard.skill())
    await tenant.limit(sandbox_memory_bytes=64 * MIB)
    with pytest.raises(QuotaExceededError) as told:
        await tenant.invoke(x=1)
    assert told.value.quota is Quota.SANDBOX_MEMORY
    await tenant.limit(sandbox_memory_bytes=2048 * MIB)
    assert result(await tenant.invoke(x=1)) == 2
    assert await tenant.used(Quota.SANDBOX_MEMORY) > 0


async def test_a_quota_of_calls_at_once_counts_those_that_wait_too(yard: Yard, tenant: Tenant) -> None:
    installed = await tenant.install(yard.skill(UNTIL_LET_GO, name="sleeper"))
    await tenant.limit(concurrent_calls=2, sandboxes=1)
    running = [asyncio.create_task(tenant.invoke("acme/sleeper", x=-1)) for _ in range(2)]
    deadline = asyncio.get_running_loop().time() + 60
    while await tenant.used(Quota.CONCURRENT_CALLS) < 2:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    with pytest.raises(CallQuotaExceededError) as told:
        await tenant.invoke("acme/sleeper", x=0)
    assert (told.value.quota, told.value.used) == (Quota.CONCURRENT_CALLS, 2)
    let_go(yard.bundle(installed))
    assert [result(one) for one in await asyncio.gather(*running)] == [-1, -1]
    assert await tenant.used(Quota.CONCURRENT_CALLS) == 0
