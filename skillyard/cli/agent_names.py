"""What commands about agents share: names of agents and maturities as options take them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from skillyard.api.schemas.agents import AgentView
from skillyard.cli.client import Client
from skillyard.errors import NotFoundError
from skillyard.governance.decision import Maturity


class MaturityName(StrEnum):
    """The names of ``Maturity``."""

    STUDENT = Maturity.STUDENT.name
    INTERN = Maturity.INTERN.name
    SUPERVISED = Maturity.SUPERVISED.name
    AUTONOMOUS = Maturity.AUTONOMOUS.name


Name = Annotated[str, typer.Argument(metavar="NAME")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]


def agent_named(client: Client, name: str) -> AgentView:
    """Raises ``NotFoundError``."""
    found = next((one for one in client.pages("/v1/agents", AgentView) if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no agent named {name}")
    return found


def agent_id(client: Client, name: str) -> int:
    """The agent's key. Raises ``NotFoundError``."""
    return agent_named(client, name).id
