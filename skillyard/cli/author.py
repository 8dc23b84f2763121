"""Commands for whoever writes a skill: start one, check it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.skills import SkillView
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen
from skillyard.runtime.stages import read
from skillyard.settings import Settings
from skillyard.skills.errors import SkillError
from skillyard.skills.skill import Note, ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.skills.sources.spec import source_for
from skillyard.skills.template import create_skill

app = typer.Typer(add_completion=False)

SkillPath = Annotated[str, typer.Argument(metavar="PATH", help="A folder, an archive, or a Git address.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take only what the open specification allows.")]


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and single hyphens.")],
    json: Json = False,
) -> ExitCode:
    """Start a new skill in a folder of that name."""
    screen = Screen(json=json)
    try:
        folder = create_skill(name, Path.cwd())
    except SkillError as error:
        raise UsageProblemError(error.message, field="NAME") from error
    document = {"name": name, "folder": folder}
    screen.answer(document, lambda: [f"made {folder}", f'try:  skillyard run {name} --input \'{{"text": "hello"}}\''])
    return ExitCode.DONE


@app.command()
def validate(path: SkillPath, strict: Strict = False, json: Json = False) -> ExitCode:
    """Check a skill against the format."""
    screen, settings = Screen(json=json), settings_for()
    skill = to_the_end(_read(path, settings, ParseMode.STRICT if strict else ParseMode.LENIENT))
    document = {"valid": True, "skill": SkillView.model_validate(skill)}
    screen.answer(document, lambda: _described(skill))
    return ExitCode.DONE


def source_of(spec: str, settings: Settings) -> Source:
    """The source that a person named; a path is one on this machine."""
    return source_for(spec, environment=settings.tool_environment, allow_local=True)


async def _read(path: str, settings: Settings, mode: ParseMode) -> Skill:
    async with read(source_of(path, settings), home=settings.home, mode=mode) as (_folder, skill):
        return skill


def _described(skill: Skill) -> Iterator[str]:
    yield f"{skill.name} {skill.version}: valid, {skill.kind.value}"
    yield f"  bundle    {skill.bundle.digest} ({len(skill.bundle.files)} files, {skill.bundle.size} bytes)"
    for entry in skill.entries:
        yield f"  entry     {entry}"
    for package in skill.declared:
        place = package.origin.file + (f":{package.origin.line}" if package.origin.line else "")
        yield f"  package   {package.requirement}  ({package.ecosystem.value}, {place})"
    for note in skill.notes:
        yield f"  warning   {_noted(note)}"


def _noted(note: Note) -> str:
    line = f":{note.line}" if note.line else ""
    field = f"{note.field}: " if note.field else ""
    return f"{note.file}{line}: {field}{note.message}"
