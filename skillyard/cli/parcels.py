"""``skills``: take installed skills to machines without a network, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.skills import InstallationView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.installed import installed_lines, reference, skill_path
from skillyard.cli.saved import write_whole
from skillyard.cli.screen import Json, Screen
from skillyard.sandbox.environment import Progress

app = typer.Typer(add_completion=False, help="Take installed skills to machines without a network, and in there.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file, a tar archive.")]


@app.command("export")
def export_skill(
    skill: Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name@version.")],
    file: File,
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Write an installed version with its packages into one file.

    Bundle, locks, the packages that the locks name, and the scan report to be read. Packages that are built from source
    go as their source, with what their builds need; the machine that it is imported at builds them.
    """
    screen, ref = Screen(json=json), reference(skill)
    if ref.version is None:
        raise UsageProblemError("name the version: publisher/name@version", field="SKILL")
    with connected(server) as client, screen.watch("exporting") as watcher:
        watcher.step(Progress(f"exporting {ref}", 0, None))
        write_whole(file, client.download(f"{skill_path(ref)}/export"))
    size = file.stat().st_size
    screen.answer({"skill": str(ref), "file": str(file), "bytes": size}, lambda: [f"{ref}: {file}, {size} bytes"])
    return ExitCode.DONE


@app.command("import")
def import_skill(
    file: File,
    *,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Also where another version is installed; it is put beside it.")
    ] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Install what an exported file holds, without asking any index.

    The server scans it like anything else and decides by its own policy; every wheel has to be what the lock says. The
    locks are believed: import files of people whom you would let resolve packages for you.
    """
    screen = Screen(json=json)
    if not file.is_file():
        raise UsageProblemError(f"there is no file {file}", field="FILE")
    with connected(server) as client, screen.watch("importing") as watcher:
        watcher.step(Progress(f"importing {file}", 0, None))
        answer = client.post_file(f"/v1/skills/import{'?upgrade=true' if upgrade else ''}", file)
    made = parsed(InstallationView, answer.value)
    screen.answer(made, lambda: installed_lines(made))
    return ExitCode.DONE
