"""``packages``: rules about packages, by name and versions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from skillyard.api.schemas.packages import RuleView
from skillyard.cli.agents import MaturityName
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.decision import RuleState
from skillyard.skills.skill import Ecosystem

app = typer.Typer(add_completion=False, help="List, approve and ban packages.")

Name = Annotated[str, typer.Argument(metavar="PACKAGE")]
Kind = Annotated[Ecosystem, typer.Option("--ecosystem", help="Whose package it is.")]
Versions = Annotated[str, typer.Option("--versions", help="As in '<2' or '==1.2.3'; default: every version.")]
Days = Annotated[float | None, typer.Option("--expires-days", min=0.001, help="Days until it ends; default: never.")]


@app.command("list")
def list_rules(
    *,
    state: Annotated[RuleState | None, typer.Option("--state", help="Approvals only, or bans only.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Every rule that was not revoked."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/packages/rules", RuleView, state=None if state is None else state.value))
    rows = [
        (
            str(rule.id),
            rule.ecosystem.value,
            f"{rule.name}{rule.specifier}",
            rule.state.value,
            rule.min_maturity or "-",
            "-" if rule.expires_at is None else f"{rule.expires_at:%Y-%m-%d}",
            "-" if rule.approval is None else str(rule.approval),
            rule.reason or "",
        )
        for rule in found
    ]
    header = ("id", "ecosystem", "package", "rule", "from", "until", "approval", "reason")
    screen.answer({"rules": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def approve(
    package: Name,
    *,
    maturity: Annotated[
        MaturityName, typer.Option("--maturity", case_sensitive=False, help="The least mature agent that may use it.")
    ],
    versions: Versions = "",
    ecosystem: Kind = Ecosystem.PYPI,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is recorded.")] = None,
    expires_days: Days = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Approve versions of a package. A ban of any of them is stronger."""
    body = {
        "ecosystem": ecosystem.value,
        "name": package,
        "specifier": versions,
        "min_maturity": maturity.value,
        "reason": reason,
        "expires_at": _expiry(expires_days),
    }
    return _made("/v1/packages/approve", body, server, Screen(json=json))


@app.command()
def ban(
    package: Name,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever is refused reads it.")],
    versions: Versions = "",
    ecosystem: Kind = Ecosystem.PYPI,
    expires_days: Days = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Ban versions of a package for everybody. Acts now: sandboxes that hold one are stopped."""
    body = {
        "ecosystem": ecosystem.value,
        "name": package,
        "specifier": versions,
        "reason": reason,
        "expires_at": _expiry(expires_days),
    }
    return _made("/v1/packages/ban", body, server, Screen(json=json))


@app.command()
def unban(
    package: Name,
    *,
    versions: Annotated[
        str | None, typer.Option("--versions", help="Only the ban that is written so; default: every one.")
    ] = None,
    ecosystem: Kind = Ecosystem.PYPI,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Lift bans of a package."""
    screen = Screen(json=json)
    body = {"ecosystem": ecosystem.value, "name": package, "specifier": versions}
    with connected(server) as client:
        lifted = [parsed(RuleView, rule) for rule in client.post("/v1/packages/unban", body).value]
    screen.answer(
        {"lifted": lifted}, lambda: [f"lifted: {_told(rule)}" for rule in lifted] or ["there was no such ban"]
    )
    return ExitCode.DONE


def _expiry(days: float | None) -> str | None:
    return None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()


def _made(path: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        rule = parsed(RuleView, client.post(path, body).value)
    screen.answer(rule, lambda: [f"made: {_told(rule)}"])
    return ExitCode.DONE


def _told(rule: RuleView) -> str:
    what = "ban" if rule.state is RuleState.BANNED else f"approval from {rule.min_maturity} on"
    return f"rule {rule.id}, {what}, of {rule.ecosystem.value} {rule.name}{rule.specifier or ' (every version)'}"
