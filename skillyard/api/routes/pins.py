"""Pins of the workspace's agents: the version of a skill that an agent stays with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from skillyard.api.auth import Admin, AnyPerson
from skillyard.api.schemas.people import PinRequest, PinsView, PinView
from skillyard.api.schemas.values import MAX_KEY
from skillyard.api.state import TheRuntime
from skillyard.ids import AgentId
from skillyard.runtime.values import SkillRef

router = APIRouter(prefix="/v1/agents/{agent_id}/pins", tags=["people"])

Key = Annotated[int, Path(ge=1, le=MAX_KEY)]
Part = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("")
async def list_pins(runtime: TheRuntime, person: AnyPerson, agent_id: Key) -> PinsView:
    """What an agent is pinned to."""
    found = await runtime.pins.of(AgentId(agent_id), person.workspace)
    return PinsView(items=tuple(PinView.of(pin) for pin in found))


@router.put("/{publisher}/{name}")
async def pin(
    runtime: TheRuntime, admin: Admin, *, agent_id: Key, publisher: Part, name: Part, body: PinRequest
) -> PinView:
    """Send an agent's calls to one installed version of a skill, from the next call on; an earlier pin ends."""
    ref = SkillRef(publisher, name, body.version)
    return PinView.of(await runtime.pins.pin(AgentId(agent_id), ref, by=admin))


@router.delete("/{publisher}/{name}", status_code=204)
async def unpin(runtime: TheRuntime, admin: Admin, agent_id: Key, publisher: Part, name: Part) -> None:
    """Let an agent's calls follow the skill's pointer again."""
    await runtime.pins.unpin(AgentId(agent_id), SkillRef(publisher, name), by=admin)
