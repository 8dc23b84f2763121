"""``supervision``: calls of SUPERVISED agents, seen while they run, stopped, looked at afterwards."""

from __future__ import annotations

import base64
import binascii
import json as json_text
import sys
import uuid
from collections.abc import Mapping
from typing import Annotated

import typer

from skillyard.api.schemas.invocations import InvocationRecordView
from skillyard.api.schemas.supervision import SupervisedView
from skillyard.cli.agent_names import Why, agent_named
from skillyard.cli.client import Server, ServerUnavailableError, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, plain, size, table

app = typer.Typer(add_completion=False, help="Watch, stop and look back at calls of SUPERVISED agents.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The call.")]


@app.command("list")
def list_supervised(
    *,
    live: Annotated[bool, typer.Option("--live", help="Only those that run now.")] = False,
    agent: Annotated[str | None, typer.Option("--agent", help="Only those of this agent.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Supervised calls, newest first."""
    screen = Screen(json=json)
    with connected(server) as client:
        of = None if agent is None else agent_named(client, agent).id
        found = list(client.pages("/v1/supervision/live" if live else "/v1/supervision", SupervisedView, agent=of))
    rows = [
        (one.call.id, f"{one.call.started_at:%Y-%m-%d %H:%M:%S}", str(one.agent), one.call.entry, *_state(one))
        for one in found
    ]
    header = ("call", "began", "agent", "entry", "state", "recording")
    screen.answer({"calls": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def watch(invocation: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """What a call did, from its start on, and does until its end. With --json, a JSON object a line."""
    _print_recording(_id(invocation), server, json=json)
    return ExitCode.DONE


@app.command()
def show(invocation: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """How a supervised call ended, and what is kept of it."""
    screen, call = Screen(json=json), _id(invocation)
    with connected(server) as client:
        found = parsed(SupervisedView, client.get(f"/v1/supervision/{call}").value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


@app.command()
def stop(invocation: Id, *, reason: Why, server: Server = None, json: Json = False) -> ExitCode:
    """End a running call. Its caller is told the reason, which is recorded."""
    screen, call = Screen(json=json), _id(invocation)
    with connected(server) as client:
        answer = client.post(f"/v1/supervision/{call}/stop", {"reason": reason})
        record = parsed(InvocationRecordView, answer.value)
    told = "is told to end" if record.ended_at is None else f"ended: {record.reason or record.state.value}"
    screen.answer(record, lambda: [f"{record.id} {told}"])
    return ExitCode.DONE


def _print_recording(call: uuid.UUID, server: str | None, *, json: bool) -> None:
    with connected(server) as client:
        for line in client.lines(f"/v1/supervision/{call}/stream"):
            sys.stdout.write((line if json else plain(_told(line))) + "\n")
            sys.stdout.flush()


def _told(line: str) -> str:
    """One line of a recording for people."""
    try:
        event = json_text.loads(line)
    except ValueError as error:
        raise ServerUnavailableError("the server's recording holds something that is not JSON") from error
    if not isinstance(event, dict):
        raise ServerUnavailableError("the server's recording holds a line that is no object")
    kind, of = str(event.pop("event", "")), event.pop("of", None)
    at = str(event.pop("at", ""))[11:23]
    if "text" in event or "base64" in event:
        return f"{at} {of}: {_text(event)}"
    facts = " ".join(f"{name}={value}" for name, value in event.items() if value is not None)
    return f"{at} {kind}{f' {of}' if of else ''} {facts}".rstrip()


def _text(event: Mapping[str, object]) -> str:
    if isinstance(event.get("text"), str):
        return str(event["text"]).rstrip("\n")
    try:
        data = base64.b64decode(str(event.get("base64")), validate=True)
    except binascii.Error as error:
        raise ServerUnavailableError("the server's recording holds something that is not base64") from error
    return data.decode(errors="replace").rstrip("\n")


def _state(one: SupervisedView) -> tuple[str, str]:
    state = "running" if one.live else one.call.state.value
    if one.recording is None:
        return state, "being written" if one.live else "not kept yet"
    kept = "removed" if one.recording.removed_at is not None else size(one.recording.size)
    return state, f"{one.recording.state.value}, {kept}"


def _lines(one: SupervisedView) -> list[str]:
    state, recording = _state(one)
    until = "" if one.recording is None else f", until {one.recording.expires_at:%Y-%m-%d %H:%M}"
    return [
        f"call       {one.call.id}",
        f"agent      {one.agent}",
        f"entry      {one.call.entry}",
        f"began      {one.call.started_at:%Y-%m-%d %H:%M:%S}",
        f"state      {state}{f' ({one.call.reason})' if one.call.reason else ''}",
        f"process    {one.instance}",
        f"recording  {recording}{until}",
    ]


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise UsageProblemError(f"{text!r} is not the id of a call", field="ID") from error
