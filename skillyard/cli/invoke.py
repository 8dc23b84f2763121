"""``invoke``: call an installed skill on a server, as an agent."""

from __future__ import annotations

import base64
import contextlib
import json as json_text
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import httpx
import typer

from skillyard.api.schemas.invocations import (
    AcceptedEvent,
    ErrorEvent,
    HeldEvent,
    InvocationView,
    LogEvent,
    ProgressEvent,
)
from skillyard.api.schemas.skills import VersionView
from skillyard.cli.answers import LiveOutput, show_invocation
from skillyard.cli.calls import (
    CallInput,
    EntryName,
    Files,
    Input,
    OutputDir,
    Stdin,
    Timeout,
    call_input,
    read_input,
)
from skillyard.cli.client import Client, Server, ServerUnavailableError, connected, json_of, parsed, quoted, refusal
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.installed import reference, skill_path
from skillyard.cli.lengths import Wait, seconds
from skillyard.cli.progress import Watcher
from skillyard.cli.saved import save_files
from skillyard.cli.screen import Json, Screen
from skillyard.errors import SkillyardError
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.environment import Progress
from skillyard.sandbox.events import Emitted, Logged, Output, Progressed

app = typer.Typer(add_completion=False)

_HELD = "A second person decides: skillyard approvals approve ID"
_NDJSON = "application/x-ndjson"
_CANCEL_SECONDS = 15.0


@app.command()
def invoke(
    skill: Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name, or publisher/name@version.")],
    *,
    given: Input = None,
    entry: EntryName = None,
    file: Files = None,
    stdin: Stdin = None,
    timeout: Timeout = None,
    output_dir: OutputDir = None,
    wait: Wait = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Call an installed skill.

    Needs an agent's token: calls are decided and recorded as an agent. Ctrl-C cancels the call.

    Exit code 0 if it succeeded, 1 if it failed or was refused, 3 for INDETERMINATE, 4 if it waits for an approval.
    """
    screen, ref, arguments = Screen(json=json), reference(skill), read_input(given)
    with connected(server) as client:
        script = _is_script(client, ref, entry)
        wanted = call_input(arguments, file, script=script, stdin=stdin)
        with screen.watch(f"calling {ref}") as watcher:
            watcher.step(Progress(f"calling {ref}", 0, None))
            live = LiveOutput(script=script, silent=screen.json, before=watcher.clear, step=watcher.step)
            typed = wanted.stdin if isinstance(wanted.stdin, Path) else None
            body = call_request(ref, entry, wanted, timeout, seconds(wait))
            view = call(client, body, wanted.files, live, stdin=typed, on_held=lambda held: _tell(watcher, held))
        urls = {item.path: item.url for item in view.outcome.files}
        saved = save_files(view, output_dir, lambda path: client.download(urls[path]))
    return show_invocation(screen, view, saved, held_hint=_HELD, facts={})


def _is_script(client: Client, ref: SkillRef, entry: str | None) -> bool:
    """Whether what is called is a script. A skill without entries answers with its instructions."""
    version = parsed(VersionView, client.get(skill_path(ref)).value)
    name = entry or next(iter(version.skill.entries), None)
    return name is not None and ":" not in name


def _tell(watcher: Watcher, held: HeldEvent) -> None:
    watcher.step(Progress(f"held: waiting until {held.until:%R} UTC for approval request {held.approval}", 0, None))


def call_request(
    ref: SkillRef, entry: str | None, wanted: CallInput, timeout: float | None = None, wait: float | None = None
) -> dict[str, object]:
    """The body of a call, without what is on disk."""
    typed = wanted.stdin if isinstance(wanted.stdin, bytes) else b""
    waiting = {} if wait is None else {"wait_for_approval": wait}
    return waiting | {
        "skill": str(ref),
        "entry": entry,
        "input": wanted.arguments,
        "argv": wanted.argv,
        "stdin_base64": base64.b64encode(typed).decode() if typed else None,
        "timeout_seconds": timeout,
    }


def _unheld(_held: HeldEvent) -> None:
    """For callers who do not wait."""


def call(
    client: Client,
    request: Mapping[str, object],
    files: Mapping[str, bytes | Path],
    live: LiveOutput,
    *,
    stdin: Path | None = None,
    on_held: Callable[[HeldEvent], None] = _unheld,
) -> InvocationView:
    """Make a call and follow it to its end. A held or denied call is an invocation too; other refusals are raised.

    An interruption cancels it. ``on_held`` is told when it begins to wait for an approval.
    """
    with client.stream("/v1/invocations", request, files, stdin) as response:
        if response.headers.get("content-type", "").startswith(_NDJSON):
            return _with_result(client, _followed(client, response, live, on_held))
        response.read()
        value = json_of(response)
        if response.is_success or (isinstance(value, Mapping) and "outcome" in value):
            return parsed(InvocationView, value)
        raise refusal(response.status_code, value)


def _followed(
    client: Client, response: httpx.Response, live: LiveOutput, on_held: Callable[[HeldEvent], None]
) -> InvocationView:
    """Events as they come, and the outcome at the end. A stream that breaks off is an error, never an outcome."""
    running: str | None = None
    try:
        for line in response.iter_lines():
            event = _event(line)
            match event.get("event"):
                case "held":
                    on_held(parsed(HeldEvent, event))
                case "accepted":
                    running = parsed(AcceptedEvent, event).invocation_id
                case "outcome":
                    running = None
                    return parsed(InvocationView, event.get("invocation"))
                case "error":
                    running = None
                    failed = parsed(ErrorEvent, event)
                    raise refusal(failed.status, {"detail": failed.detail, "code": failed.code})
                case _:
                    live.emit(_emitted(event))
    except KeyboardInterrupt:
        if running is not None:
            _cancel(client, running)
        raise
    raise ServerUnavailableError(
        f"the server's stream broke off; what became of the call is on record as invocation {running}"
    )


def _cancel(client: Client, running: str) -> None:
    """Closing the connection cancels as well, but a proxy in between may keep it."""
    with contextlib.suppress(SkillyardError):
        client.post(f"/v1/invocations/{quoted(running)}/cancel", seconds=_CANCEL_SECONDS)


def _emitted(event: Mapping[str, object]) -> Emitted:
    match event.get("event"):
        case "stdout" | "stderr" as name:
            return Output(1 if name == "stdout" else 2, str(event.get("text", "")).encode())
        case "progress":
            progress = parsed(ProgressEvent, event)
            return Progressed(progress.progress, progress.total, progress.message)
        case "log":
            line = parsed(LogEvent, event)
            return Logged(line.level, line.message, line.data)
        case _:
            raise ServerUnavailableError("the server's stream holds an event of an unknown kind")


def _with_result(client: Client, view: InvocationView) -> InvocationView:
    """A large result comes as a file, and is shown like any other."""
    kept = view.outcome.result_file
    if kept is None:
        return view
    try:
        result = json_text.loads(b"".join(client.download(kept.url)))
    except (ValueError, RecursionError) as error:
        raise ServerUnavailableError("the call's result is not JSON, or nested too deeply") from error
    return view.model_copy(update={"outcome": view.outcome.model_copy(update={"result": result})})


def _event(line: str) -> Mapping[str, object]:
    try:
        event = json_text.loads(line)
    except ValueError as error:
        raise ServerUnavailableError("the server's stream holds a line that is not JSON") from error
    if not isinstance(event, dict):
        raise ServerUnavailableError("the server's stream holds a line that is not an object")
    return event
