"""``dev``: a folder that is served while it is edited."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer

from skillyard.api.server import Serving, listen, serve_runtime
from skillyard.cli.author import source_of
from skillyard.cli.calls import EntryName, Files, Input, Timeout, call_input, read_input
from skillyard.cli.configuration import settings_for
from skillyard.cli.dev_log import DevLog
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen
from skillyard.governance.policy import Policy
from skillyard.runtime.dev import Developer, DevOptions, MakeRequest
from skillyard.runtime.dev_access import agent_token
from skillyard.runtime.invoke import find_entry
from skillyard.runtime.local import LocalWorkspace, Operator, ensure_operator
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import InstalledVersion, InvokeRequest
from skillyard.sandbox.outcome import InputFile
from skillyard.settings import Settings
from skillyard.skills.skill import EntryKind
from skillyard.skills.sources.folder import FolderSource

app = typer.Typer(add_completion=False)

_GRACE_SECONDS = 3
"""How long calls may go on after Ctrl-C: whoever edits a skill waits for the prompt."""

Folder = Annotated[str, typer.Argument(metavar="PATH", help="The skill's folder.")]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The command line, read. ``call`` is whether the skill is called after every swap."""

    folder: Path
    options: DevOptions
    call: bool
    entry: str | None
    given: dict[str, object]
    files: tuple[str, ...]
    timeout: float | None


@app.command()
def dev(
    path: Folder,
    *,
    given: Input = None,
    entry: EntryName = None,
    file: Files = None,
    timeout: Timeout = None,
    approve: Annotated[bool, typer.Option("--approve", help="Approve what is held, on the record.")] = False,
    relock: Annotated[bool, typer.Option("--relock", help="Resolve anew, also what was locked before.")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on loopback; 0 picks a free one.")] = 0,
    json: Json = False,
) -> ExitCode:
    """Serve a skill's folder while it is edited.

    Every change is parsed, locked if it declares other packages, scanned, started beside what serves, checked, and then
    takes over, in which no call is lost. What does not pass is told, and the last version that did goes on serving.

    The HTTP API answers on loopback meanwhile, for calls with the token in the file that is printed. With --input or
    --entry the skill is also called after every change. Decided by the local policy, like `run`.

    It ends with Ctrl-C. With --json every line is one JSON document.
    """
    screen, settings = Screen(json=json), settings_for(host="127.0.0.1", port=port)
    call = given is not None or entry is not None or bool(file)
    wanted = _Wanted(
        folder=_folder(path, settings),
        options=DevOptions(approve=approve, relock=relock),
        call=call,
        entry=entry,
        given=dict(read_input(given)),
        files=tuple(file or ()),
        timeout=timeout,
    )
    to_the_end(_dev(settings, wanted, DevLog(screen, folder=wanted.folder)))
    return ExitCode.DONE


def _folder(path: str, settings: Settings) -> Path:
    if not isinstance(source_of(path, settings), FolderSource):
        raise UsageProblemError("only a folder on this machine can be edited", field="PATH")
    # Not resolved: where the path is a link, it may be turned to another folder.
    return Path(path).expanduser().absolute()


async def _dev(settings: Settings, wanted: _Wanted, log: DevLog) -> None:
    with listen(settings) as listener:
        async with await create_runtime(settings, policy=Policy.local(settings), first_person=False) as runtime:
            operator = await ensure_operator(runtime.database)
            developer = Developer(
                local=LocalWorkspace(runtime=runtime, operator=operator),
                folder=wanted.folder,
                claims=settings.home / "dev",
                options=wanted.options,
                tell=log.told,
                request=_maker(operator, wanted) if wanted.call else None,
                on_progress=log.progress,
            )
            async with agent_token(runtime.database, operator, settings.home / "dev") as token:

                def ready(serving: Serving) -> None:
                    log.ready(serving.url, token, developer.name)

                working = asyncio.create_task(developer.run())
                try:
                    # Not before the first content was dealt with: until then an earlier day's would answer.
                    await _first(developer, working)
                    answering = asyncio.create_task(
                        serve_runtime(
                            runtime,
                            listener,
                            only=operator.person.workspace,
                            grace_seconds=_GRACE_SECONDS,
                            on_ready=ready,
                        )
                    )
                    await _until_one_ends(answering, working)
                finally:
                    working.cancel()
                    await asyncio.gather(working, return_exceptions=True)
            log.stopped()


async def _first(developer: Developer, working: asyncio.Task[None]) -> None:
    first = asyncio.create_task(developer.first.wait())
    try:
        await asyncio.wait({first, working}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        first.cancel()


async def _until_one_ends(answering: asyncio.Task[None], working: asyncio.Task[None]) -> None:
    """The server ends when somebody asks; the other one, when something is wrong."""
    try:
        await asyncio.wait({answering, working}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not answering.done():
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
    for task in (working, answering):
        if task.done():
            task.result()


def _maker(operator: Operator, wanted: _Wanted) -> MakeRequest:
    """Makes the call that follows every change. What fits a function may not fit a script, so it is read each time."""

    def make(version: InstalledVersion) -> InvokeRequest:
        entry = find_entry(version, wanted.entry)
        script = entry is not None and entry.kind is EntryKind.SCRIPT
        given = call_input(wanted.given, wanted.files, script=script)
        return InvokeRequest(
            workspace=operator.person.workspace,
            agent=operator.agent.id,
            skill=version.ref,
            entry=wanted.entry,
            input_json=orjson.dumps(given.arguments),
            argv=given.argv,
            stdin=given.stdin,
            files=tuple(InputFile(name, content) for name, content in given.files.items()),
            timeout_seconds=wanted.timeout,
        )

    return make
