"""``workspaces``: tenants, their quotas, and what they use of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from skillyard.api.schemas.people import IdentityView
from skillyard.api.schemas.workspaces import FoundedView, WorkspaceUseView, WorkspaceView
from skillyard.cli.client import Client, Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, size, table
from skillyard.errors import NotFoundError
from skillyard.governance.quotas import Quota

app = typer.Typer(add_completion=False, help="Add, suspend and limit workspaces.")

Name = Annotated[str, typer.Argument(metavar="WORKSPACE", help="Its name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]

_BYTES = frozenset({Quota.SANDBOX_MEMORY, Quota.STORAGE})


@app.command("list")
def list_workspaces(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every workspace of the instance, for operators."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/workspaces", WorkspaceView))
    rows = [(str(one.id), one.name, one.state.value) for one in found]
    screen.answer({"workspaces": found}, lambda: table(("id", "name", "state"), rows))
    return ExitCode.DONE


@app.command()
def add(
    name: Name,
    *,
    admin: Annotated[str, typer.Option("--admin", metavar="PERSON", help="Name of its first admin.")] = "admin",
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Add a workspace with its first admin, and show that person's token this once."""
    screen = Screen(json=json)
    with connected(server) as client:
        made = parsed(FoundedView, client.post("/v1/workspaces", {"name": name, "admin": admin}).value)
    screen.answer(
        made,
        lambda: [f"added {made.workspace.name}; its admin {made.admin.name} has this token, shown once:", made.token],
    )
    return ExitCode.DONE


@app.command()
def show(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """One workspace: its name and state."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = _named(client, name)
    screen.answer(found, lambda: [f"workspace {found.id}, {found.name}: {found.state.value}"])
    return ExitCode.DONE


@app.command()
def usage(
    name: Annotated[str | None, typer.Argument(metavar="[WORKSPACE]", help="Its name; default: your own.")] = None,
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """What a workspace uses of each quota."""
    screen = Screen(json=json)
    with connected(server) as client:
        key = _own(client) if name is None else _named(client, name).id
        found = parsed(WorkspaceUseView, client.get(f"/v1/workspaces/{key}/usage").value)
    screen.answer(found, lambda: _told(found))
    return ExitCode.DONE


@app.command()
def quota(
    name: Name,
    limits: Annotated[
        list[str], typer.Argument(metavar="QUOTA=LIMIT...", help="As in calls_per_day=1000; sizes are bytes.")
    ],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Set quotas; QUOTA=none takes the workspace's own away."""
    screen = Screen(json=json)
    wanted = dict(_limit(text) for text in limits)
    with connected(server) as client:
        path = f"/v1/workspaces/{_named(client, name).id}/quotas"
        found = parsed(WorkspaceUseView, client.post(path, wanted).value)
    screen.answer(found, lambda: _told(found))
    return ExitCode.DONE


@app.command()
def suspend(name: Name, *, reason: Reason, server: Server = None, json: Json = False) -> ExitCode:
    """Admit no call of a workspace any more, and stop its sandboxes."""
    return _changed(name, "suspend", {"reason": reason}, server, Screen(json=json))


@app.command()
def resume(name: Name, *, reason: Reason, server: Server = None, json: Json = False) -> ExitCode:
    """End a suspension."""
    return _changed(name, "resume", {"reason": reason}, server, Screen(json=json))


def _changed(name: str, what: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        made = parsed(WorkspaceView, client.post(f"/v1/workspaces/{_named(client, name).id}/{what}", body).value)
    screen.answer(made, lambda: [f"{made.name} is {made.state.value}"])
    return ExitCode.DONE


def _named(client: Client, name: str) -> WorkspaceView:
    found = next((one for one in client.pages("/v1/workspaces", WorkspaceView) if one.name == name), None)
    if found is None:
        raise NotFoundError(f"there is no workspace named {name}")
    return found


def _own(client: Client) -> int:
    return parsed(IdentityView, client.get("/v1/me").value).workspace


def _limit(text: str) -> tuple[str, int | None]:
    name, _, limit = text.partition("=")
    if name not in {quota.value for quota in Quota}:
        raise UsageProblemError(f"{text!r} names no quota; there are {', '.join(quota.value for quota in Quota)}")
    if limit == "none":
        return name, None
    if not limit.isascii() or not limit.isdigit():
        raise UsageProblemError(f"{text!r} gives no limit: write {name}=NUMBER, or {name}=none")
    return name, int(limit)


def _told(found: WorkspaceUseView) -> list[str]:
    rows = [
        (
            one.quota.value,
            _amount(one.quota, one.used, "not measured"),
            _amount(one.quota, one.limit, "none"),
            "" if one.limit is None else "its own" if one.own else "settings",
            "" if one.resets_at is None else f"{one.resets_at:%Y-%m-%d %H:%M} UTC",
        )
        for one in found.quotas
    ]
    state = found.workspace.state.value
    head = f"workspace {found.workspace.name}, {state}"
    return [head, *table(("quota", "used", "limit", "from", "resets"), rows)]


def _amount(quota: Quota, amount: int | None, absent: str) -> str:
    if amount is None:
        return absent
    return size(amount) if quota in _BYTES else str(amount)
