"""``waivers``: findings that a person lets be, for a reason and until a day."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from skillyard.api.schemas.waivers import WaiverView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.package_words import Kind, expiry, split_package
from skillyard.cli.screen import Json, Screen, table
from skillyard.skills.skill import Ecosystem

app = typer.Typer(add_completion=False, help="Let one known finding be, for a reason and until a day.")


@app.command()
def add(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why it may be; everybody who reads the report reads it.")],
    expires_days: Annotated[
        float, typer.Option("--expires-days", min=0.001, max=3650, help="Days until it ends by itself.")
    ],
    package: Annotated[
        str | None, typer.Option("--package", help="NAME==VERSION, for npm NAME@VERSION; goes with --advisory.")
    ] = None,
    advisory: Annotated[str | None, typer.Option("--advisory", help="The advisory, by any of its names.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="The rule; goes with --file-digest.")] = None,
    file_digest: Annotated[
        str | None, typer.Option("--file-digest", help="The file's SHA-256, as reports say.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Who answers for it; you, by default.")] = None,
    ecosystem: Kind = Ecosystem.PYPI,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Let a finding be: an advisory in one package version, or a rule in one file.

    Never a record of a malicious package, and never what a scan could not tell.
    """
    screen = Screen(json=json)
    about: dict[str, object] = {"advisory": advisory, "rule": rule, "file_sha256": file_digest}
    if package is not None:
        name, version = split_package(package, ecosystem)
        about |= {"ecosystem": ecosystem.value, "name": name, "version": version}
    body = {**about, "reason": reason, "expires_at": expiry(expires_days), "owner": owner}
    with connected(server) as client:
        made = parsed(WaiverView, client.post("/v1/waivers", body).value)
    screen.answer(made, lambda: [f"waiver {made.id}: {_about(made)}, until {made.expires_at:%Y-%m-%d}"])
    return ExitCode.DONE


@app.command("list")
def list_waivers(
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that ran out or were revoked.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Waivers of the workspace."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/waivers", WaiverView, ended=ended or None))
    now = datetime.now(UTC)
    rows = [
        (str(one.id), _about(one), one.owner_name, f"{one.expires_at:%Y-%m-%d}", _state(one, now), one.reason)
        for one in found
    ]
    screen.answer({"waivers": found}, lambda: table(("id", "about", "owner", "until", "state", "reason"), rows))
    return ExitCode.DONE


@app.command()
def revoke(
    waiver: Annotated[int, typer.Argument(metavar="WAIVER", min=1)], *, server: Server = None, json: Json = False
) -> ExitCode:
    """End a waiver now. What it let run and nothing else does is stopped."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(f"/v1/waivers/{waiver}")
    screen.answer({"revoked": waiver}, lambda: [f"revoked: waiver {waiver}"])
    return ExitCode.DONE


def _about(one: WaiverView) -> str:
    if one.package is None:
        return f"rule {one.rule} in the file {(one.file_sha256 or '')[:12]}…"
    mark = "==" if one.package.ecosystem is Ecosystem.PYPI else "@"
    return f"{one.advisory} in {one.package.name}{mark}{one.package.version}"


def _state(one: WaiverView, now: datetime) -> str:
    if one.revoked_at is not None:
        return "revoked"
    return "counts" if now < one.expires_at else "expired"
