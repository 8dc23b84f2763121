"""``conflicts``: what was changed here and at a remote, and deciding it."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.conflicts import ConflictDetailView, ConflictView, PlaceView, ResolvedView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.marketplace_sync.conflicts.difference import ChangedBy
from skillyard.marketplace_sync.conflicts.values import ConflictState, Strategy

app = typer.Typer(add_completion=False, help="Decide what was changed here and at a remote.")

_MOST = 64 * 1024
_WHO = {ChangedBy.LOCAL: "changed here", ChangedBy.REMOTE: "changed there", ChangedBy.BOTH: "changed on both sides"}


@app.command("list")
def list_conflicts(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those that are resolved.")] = False,
    remote: Annotated[str | None, typer.Option("--remote", help="With this remote alone.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Conflicts that wait for a decision."""
    screen = Screen(json=json)
    state = None if every else ConflictState.OPEN.value
    with connected(server) as client:
        found = list(client.pages("/v1/admin/sync/conflicts", ConflictView, state=state, remote=remote))
    rows = [
        (
            str(one.id),
            one.remote,
            one.key,
            one.kind.value,
            one.severity,
            one.state.value if one.strategy is None else f"{one.state.value}: {one.strategy.value}",
            one.resolved_by or "",
        )
        for one in found
    ]
    header = ("id", "remote", "about", "kind", "severity", "state", "by")
    screen.answer({"conflicts": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def show(
    conflict: Annotated[int, typer.Argument(metavar="CONFLICT", min=1)], *, server: Server = None, json: Json = False
) -> ExitCode:
    """One conflict, place by place: what both started from, what it is here, what it is there."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(ConflictDetailView, client.get(f"/v1/admin/sync/conflicts/{conflict}").value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


@app.command()
def resolve(
    conflicts: Annotated[list[int], typer.Argument(metavar="CONFLICT...", min=1)],
    *,
    strategy: Annotated[Strategy | None, typer.Option("--strategy", help="Whose side counts.")] = None,
    document: Annotated[
        Path | None, typer.Option("--document", help="A JSON file: what the skill's document is to be; one conflict.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Settle conflicts: all that are named, or none of them."""
    screen = Screen(json=json)
    if (strategy is None) == (document is None) or (document is not None and len(conflicts) != 1):
        raise UsageProblemError("give --strategy, or for one conflict --document", field="--strategy")
    with connected(server) as client:
        if document is not None:
            path = f"/v1/admin/sync/conflicts/{conflicts[0]}/resolve"
            one = parsed(ConflictView, client.post(path, {"document": _document(document)}).value)
            done = ResolvedView(resolved=(one,))
        else:
            body = {"ids": conflicts, "strategy": strategy}
            done = parsed(ResolvedView, client.post("/v1/admin/sync/conflicts/resolve", body).value)
    screen.answer(done, lambda: [f"resolved: conflict {one.id} about {one.key}" for one in done.resolved])
    return ExitCode.DONE


def _lines(found: ConflictDetailView) -> Iterator[str]:
    yield f"conflict {found.id} with {found.remote} about {found.key}"
    yield f"  {found.kind.value}, {found.severity}, {found.state.value}, found {found.detected_at:%Y-%m-%d %H:%M} UTC"
    if found.strategy is not None:
        yield f"  settled by {found.resolved_by}: {found.strategy.value}"
    for place in found.places:
        yield ""
        yield from _place(place)


def _place(place: PlaceView) -> Iterator[str]:
    yield f"{place.name}  ({_WHO[place.changed_by]})"
    for mark, name, value in (("  ", "before", place.base), ("< ", "here", place.local), ("> ", "there", place.remote)):
        lines = ["(nothing)"] if value is None else value.splitlines() or [""]
        yield f"{mark}{name + ':':<8}{lines[0]}"
        yield from (f"{mark}{'':<8}{line}" for line in lines[1:])


def _document(path: Path) -> object:
    try:
        if path.stat().st_size > _MOST:
            raise UsageProblemError(f"larger than {_MOST} bytes", file=str(path), field="--document")
        return json_text.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageProblemError(f"is not a JSON file: {error}", file=str(path), field="--document") from error
