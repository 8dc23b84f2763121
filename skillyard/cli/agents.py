"""``agents``: callers of the server's workspace, how far each is trusted, and their tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.people import PersonView, PinsView, PinView
from skillyard.cli import agent_trust
from skillyard.cli.agent_names import MaturityName, Name, Why, agent_id
from skillyard.cli.client import Client, Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.installed import reference
from skillyard.cli.people import Days, Label, issue
from skillyard.cli.screen import Json, Screen, table
from skillyard.errors import NotFoundError
from skillyard.governance.identity import TokenScope
from skillyard.runtime.values import SkillRef

app = typer.Typer(add_completion=False, help="List, add and change agents, and issue tokens for them.")
app.add_typer(agent_trust.app)


Pinned = Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name@version; to unpin, publisher/name.")]
Scopes = Annotated[
    list[TokenScope] | None,
    typer.Option("--scope", help="What else the token may be used for; admin: act as an admin while AUTONOMOUS."),
]


@app.command("list")
def list_agents(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every agent of the workspace, suspended ones included."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/agents", AgentView))
    rows = [(str(one.id), one.name, one.maturity, one.state.value, str(one.owner)) for one in found]
    screen.answer({"agents": found}, lambda: table(("id", "name", "maturity", "state", "owner"), rows))
    return ExitCode.DONE


@app.command()
def create(
    name: Name,
    *,
    maturity: Annotated[
        MaturityName, typer.Option("--maturity", case_sensitive=False, help="How far it is trusted.")
    ] = MaturityName.STUDENT,
    owner: Annotated[str | None, typer.Option("--owner", help="The person who answers for it; default: you.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Add an agent. Issue a token next."""
    screen = Screen(json=json)
    with connected(server) as client:
        body = {"name": name, "maturity": maturity.value, "owner": None if owner is None else _person(client, owner)}
        made = parsed(AgentView, client.post("/v1/agents", body).value)
    screen.answer(made, lambda: [f"added {made.name} ({made.maturity}); next:  skillyard agents token {made.name}"])
    return ExitCode.DONE


@app.command()
def suspend(name: Name, *, reason: Why, server: Server = None, json: Json = False) -> ExitCode:
    """Let no call of an agent be admitted any more."""
    return _set_state(name, "suspend", reason, server, Screen(json=json))


@app.command()
def resume(name: Name, *, reason: Why, server: Server = None, json: Json = False) -> ExitCode:
    """End a suspension."""
    return _set_state(name, "resume", reason, server, Screen(json=json))


@app.command()
def token(
    name: Name,
    *,
    label: Label = "command-line",
    expires_days: Days = None,
    scope: Scopes = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Issue a token for an agent, and show it this once."""
    screen = Screen(json=json)
    with connected(server) as client:
        issued = issue(client, {"agent": agent_id(client, name)}, label, expires_days, scope or ())
    screen.answer(issued, lambda: [issued.token])
    return ExitCode.DONE


@app.command()
def pin(name: Name, skill: Pinned, *, server: Server = None, json: Json = False) -> ExitCode:
    """Keep an agent at one version of a skill.

    Its calls that name no version go to this one, through upgrades and rollbacks, until it is unpinned.
    """
    screen, ref = Screen(json=json), reference(skill)
    if ref.version is None:
        raise UsageProblemError("name the version as well: publisher/name@version", field="SKILL")
    with connected(server) as client:
        made = parsed(PinView, client.put(_pin_path(client, name, ref), {"version": ref.version}).value)
    screen.answer(made, lambda: [f"{name} stays with {ref}"])
    return ExitCode.DONE


@app.command()
def unpin(name: Name, skill: Pinned, *, server: Server = None, json: Json = False) -> ExitCode:
    """Let an agent's calls follow the skill's pointer again."""
    screen, ref = Screen(json=json), reference(skill)
    with connected(server) as client:
        client.delete(_pin_path(client, name, ref))
    followed = f"{ref.publisher}/{ref.name}"
    screen.answer({"unpinned": followed}, lambda: [f"{name} follows the pointer of {followed}"])
    return ExitCode.DONE


@app.command()
def pins(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """What an agent is pinned to."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(PinsView, client.get(f"/v1/agents/{agent_id(client, name)}/pins").value)
    rows = [(f"{one.publisher}/{one.name}", one.version, f"{one.pinned_at:%Y-%m-%d %H:%M}") for one in found.items]
    screen.answer({"pins": found.items}, lambda: table(("skill", "version", "since"), rows))
    return ExitCode.DONE


def _pin_path(client: Client, name: str, ref: SkillRef) -> str:
    return f"/v1/agents/{agent_id(client, name)}/pins/{quoted(ref.publisher)}/{quoted(ref.name)}"


def _person(client: Client, name: str) -> int:
    found = next((one.id for one in client.pages("/v1/persons", PersonView) if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no person named {name}")
    return found


def _set_state(name: str, verb: str, reason: str, server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        path = f"/v1/agents/{agent_id(client, name)}/{verb}"
        changed = parsed(AgentView, client.post(path, {"reason": reason}).value)
    screen.answer(changed, lambda: [f"{changed.name} is {changed.state.value}"])
    return ExitCode.DONE
