"""``demo``: tell the chapters, one after the other, and leave nothing behind."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import skillyard
from skillyard.cli.configuration import settings_for
from skillyard.cli.demo.chapters import CHAPTERS, Chapter
from skillyard.cli.demo.containers import Containers
from skillyard.cli.demo.market import SETTINGS
from skillyard.cli.demo.narrator import Narrator
from skillyard.cli.demo.server import fresh_home, start
from skillyard.cli.demo.stage import Stage, StoryError, gather
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen
from skillyard.errors import MachineError, SkillyardError
from skillyard.settings import Settings

app = typer.Typer(add_completion=False)

MAX_AGE_DAYS = 36_500
"""A hundred years: the demo accepts the embedded snapshot however old it is, and says so."""
_OUTPUT = "demo-output"
_HOME = ".demo"


class NoSkillsError(MachineError):
    """The bundled skills are not beside this installation; the demo runs from a clone of the repository."""

    code = "no_skills"


@app.command()
def demo(
    *,
    chapter: Annotated[
        list[str] | None,
        typer.Option("--chapter", "-c", help="Only this chapter and those it needs. May be repeated."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="The demo's own home folder; default: .demo in the clone.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output-dir", "-o", help="Where the chart goes; default: demo-output in the clone.")
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Tell the main story end to end, on a real Docker Engine.

    Every step checks that it did what it says; the first that did not ends the demo with exit code 1.
    """
    screen, settings = Screen(json=json), settings_for()
    chapters = wanted_chapters(chapter or [])
    root = checkout()
    narrator = Narrator(sys.stderr if json else sys.stdout)
    started = time.monotonic()
    places = Places(root / "skills", (home or root / _HOME).resolve(), (output or root / _OUTPUT).resolve())
    notes = _tell(chapters, places, settings, narrator)
    took = time.monotonic() - started
    document = {"ok": True, "chapters": [one.name for one in chapters], "seconds": round(took, 1), **notes}
    screen.answer(document, lambda: ["", f"All of it did what it says, in {took:.0f} s. Next: docs/quickstart.md"])
    return ExitCode.DONE


def wanted_chapters(names: list[str]) -> list[Chapter]:
    """The named chapters and what they need, in the story's order; all of them where none is named."""
    known = {chapter.name: chapter for chapter in CHAPTERS}
    for name in names:
        if name not in known:
            raise UsageProblemError(f"{name!r} is none of: {', '.join(known)}", field="--chapter")
    needed = {need for name in names for need in (name, *known[name].needs)}
    return [chapter for chapter in CHAPTERS if not names or chapter.name in needed]


def checkout() -> Path:
    """The clone that this package runs from, which has the bundled skills."""
    root = Path(skillyard.__file__).parent.parent
    if not (root / "skills" / "csv-report" / "SKILL.md").is_file():
        raise NoSkillsError("the bundled skills are not beside this installation; run `make demo` in a clone")
    return root


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of one telling."""

    skills: Path
    home: Path
    output: Path


def _tell(chapters: list[Chapter], places: Places, settings: Settings, narrator: Narrator) -> dict[str, object]:
    with fresh_home(places.home) as home:
        with narrator.waiting("starting a server of its own"):
            server = start(home, _server_settings(home, settings))
        with server:
            narrator.say(f"A server of the demo's own runs at {server.url}, over a new database in {home}.")
            containers = Containers(address=settings.docker_host, home=home)
            stage = Stage(server, gather(server), containers, places.skills, places.output, narrator)
            for number, chapter in enumerate(chapters, 1):
                narrator.title(number, len(chapters), chapter.title)
                _tell_one(chapter, stage)
        left = containers.count()
        if left:
            raise StoryError(f"expected no container to be left, but: {left} are")
        narrator.blank()
        narrator.good("The server has stopped, and none of its containers is left.")
    return stage.notes


def _tell_one(chapter: Chapter, stage: Stage) -> None:
    try:
        chapter.tell(stage)
    except StoryError as error:
        raise StoryError(f"chapter {chapter.name}: {error}") from error
    except SkillyardError as error:
        raise StoryError(f"chapter {chapter.name}: {type(error).__name__}: {error}") from error


def _server_settings(home: Path, settings: Settings) -> dict[str, str]:
    """What the demo's server must not take from the caller's own settings."""
    return {
        "SKILLYARD_HOME": str(home),
        "SKILLYARD_DATABASE_URL": f"sqlite+aiosqlite:///{home / 'skillyard.db'}",
        "SKILLYARD_ADVISORIES_MAX_AGE_DAYS": str(MAX_AGE_DAYS),
        "SKILLYARD_ADVISORIES_UPDATE_HOURS": "0",
        "SKILLYARD_REQUIRE_SECOND_PERSON": "true",
        "SKILLYARD_LOG_LEVEL": settings.log_level,
        **SETTINGS,
    }
