"""A runtime over a home of its own, with one skill installed, one agent that may call it and one person who governs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import PersonPrincipal
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest, SkillRef, Swap
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource
from skillyard.times import utcnow

from benchmarks.leftovers import prefix
from benchmarks.provision import provisions
from benchmarks.skills import ADDER, SkillText
from benchmarks.wheelhouse import serving

_PUBLISHER = "bench"


@dataclass(frozen=True, slots=True)
class Yard:
    """A started runtime. ``folder`` is for skills on their way in; ``index`` the package index that it uses."""

    runtime: Runtime
    agent: Agent
    admin: PersonPrincipal
    folder: Path
    skill: Path
    text: SkillText
    index: str

    @property
    def request(self) -> InvokeRequest:
        return self.request_of(self.text)

    def request_of(self, text: SkillText) -> InvokeRequest:
        return InvokeRequest(
            workspace=self.agent.workspace,
            agent=self.agent.id,
            skill=SkillRef(_PUBLISHER, text.name),
            input_json=text.input,
        )

    async def call(self) -> Invocation:
        """One call as an agent gets it: decided, admitted, run, recorded. Fails if it did not do its work."""
        return await self.call_of(self.text)

    async def call_with(self, input_json: bytes) -> Invocation:
        """The same with other input, which has the same answer."""
        return await self.call_of(replace(self.text, input=input_json))

    async def call_of(self, text: SkillText) -> Invocation:
        invocation = await self.runtime.invoke(self.request_of(text))
        outcome = invocation.outcome
        if outcome.state is not OutcomeState.SUCCEEDED or outcome.result_json != text.answer:
            raise RuntimeError(f"the measured call ended as {outcome.state}: {outcome.reason}")
        return invocation

    async def version(self) -> InstalledVersion:
        """The active version of the yard's own skill."""
        return await self.runtime.version(self.agent.workspace, self.request.skill)

    async def environment(self) -> Path | None:
        """Where the packages of the yard's own skill are."""
        found = await self.runtime.starter.materialise(await self.version())
        return None if found is None else found.path

    async def scale_to_zero(self) -> None:
        """Stop every sandbox of the yard's own skill, and wait until they are gone."""
        await self.runtime.pool.stop((await self.version()).id, reason="a benchmark wants none to be there")

    async def install(self, folder: Path) -> None:
        await self.runtime.install(
            FolderSource(folder), workspace=self.agent.workspace, publisher=_PUBLISHER, actor=self.admin
        )

    async def upgrade(self, folder: Path) -> Swap:
        return await self.runtime.upgrade(
            FolderSource(folder), workspace=self.agent.workspace, publisher=_PUBLISHER, actor=self.admin
        )

    async def first_result(self, text: SkillText) -> None:
        """What a new skill needs before it works: a first call that is held, an approval, and the call again."""
        held = await self.runtime.invoke(self.request_of(text))
        if held.approval is None:
            raise RuntimeError(f"the first call of a skill with packages ended as {held.outcome.state}")
        await self.runtime.approver.approve(held.approval, person=self.admin, fetch_ahead=False)
        await self.call_of(text)


@asynccontextmanager
async def open_yard(text: SkillText = ADDER, *, wheels: Path | None = None, **settings: Any) -> AsyncIterator[Yard]:
    """Everything of it is gone at the end. ``settings`` differ from the defaults.

    ``wheels`` is a wheel store that outlives the yard: taken in where it exists, and put there in the end.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        folder.chmod(0o755)  # the user that peers' containers run as must pass through
        index = stack.enter_context(serving(provisions().wheels))
        home = folder / "home"
        if wheels is not None:
            place = home / "environments" / "wheels"
            place.parent.mkdir(parents=True)
            if wheels.exists():
                wheels.rename(place)
            stack.callback(_put_back, place, wheels)
        configured = Settings(
            **{
                "home": home,
                "index_url": SecretStr(index),
                "advisories_max_age_days": 100_000,  # the bundled advisories are as old as the release
                "advisories_update_hours": 0,  # nothing is fetched while something is measured
                "require_second_person": False,
                **settings,
            }
        )
        runtime = await stack.enter_async_context(await create_runtime(configured))
        admin, agent = await _people(runtime)
        skill = text.write(folder)
        yard = Yard(runtime, agent, admin, folder, skill, text, index)
        await yard.install(skill)
        if text.packages:
            await yard.first_result(text)
        yield yard


def _put_back(wheels: Path, kept: Path) -> None:
    if wheels.exists():
        wheels.rename(kept)


async def _people(runtime: Runtime) -> tuple[PersonPrincipal, Agent]:
    if runtime.first_token is None:
        raise RuntimeError("a fresh home has a first person")
    async with runtime.database.transaction() as session:
        admin = await tokens.authenticate(session, runtime.first_token, utcnow())
        if not isinstance(admin, PersonPrincipal):
            raise RuntimeError("the first token is a person's")  # noqa: TRY004 - not an argument's type
        agent = await people.add_agent(
            session,
            admin.workspace,
            "caller",
            owner=admin.person.id,
            maturity=Maturity.AUTONOMOUS,
            by=admin.actor,
            at=utcnow(),
        )
    return admin, agent
