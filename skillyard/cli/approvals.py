"""``approvals``: what was held, and what a second person makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from skillyard.api.schemas.approvals import ApprovalView
from skillyard.api.schemas.packages import PackageRequestView
from skillyard.cli.agent_names import MaturityName, agent_id
from skillyard.cli.approval_text import queue_lines, request_lines
from skillyard.cli.client import Client, Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.lengths import seconds
from skillyard.cli.package_checks import waiting_lines
from skillyard.cli.screen import Json, Screen
from skillyard.governance.decision import ApprovalState, RequestState

app = typer.Typer(
    add_completion=False, help="Decide what waits for a second person.\n\nWithout a command: what waits, as a table."
)

Id = Annotated[int, typer.Argument(metavar="ID", min=1)]
Comment = Annotated[str | None, typer.Option("--comment", help="For the record.")]


@app.callback(invoke_without_command=True)
def waiting(context: typer.Context, *, server: Server = None, json: Json = False) -> ExitCode:
    """What waits for a second person."""
    if context.invoked_subcommand is not None:
        return ExitCode.DONE
    screen = Screen(json=json)
    with connected(server) as client:
        held = list(client.pages("/v1/approvals", ApprovalView, state=ApprovalState.PENDING.value))
        asked = list(client.pages("/v1/packages/requests", PackageRequestView, state=RequestState.PENDING.value))
    screen.answer({"approvals": held, "package_requests": asked}, lambda: [*queue_lines(held), *waiting_lines(asked)])
    return ExitCode.DONE


@app.command("list")
def list_requests(
    *,
    state: Annotated[ApprovalState | None, typer.Option("--state", help="Default: all that wait.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever their state.")] = False,
    agent: Annotated[str | None, typer.Option("--agent", help="Asked for by this agent.")] = None,
    skill: Annotated[str | None, typer.Option("--skill", help="About this skill, or publisher/name@version.")] = None,
    package: Annotated[str | None, typer.Option("--package", help="Asks for this package; npm:NAME for npm.")] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="TIME", help="Asked for at least that long ago: 2h, 3d.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Requests, the longest waiting first."""
    screen = Screen(json=json)
    length = seconds(older_than, field="--older-than")
    with connected(server) as client:
        return _listed(
            client,
            screen,
            state=None if every else (state or ApprovalState.PENDING).value,
            agent=None if agent is None else agent_id(client, agent),
            skill=skill,
            package=package,
            older_than=None if length is None else str(length),
        )


@app.command()
def show(request: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """One request in full: who asks, every package that is new in its lock, what was found, who may decide."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(ApprovalView, client.get(f"/v1/approvals/{request}").value)
    screen.answer(found, lambda: request_lines(found))
    return ExitCode.DONE


@app.command()
def approve(
    request: Id,
    *,
    package: Annotated[
        list[str] | None,
        typer.Option("--package", help="Approve only this package of the request; may be repeated. The rest waits on."),
    ] = None,
    maturity: Annotated[
        MaturityName | None,
        typer.Option("--maturity", case_sensitive=False, help="The least mature agent it is for; default: who asked."),
    ] = None,
    comment: Comment = None,
    expires_days: Annotated[
        float | None, typer.Option("--expires-days", min=0.001, help="Days until it ends; default: never.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Approve the whole lock at once. Needs a second person: not who asked, nor the owner of the agent that asked."""
    expiry = None if expires_days is None else (datetime.now(UTC) + timedelta(days=expires_days)).isoformat()
    body: dict[str, object] = {
        "min_maturity": None if maturity is None else maturity.value,
        "comment": comment,
        "expires_at": expiry,
    }
    if package:
        body["packages"] = package
    return _decided(request, "approve", body, server, Screen(json=json))


@app.command()
def deny(request: Id, *, comment: Comment = None, server: Server = None, json: Json = False) -> ExitCode:
    """Say no."""
    return _decided(request, "deny", {"comment": comment}, server, Screen(json=json))


@app.command()
def revoke(
    request: Id,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Take an approval back: exactly the rules it made end."""
    return _decided(request, "revoke", {"reason": reason}, server, Screen(json=json))


def _listed(client: Client, screen: Screen, **params: str | int | None) -> ExitCode:
    found = list(client.pages("/v1/approvals", ApprovalView, **params))
    screen.answer({"approvals": found}, lambda: queue_lines(found))
    return ExitCode.DONE


def _decided(request: int, verb: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        found = parsed(ApprovalView, client.post(f"/v1/approvals/{request}/{verb}", body).value)
    part = "" if found.split_from is None else f"; request {found.split_from} goes on waiting for the rest"
    screen.answer(found, lambda: [f"request {found.id} about {found.skill} is {found.state.value}{part}"])
    return ExitCode.DONE
