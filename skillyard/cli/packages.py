"""``packages``: what rules say of packages, changing them, asking for packages, and rules as files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from skillyard.api.schemas.packages import RuleView, StatsView
from skillyard.cli import package_checks, package_files
from skillyard.cli.agent_names import MaturityName
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.package_words import ExpiresDays, Global, Kind, expiry, scope_of, told
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.decision import RuleScope, RuleState
from skillyard.skills.skill import Ecosystem

app = typer.Typer(add_completion=False, help="Check, ask for, approve and ban packages.")

Name = Annotated[str, typer.Argument(metavar="PACKAGE")]
Versions = Annotated[
    str, typer.Option("--versions", help="As in '<2', '==1.2.3' or, for npm, '^1.2'; default: every version.")
]

app.command("check")(package_checks.check)
app.command("request")(package_checks.request)
app.command("requests")(package_checks.list_requests)
app.command("approve-request")(package_checks.approve_request)
app.command("deny-request")(package_checks.deny_request)


@app.command("list")
def list_rules(
    *,
    state: Annotated[RuleState | None, typer.Option("--state", help="Approvals only, or bans only.")] = None,
    ecosystem: Annotated[Ecosystem | None, typer.Option("--ecosystem", help="Of one ecosystem.")] = None,
    scope: Annotated[RuleScope | None, typer.Option("--scope", help="The workspace's own, or global ones.")] = None,
    prefix: Annotated[str | None, typer.Option("--prefix", help="Names that begin so.")] = None,
    expiring_days: Annotated[
        int | None, typer.Option("--expiring-days", min=1, help="Ending within so many days.")
    ] = None,
    approval: Annotated[int | None, typer.Option("--approval", min=1, help="Made by one approval request.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Every rule that binds the workspace and was not revoked."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(
            client.pages(
                "/v1/packages/rules",
                RuleView,
                state=None if state is None else state.value,
                ecosystem=None if ecosystem is None else ecosystem.value,
                scope=None if scope is None else scope.value,
                prefix=prefix,
                expiring_days=expiring_days,
                approval=approval,
            )
        )
    rows = [
        (
            str(rule.id),
            rule.scope.value,
            rule.ecosystem.value,
            f"{rule.name}{' ' if rule.specifier[:1].isalnum() else ''}{rule.specifier}",
            rule.state.value,
            rule.min_maturity or "-",
            "-" if rule.expires_at is None else f"{rule.expires_at:%Y-%m-%d}",
            "-" if rule.approval is None else str(rule.approval),
            rule.reason or "",
        )
        for rule in found
    ]
    header = ("id", "scope", "ecosystem", "package", "rule", "from", "until", "approval", "reason")
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
    expires_days: ExpiresDays = None,
    everywhere: Global = False,
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
        "expires_at": expiry(expires_days),
        "scope": scope_of(everywhere).value,
    }
    return _made("/v1/packages/approve", body, server, Screen(json=json))


@app.command()
def ban(
    package: Name,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; whoever is refused reads it.")],
    versions: Versions = "",
    ecosystem: Kind = Ecosystem.PYPI,
    expires_days: ExpiresDays = None,
    everywhere: Global = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Ban versions of a package for everybody. Acts now: sandboxes that hold one are stopped."""
    body = {
        "ecosystem": ecosystem.value,
        "name": package,
        "specifier": versions,
        "reason": reason,
        "expires_at": expiry(expires_days),
        "scope": scope_of(everywhere).value,
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
    everywhere: Global = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Lift bans of a package."""
    screen = Screen(json=json)
    body = {
        "ecosystem": ecosystem.value,
        "name": package,
        "specifier": versions,
        "scope": scope_of(everywhere).value,
    }
    with connected(server) as client:
        lifted = [parsed(RuleView, rule) for rule in client.post("/v1/packages/unban", body).value]
    screen.answer({"lifted": lifted}, lambda: [f"lifted: {told(rule)}" for rule in lifted] or ["there was no such ban"])
    return ExitCode.DONE


@app.command()
def revoke(
    rule: Annotated[int, typer.Argument(metavar="RULE", min=1)], *, server: Server = None, json: Json = False
) -> ExitCode:
    """End one rule, an approval or a ban, by its id."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(f"/v1/packages/rules/{rule}")
    screen.answer({"revoked": rule}, lambda: [f"revoked: rule {rule}"])
    return ExitCode.DONE


@app.command()
def stats(
    *,
    expiring_days: Annotated[int, typer.Option("--expiring-days", min=1, help="What counts as ending soon.")] = 30,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """How many rules there are, what waits, and which packages installed skills use."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(StatsView, client.get("/v1/packages/stats", expiring_days=expiring_days).value)
    rules = [
        (one.scope.value, one.ecosystem.value, one.state.value, str(one.in_force), str(one.expiring), str(one.expired))
        for one in found.rules
    ]
    used = [
        (one.ecosystem.value, f"{one.name} {one.version}", str(one.skills), one.state.value) for one in found.most_used
    ]
    header = ("scope", "ecosystem", "rule", "in force", f"ending in {expiring_days} days", "expired")
    states = ", ".join(f"{count} {state.value}" for state, count in sorted(found.installed_by_state.items()))
    screen.answer(
        found,
        lambda: [
            *table(header, rules),
            "",
            f"{found.requests_waiting} package requests wait",
            f"{found.packages_installed} packages in installed locks{f': {states}' if states else ''}",
            "",
            *table(("ecosystem", "package", "skills", "stands"), used),
        ],
    )
    return ExitCode.DONE


app.command("export")(package_files.export_rules)
app.command("import")(package_files.import_rules)
app.command("allow")(package_files.allow)


def _made(path: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        rule = parsed(RuleView, client.post(path, body).value)
    screen.answer(rule, lambda: [f"made: {told(rule)}"])
    return ExitCode.DONE
