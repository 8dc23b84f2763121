"""``status``: what a server's sandboxes do now, and what happened to them since it started."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from skillyard.api.schemas.system import PoolStatusView, StatusView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, size, table

app = typer.Typer(add_completion=False)


@app.command()
def status(*, server: Server = None, json: Json = False) -> ExitCode:
    """Say what the server's sandboxes do.

    Those of your workspace, with the calls that wait for one; for operators also those of the whole server.
    """
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(StatusView, client.get("/v1/status").value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


def _lines(found: StatusView) -> Iterator[str]:
    yield f"since {found.workspace.started_at:%Y-%m-%d %H:%M:%S} UTC"
    columns = [("workspace", found.workspace)]
    if found.instance is not None:
        columns.append(("server", found.instance))
    cells = [_cells(status) for _, status in columns]
    rows = [(name, *(column[name] for column in cells)) for name in cells[0]]
    yield from table(("", *(title for title, _ in columns)), rows)
    if found.advisories.state != "fresh":
        yield f"The advisories are {found.advisories.state}: verdicts that rest on them are INDETERMINATE."
    for source in found.advisories.failing:
        yield f"The last update of the advisories from {source} failed."


def _cells(status: PoolStatusView) -> dict[str, str]:
    counted = {**status.now.model_dump(), **status.since_start.model_dump()}
    memory = counted.pop("memory_bytes")
    cells = {name.replace("_", " "): str(value) for name, value in counted.items()}
    return {**cells, "memory granted": size(memory)}
