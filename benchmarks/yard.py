"""A runtime over a home of its own, with one skill that does next to nothing and one agent that may call it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from skillyard.database import utcnow
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import PersonPrincipal
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource

CODE = "def run(x: int) -> int:\n    return x + 1\n"
_SKILL_MD = """---
name: adder
description: Adds one, so that what is measured is the call and not the work.
metadata:
  version: "1.0.0"
  skillyard.entry: "scripts/main.py:run"
---
# adder
"""


@dataclass(frozen=True, slots=True)
class Yard:
    """A started runtime. ``skill`` is the skill's folder, for whatever runs it some other way."""

    runtime: Runtime
    agent: Agent
    skill: Path

    @property
    def request(self) -> InvokeRequest:
        return InvokeRequest(
            workspace=self.agent.workspace,
            agent=self.agent.id,
            skill=SkillRef("bench", "adder"),
            input_json=orjson.dumps({"x": 1}),
        )

    async def call(self) -> Invocation:
        """One call as an agent gets it: decided, admitted, run, recorded. Fails if it did not do its work."""
        invocation = await self.runtime.invoke(self.request)
        outcome = invocation.outcome
        if outcome.state is not OutcomeState.SUCCEEDED or outcome.result_json != b"2":
            raise RuntimeError(f"the measured call ended as {outcome.state}: {outcome.reason}")
        return invocation


@asynccontextmanager
async def open_yard() -> AsyncIterator[Yard]:
    """Everything of it is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-") as folder:
        settings = Settings(home=Path(folder) / "home", advisories_max_age_days=100_000)
        async with await create_runtime(settings) as runtime:
            skill = _write_skill(Path(folder) / "adder")
            yield Yard(runtime, await _installed(runtime, skill), skill)


def _write_skill(folder: Path) -> Path:
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text(_SKILL_MD)
    (folder / "scripts" / "main.py").write_text(CODE)
    folder.chmod(0o755)  # the temporary folder is ours alone; the peers' container mounts this one
    return folder


async def _installed(runtime: Runtime, skill: Path) -> Agent:
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
    await runtime.install(FolderSource(skill), workspace=admin.workspace, publisher="bench", actor=admin)
    return agent
