"""``quarantine``: versions that newer advisories took out of use, and how one comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from skillyard.api.schemas.quarantine import QuarantinedView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.installed import reference
from skillyard.cli.screen import Json, Screen, table

app = typer.Typer(
    add_completion=False,
    help="List what newer advisories took out of use, or let it back in.\n\nNothing leaves quarantine by itself.",
)

Named = Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name@version.")]


@app.command("list")
def list_quarantined(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every version in quarantine, and why."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/quarantine", QuarantinedView))
    screen.answer({"quarantined": found}, lambda: _listed(found))
    return ExitCode.DONE


@app.command()
def lift(
    skill: Named,
    *,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why it may run again; recorded.")],
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Let a version be called again.

    Refused while its report blocks it or nobody can tell; waive what you accept, or update the advisories, first.
    Approvals that ended with the quarantine stay ended: its packages wait for an approval again.
    """
    screen, ref = Screen(json=json), reference(skill)
    if ref.version is None:
        raise UsageProblemError("name the version: publisher/name@version", field="SKILL")
    path = f"/v1/quarantine/{quoted(ref.publisher)}/{quoted(ref.name)}/versions/{quoted(ref.version)}/lift"
    with connected(server) as client:
        lifted = parsed(QuarantinedView, client.post(path, {"reason": reason}).value)
    screen.answer(lifted, lambda: [f"{ref} is out of quarantine; its scan says {lifted.verdict}"])
    return ExitCode.DONE


def _listed(found: list[QuarantinedView]) -> Iterator[str]:
    if not found:
        yield "Nothing is in quarantine."
        return
    rows = [
        (
            f"{one.publisher}/{one.name}@{one.version}",
            one.verdict,
            "yes" if one.can_be_lifted else "no",
            one.report.reasons[0],
        )
        for one in found
    ]
    yield from table(("skill", "scan says now", "can be lifted", "first reason"), rows)
