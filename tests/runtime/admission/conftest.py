"""A writer on a database of its own, on each engine, and calls that it may admit."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from skillyard.database import Database
from skillyard.governance import epoch
from skillyard.governance.decision import Agent
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import InvocationId, SkillVersionId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import Admission
from tests.runtime.admission.books import NOON, NewCall, add_version, writing


@pytest.fixture
async def version(database: Database, agent: Agent) -> SkillVersionId:
    return await add_version(database, agent.workspace)


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[AdmissionWriter]:
    async with writing(database, "this-process") as started:
        yield started


@pytest.fixture
async def new_call(database: Database, agent: Agent, version: SkillVersionId) -> NewCall:
    """Makes admissions of the agent under the present epoch; any field can be given by name."""
    async with database.reading() as session:
        now = await epoch.current(session)

    def make(**changed: object) -> Admission:
        call = Admission(
            invocation=InvocationId(str(uuid.uuid4())),
            workspace=agent.workspace,
            actor=Actor(ActorKind.AGENT, agent.id),
            skill_version=version,
            entry="scripts/report.py:run",
            epoch=now,
            at=NOON,
            facts={"reasons": ["approved"]},
        )
        return replace(call, **changed)  # type: ignore[arg-type]

    return make
