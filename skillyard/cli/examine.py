"""Commands that look closer at a skill: resolve its packages, scan it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json

from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.skills import LockView
from skillyard.cli.author import SkillPath, source_of
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import VERDICTS, ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.saved import write_whole
from skillyard.cli.screen import Json, Screen
from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.formats.report_format import ReportFormat, written
from skillyard.governance.formats.text import to_text
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.runtime import workbench
from skillyard.sandbox.images import base_target
from skillyard.skills.lock import Lock
from skillyard.skills.pylock import render_tree, write_pylock
from skillyard.skills.skill import Ecosystem, ParseMode

app = typer.Typer(add_completion=False)

ScanPath = Annotated[
    str, typer.Argument(metavar="PATH", help="A folder, an archive, a file, a list of packages, or a Git address.")
]


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
def scan(
    path: ScanPath,
    *,
    form: Annotated[ReportFormat, typer.Option("--format", help="How to write the report.")] = ReportFormat.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the report to this file.")] = None,
    policy: Annotated[Path | None, typer.Option("--policy", help="Judge by this scan policy file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> ExitCode:
    """Scan a skill, or any folder, archive, file or list of packages.

    Nothing is installed or executed. A list is a requirements.txt, pylock.toml or package-lock.json.

    Exit code 0 for PASS and FLAG, 1 for BLOCK, 3 for INDETERMINATE, for example with advisories that are too old.
    """
    if json and form not in (ReportFormat.TABLE, ReportFormat.JSON):
        raise UsageProblemError(f"goes with no other format, and {form.value} was asked for", field="--json")
    form = ReportFormat.JSON if json else form
    screen, settings = Screen(json=form is ReportFormat.JSON), settings_for(scan_policy=policy)
    judge = ScanPolicy.from_settings(settings)
    with screen.watch("scanning") as watcher:
        examined = to_the_end(workbench.examine(settings, path, policy=judge, on_progress=watcher.step))
    about = Inventory(examined.skill, examined.locks, examined.report)
    if output is None and form is ReportFormat.TABLE:
        screen.report(to_text(about, screen.width))
    elif output is None:
        screen.write(written(about, form, _document(about)))
    else:
        write_whole(output, [written(about, form, _document(about))])
        screen.note(f"{examined.report.verdict.name}  {examined.skill.name}: wrote {output}")
    return VERDICTS[examined.report.verdict]


def _locked(lock: Lock, output: Path | None, *, tree: bool) -> Iterator[str]:
    if tree:
        yield from render_tree(lock).splitlines() or ["the skill declares no Python packages"]
    elif output is None:
        yield from write_pylock(lock).splitlines()
    if output is not None:
        yield f"wrote {output}: {len(lock.packages)} packages, {lock.digest}"


def _document(about: Inventory) -> bytes:
    """What ``--json`` prints."""
    document = {
        "skill": about.skill.name,
        "version": about.skill.version,
        "packages": sum(1 for _ in about.packages()),
        **ReportView.model_validate(about.report).model_dump(),
    }
    return to_json(document) + b"\n"
