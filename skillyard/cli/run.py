"""``run``: the author's loop, the whole pipeline for one call on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer

from skillyard.api.answers import invocation_view
from skillyard.cli.answers import LiveOutput, show_invocation
from skillyard.cli.author import SkillPath, source_of
from skillyard.cli.calls import CallInput, EntryName, Files, Input, OutputDir, Stdin, Timeout, call_input, read_input
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.progress import Watcher
from skillyard.cli.saved import save_files
from skillyard.cli.screen import Json, Screen
from skillyard.governance.policy import Policy
from skillyard.runtime.invoke import find_entry
from skillyard.runtime.local import LocalWorkspace, ensure_operator
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest
from skillyard.sandbox.outcome import InputFile
from skillyard.settings import Settings
from skillyard.skills.skill import EntryKind
from skillyard.skills.source import Source

app = typer.Typer(add_completion=False)

_CHUNK = 1024 * 1024
_HELD = "Look at them, then call again with --approve: the approval is recorded as yours."


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The command line, read."""

    source: Source
    entry: str | None
    given: Mapping[str, object]
    files: tuple[str, ...]
    stdin: Path | None
    timeout: float | None
    approve: bool


@app.command()
def run(
    path: SkillPath,
    *,
    given: Input = None,
    entry: EntryName = None,
    file: Files = None,
    stdin: Stdin = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve what is held, on the record.")] = False,
    timeout: Timeout = None,
    output_dir: OutputDir = None,
    json: Json = False,
) -> ExitCode:
    """Run a skill once: resolve, scan, decide, sandbox.

    Decided by the local policy: you are the agent, old advisories are accepted with their date printed, packages need
    your --approve, and a BLOCK or a ban refuses as everywhere.

    Exit code 0 if it succeeded, 1 if it failed or was refused, 3 for INDETERMINATE, 4 if packages wait for --approve.
    """
    screen, settings = Screen(json=json), settings_for()
    wanted = _Wanted(source_of(path, settings), entry, read_input(given), tuple(file or ()), stdin, timeout, approve)
    with screen.watch("running") as watcher:
        version, invocation = to_the_end(_run(settings, wanted, screen, watcher))
    view = invocation_view(invocation)
    places = {item.path: item.location for item in invocation.outcome.files}
    saved = save_files(view, output_dir, lambda name: _chunks(places[name]))
    return show_invocation(screen, view, saved, held_hint=_HELD, facts=_facts(version))


async def _run(
    settings: Settings, wanted: _Wanted, screen: Screen, watcher: Watcher
) -> tuple[InstalledVersion, Invocation]:
    policy = Policy.local(settings)
    async with await create_runtime(settings, policy=policy, first_person=False) as runtime:
        local = LocalWorkspace(runtime=runtime, operator=await ensure_operator(runtime.database))
        version = await local.install(wanted.source, on_progress=watcher.step)
        request, script = _request(local, version, wanted)
        live = LiveOutput(script=script, silent=screen.json, before=watcher.clear, step=watcher.step)
        invocation = await local.invoke(request, approve=wanted.approve, on_progress=watcher.step, on_output=live.emit)
        return version, invocation


def _request(local: LocalWorkspace, version: InstalledVersion, wanted: _Wanted) -> tuple[InvokeRequest, bool]:
    """The call, and whether what it calls is a script. Raises ``UsageProblemError`` for input that does not fit."""
    entry = find_entry(version, wanted.entry)
    script = entry is not None and entry.kind is EntryKind.SCRIPT
    given: CallInput = call_input(wanted.given, wanted.files, script=script, stdin=wanted.stdin)
    request = InvokeRequest(
        workspace=local.operator.person.workspace,
        agent=local.operator.agent.id,
        skill=version.ref,
        entry=wanted.entry,
        input_json=orjson.dumps(given.arguments),
        argv=given.argv,
        stdin=given.stdin,
        files=tuple(InputFile(name, content) for name, content in given.files.items()),
        timeout_seconds=wanted.timeout,
    )
    return request, script


def _facts(version: InstalledVersion) -> dict[str, object]:
    """What a document says beside the call itself: who decided, and on which evidence."""
    report = version.report
    dates = {one.scanner: one.data_date for one in report.evidence}
    return {"policy": "local", "verdict": report.verdict.name, "data_dates": dates}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
