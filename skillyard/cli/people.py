"""``people``: persons of the server's workspace, and their tokens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from skillyard.api.schemas.people import IssuedTokenView, PersonView, TokenView
from skillyard.cli.client import Client, Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table
from skillyard.errors import NotFoundError
from skillyard.governance.identity import Role, TokenScope

app = typer.Typer(add_completion=False, help="List and add persons, and issue tokens for them.")

Label = Annotated[str, typer.Option("--label", help="What the token is called in lists and records.")]
Days = Annotated[float | None, typer.Option("--expires-days", min=0.001, help="Days until it expires; default: never.")]


@app.command("list")
def list_people(*, server: Server = None, json: Json = False) -> ExitCode:
    """Everybody of the workspace."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/persons", PersonView))
    rows = [(str(one.id), one.name, one.role.value) for one in found]
    screen.answer({"people": found}, lambda: table(("id", "name", "role"), rows))
    return ExitCode.DONE


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    role: Annotated[Role, typer.Option("--role", help="Admins approve, and add persons and agents.")] = Role.MEMBER,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Add a person. Issue a token next."""
    screen = Screen(json=json)
    with connected(server) as client:
        made = parsed(PersonView, client.post("/v1/persons", {"name": name, "role": role.value}).value)
    screen.answer(made, lambda: [f"added {made.name} ({made.role.value}); next:  skillyard people token {made.name}"])
    return ExitCode.DONE


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    label: Label = "command-line",
    expires_days: Days = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Issue a token for a person, and show it this once."""
    screen = Screen(json=json)
    with connected(server) as client:
        person = next((one for one in client.pages("/v1/persons", PersonView) if one.name == name), None)
        if person is None:
            raise NotFoundError(f"there is no person named {name}")
        issued = issue(client, {"person": person.id}, label, expires_days)
    screen.answer(issued, lambda: [issued.token])
    return ExitCode.DONE


@app.command()
def tokens(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every token of the workspace, of persons and of agents, without their texts."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/tokens", TokenView))
    rows = [(str(one.id), one.holder, one.name, " ".join(one.scopes) or "-", _standing(one)) for one in found]
    screen.answer({"tokens": found}, lambda: table(("id", "holder", "name", "scopes", "state"), rows))
    return ExitCode.DONE


def issue(
    client: Client,
    holder: Mapping[str, int],
    label: str,
    expires_days: float | None,
    scopes: Collection[TokenScope] = (),
) -> IssuedTokenView:
    """A new token for a person or an agent."""
    expiry = None if expires_days is None else (datetime.now(UTC) + timedelta(days=expires_days)).isoformat()
    body = {**holder, "name": label, "expires_at": expiry, "scopes": [scope.value for scope in scopes]}
    return parsed(IssuedTokenView, client.post("/v1/tokens", body).value)


def _standing(token: TokenView) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d %H:%M}"
    if token.expires_at is None:
        return "valid"
    return f"{'expired' if token.expires_at <= datetime.now(UTC) else 'valid until'} {token.expires_at:%Y-%m-%d %H:%M}"
