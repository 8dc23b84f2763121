"""``engines``: second vulnerability scanners: those in locked environments of their own, and the machine's npm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.engines.environments import EngineEnvironment, engine_environment, install_engine
from skillyard.governance.engines.names import INSTALLED_BY_US, NPM_AUDIT
from skillyard.governance.scanners.npm_audit import npm_program
from skillyard.sandbox.index import PackageIndex
from skillyard.settings import Settings

app = typer.Typer(add_completion=False, help="Install second vulnerability scanners, or say which are there.")


@dataclass(frozen=True, slots=True)
class Listed:
    """One engine as it is shown. ``version`` is ``None`` where it is another's and said by each run (npm's)."""

    name: str
    version: str | None
    place: Path | None
    installed: bool
    in_use: bool


@app.command("list")
def list_engines(*, json: Json = False) -> ExitCode:
    """Every engine that this release can drive: its version, whether it is installed, and whether scans run it.

    Exit code 5 where one that scans run is not installed.
    """
    screen, settings = Screen(json=json), settings_for()
    found = [_listed(engine_environment(settings, name), settings) for name in sorted(INSTALLED_BY_US)]
    npm = npm_program(settings)
    found.append(Listed(NPM_AUDIT, None, npm, npm is not None, NPM_AUDIT in settings.engines))
    screen.answer({"engines": found}, lambda: _told(found))
    return ExitCode.MACHINE if any(one.in_use and not one.installed for one in found) else ExitCode.DONE


@app.command()
def install(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Engines; default: those that the settings name.")
    ] = None,
    *,
    json: Json = False,
) -> ExitCode:
    """Make the environments of engines from the locks that ship with Skillyard; does nothing that is done already."""
    screen, settings = Screen(json=json), settings_for()
    wanted = names or [name for name in settings.engines if name in INSTALLED_BY_US]
    for name in wanted:
        if name not in INSTALLED_BY_US:
            raise UsageProblemError(
                f"there is no engine {name!r} to install; there are: {', '.join(sorted(INSTALLED_BY_US))}", field="NAME"
            )
    with screen.watch("installing engines"):
        made = [to_the_end(_install(settings, name)) for name in dict.fromkeys(wanted)]
    found = [_listed(one, settings) for one in made]
    screen.answer({"engines": found}, lambda: _told(found))
    return ExitCode.DONE


async def _install(settings: Settings, name: str) -> EngineEnvironment:
    return await install_engine(settings, name, index=PackageIndex.from_settings(settings).environment)


def _listed(engine: EngineEnvironment, settings: Settings) -> Listed:
    return Listed(engine.name, engine.version, engine.folder, engine.is_there, engine.name in settings.engines)


def _told(found: list[Listed]) -> Iterator[str]:
    rows = [
        (
            one.name,
            one.version or "npm's",
            "yes" if one.installed else "no",
            "yes" if one.in_use else "no",
            str(one.place or "not on the path"),
        )
        for one in found
    ]
    yield from table(("engine", "version", "installed", "scans run it", "where"), rows)
