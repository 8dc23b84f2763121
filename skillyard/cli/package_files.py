"""``packages export``, ``import`` and ``allow``: rules as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.packages import DraftView, ExportView, ImportedView
from skillyard.cli.agent_names import MaturityName
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.package_words import ExpiresDays, Global, expiry, scope_of, told
from skillyard.cli.screen import Json, Screen
from skillyard.cli.texts import read_text, write_text
from skillyard.governance.rule_plan import ImportMode

DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change, and for whom.")]
_MOST_SHOWN = 100


def export_rules(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="- for standard output.")],
    *,
    everywhere: Global = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Write the rules of the workspace, or with --global those of the instance, to a file."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(ExportView, client.get("/v1/packages/export", scope=scope_of(everywhere).value).value)
    if json and str(file) == "-":
        screen.answer(found, lambda: ())
        return ExitCode.DONE
    write_text(file, found.text)
    if str(file) != "-":
        screen.answer({"file": str(file), "rules": found.rules}, lambda: [f"{found.rules} rules written to {file}"])
    return ExitCode.DONE


def import_rules(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A rules file; - for standard input.")],
    *,
    mode: Annotated[
        ImportMode,
        typer.Option(
            "--mode",
            help="merge: leave alone what the file does not mention; replace: end it; add: end nothing.",
        ),
    ] = ImportMode.MERGE,
    dry_run: DryRun = False,
    everywhere: Global = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Bring in a rules file, whole or not at all."""
    body = {
        "text": read_text(file),
        "file": file.name,
        "mode": mode.value,
        "scope": scope_of(everywhere).value,
        "dry_run": dry_run,
    }
    return _taken_in("/v1/packages/import", body, server, Screen(json=json))


def allow(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Pinned requirements, or a pylock.toml.")],
    *,
    maturity: Annotated[
        MaturityName, typer.Option("--maturity", case_sensitive=False, help="The least mature agent that may use them.")
    ],
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it is recorded.")] = None,
    expires_days: ExpiresDays = None,
    dry_run: DryRun = False,
    everywhere: Global = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Approve every package of a list in exactly its version, and its files where the list has their hashes."""
    body = {
        "text": read_text(file),
        "file": file.name,
        "min_maturity": maturity.value,
        "reason": reason,
        "expires_at": expiry(expires_days),
        "scope": scope_of(everywhere).value,
        "dry_run": dry_run,
    }
    return _taken_in("/v1/packages/allow-list", body, server, Screen(json=json))


def _taken_in(path: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        found = parsed(ImportedView, client.post(path, body).value)
    screen.answer(found, lambda: _shown(found))
    return ExitCode.DONE


def _shown(found: ImportedView) -> Iterator[str]:
    would = "would be " if found.dry_run else ""
    yield from _some([f"{would}added: {_draft(one)}" for one in found.added])
    yield from _some([f"{would}ended: {told(one)}" for one in found.ended])
    yield f"{len(found.added)} {would}added, {len(found.ended)} {would}ended, {found.kept} as they are"
    if found.expired:
        yield f"note: {found.expired} rules of the file have run out, and neither approve nor ban anything"
    if found.impact is None:
        return
    changed = [
        f"{one.skill}@{one.version} for {one.maturity} agents: {one.before} -> {one.after}"
        for one in found.impact.decisions
    ]
    yield from _some(changed)
    named = ", ".join(f"{one.name} ({one.maturity})" for one in found.impact.agents[:_MOST_SHOWN])
    yield f"{len(changed)} decisions about installed skills would change" + (f"; agents: {named}" if changed else "")
    if found.impact.other_workspaces:
        others = found.impact
        yield (
            f"in {others.other_workspaces} other workspaces: {others.other_versions} versions, "
            f"{others.other_agents} agents"
        )


def _some(lines: list[str]) -> list[str]:
    left = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], f"… and {left} more; --json shows all"] if left > 0 else lines


def _draft(one: DraftView) -> str:
    what = "ban" if one.min_maturity is None else f"approval from {one.min_maturity} on"
    versions = f" {one.specifier}" if one.specifier[:1].isalnum() else one.specifier
    return f"{what} of {one.ecosystem.value} {one.name}{versions or ' (every version)'}"
