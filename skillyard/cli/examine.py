"""Commands that look closer at a skill: resolve its packages, scan it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.skills import LockView
from skillyard.cli.author import SkillPath, source_of
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import VERDICTS, ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.saved import write_whole
from skillyard.cli.screen import Json, Screen
from skillyard.governance.report import Report
from skillyard.governance.scan import ScanPolicy
from skillyard.runtime import workbench
from skillyard.sandbox.images import base_target
from skillyard.skills.lock import Lock
from skillyard.skills.pylock import render_tree, write_pylock
from skillyard.skills.skill import Ecosystem, ParseMode, Skill

app = typer.Typer(add_completion=False)


@app.command()
def lock(
    path: SkillPath,
    tree: Annotated[bool, typer.Option("--tree", help="Show who asked for whom instead.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the pylock.toml to this file.")] = None,
    json: Json = False,
) -> ExitCode:
    """Resolve a skill's packages to a hashed lock.

    Prints it as a standard pylock.toml.
    """
    screen, settings = Screen(json=json), settings_for()
    with screen.watch("locking") as watcher:
        work = workbench.lock(settings, source_of(path, settings), mode=ParseMode.LENIENT, on_progress=watcher.step)
        skill, locks = to_the_end(work)
    python = next((one for one in locks if one.ecosystem is Ecosystem.PYPI), Lock(Ecosystem.PYPI, base_target(), ()))
    if output is not None:
        write_whole(output, [write_pylock(python).encode()])
    document = {
        "skill": skill.name,
        "version": skill.version,
        "locks": [LockView.model_validate(one) for one in locks],
        "tree": render_tree(python).splitlines(),
        "output": output,
    }
    screen.answer(document, lambda: _locked(python, output, tree=tree))
    return ExitCode.DONE


@app.command()
def scan(path: SkillPath, json: Json = False) -> ExitCode:
    """Look for known vulnerabilities in a skill and its packages.

    Exit code 0 for PASS and FLAG, 1 for BLOCK, 3 for INDETERMINATE, for example with advisories that are too old.
    """
    screen, settings = Screen(json=json), settings_for()
    with screen.watch("scanning") as watcher:
        work = workbench.examine(
            settings,
            source_of(path, settings),
            mode=ParseMode.LENIENT,
            policy=ScanPolicy.from_settings(settings),
            on_progress=watcher.step,
        )
        examined = to_the_end(work)
    document = {
        "skill": examined.skill.name,
        "version": examined.skill.version,
        "packages": sum(len(one.all_packages) for one in examined.locks),
        **ReportView.model_validate(examined.report).model_dump(),
    }
    screen.answer(document, lambda: _scanned(examined.skill, examined.report))
    return VERDICTS[examined.report.verdict]


def _locked(lock: Lock, output: Path | None, *, tree: bool) -> Iterator[str]:
    if tree:
        yield from render_tree(lock).splitlines() or ["the skill declares no Python packages"]
    elif output is None:
        yield from write_pylock(lock).splitlines()
    if output is not None:
        yield f"wrote {output}: {len(lock.packages)} packages, {lock.digest}"


def _scanned(skill: Skill, report: Report) -> Iterator[str]:
    yield f"{report.verdict.name}  {skill.name} {skill.version}"
    yield from (f"  {reason}" for reason in report.reasons)
