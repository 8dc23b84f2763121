"""``doctor``: what this machine has and lacks, and the state of every plug-in."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from skillyard.cli.checks import Diagnosis, State, diagnose
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen, table

app = typer.Typer(add_completion=False)

_MARKS = {State.OK: "ok", State.WARNING: "look", State.MISSING: "MISSING"}


@app.command()
def doctor(*, json: Json = False) -> ExitCode:
    """Say what this machine has and lacks, and the state of every plug-in.

    Changes nothing. Exit code 5 if something that is needed is missing; each such line says what to do.
    """
    screen, settings = Screen(json=json), settings_for()
    found = to_the_end(diagnose(settings))
    document = {"ok": found.ok, "checks": found.checks, "plugins": found.plugins}
    screen.answer(document, lambda: _told(found))
    return ExitCode.DONE if found.ok else ExitCode.MACHINE


def _told(found: Diagnosis) -> Iterator[str]:
    for check in found.checks:
        yield f"{_MARKS[check.state]:<8} {check.name}: {check.detail}"
        if check.hint is not None:
            yield f"{'':<8}   → {check.hint}"
    yield ""
    rows = [
        (one.group, one.name, one.distribution, one.version, one.state.value, one.reason or "") for one in found.plugins
    ]
    yield from table(("group", "plug-in", "distribution", "version", "state", "reason"), rows)
    yield ""
    yield "Everything that is needed is there." if found.ok else "Something that is needed is missing; see above."
