"""``approvals``: what was held, and what a second person makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from skillyard.api.schemas.packages import ApprovalView
from skillyard.cli.agents import MaturityName
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.decision import ApprovalState
from skillyard.governance.requested import PackageRole

app = typer.Typer(add_completion=False, help="Decide what waits for a second person.")

_ROLES = {
    PackageRole.RUNTIME: "",
    PackageRole.SOURCE: ", built from source",
    PackageRole.BUILD: ", only needed to build another",
}

Id = Annotated[int, typer.Argument(metavar="ID", min=1)]
Comment = Annotated[str | None, typer.Option("--comment", help="For the record.")]


@app.command("list")
def list_requests(
    *,
    state: Annotated[ApprovalState | None, typer.Option("--state", help="Default: all that wait.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever their state.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Requests, the longest waiting first."""
    screen = Screen(json=json)
    wanted = None if every else (state or ApprovalState.PENDING).value
    with connected(server) as client:
        found = list(client.pages("/v1/approvals", ApprovalView, state=wanted))
    rows = [
        (
            str(one.id),
            one.skill,
            str(len(one.packages)),
            "yes" if one.first_use else "no",
            one.state.value,
            f"{one.created_at:%F %R}",
        )
        for one in found
    ]
    header = ("id", "skill", "packages", "first use", "state", "asked (UTC)")
    screen.answer({"approvals": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def show(request: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """One request, with every package that is new in its lock."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(ApprovalView, client.get(f"/v1/approvals/{request}").value)
    screen.answer(found, lambda: _shown(found))
    return ExitCode.DONE


@app.command()
def approve(
    request: Id,
    *,
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
    body = {"min_maturity": None if maturity is None else maturity.value, "comment": comment, "expires_at": expiry}
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


def _decided(request: int, verb: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        found = parsed(ApprovalView, client.post(f"/v1/approvals/{request}/{verb}", body).value)
    screen.answer(found, lambda: [f"request {found.id} about {found.skill} is {found.state.value}"])
    return ExitCode.DONE


def _shown(found: ApprovalView) -> Iterator[str]:
    asker = f"agent {found.requested_by_agent}" if found.requested_by_agent else f"person {found.requested_by_person}"
    yield f"request {found.id}: {found.skill}, {found.state.value}"
    yield f"  asked by {asker} (for person {found.requesting_owner}) at {found.created_at:%F %T} UTC"
    yield f"  lock {found.lock_digest}"
    if found.first_use:
        yield "  the agent's first use of this skill"
    if found.decided_at is not None:
        yield f"  decided by person {found.decided_by} at {found.decided_at:%F %T} UTC"
    if found.comment:
        yield f"  comment: {found.comment}"
    yield f"  {len(found.packages)} new packages:"
    yield from (f"    {one.name} {one.version} ({one.ecosystem.value}{_ROLES[one.role]})" for one in found.packages)
