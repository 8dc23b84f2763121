"""``uploads``: what goes up to remotes, and what is changed there."""

from __future__ import annotations

from typing import Annotated

import typer

from skillyard.api.schemas.sync import RetriedView, UploadView
from skillyard.api.schemas.upwards import PublisherKeyView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.cli.sent import answer_upload
from skillyard.marketplace_sync.upwards.values import UploadKind, UploadState

app = typer.Typer(add_completion=False, help="What goes up to remotes: the outbox, edits and yanks there.")

OfRemote = Annotated[str | None, typer.Option("--remote", help="To this remote alone.")]
Meant = Annotated[str, typer.Argument(metavar="REMOTE:PUBLISHER/NAME")]


@app.command("list")
def list_uploads(
    *,
    remote: OfRemote = None,
    state: Annotated[UploadState | None, typer.Option("--state", help="In this state alone.")] = None,
    kind: Annotated[UploadKind | None, typer.Option("--kind", help="Of this kind alone.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """What was sent, what waits, what failed for good, in the order it was put there."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/admin/sync/uploads", UploadView, remote=remote, state=state, kind=kind))
    rows = [
        (str(one.id), one.remote, one.kind.value, one.key, one.state.value, str(one.attempts), one.error or "")
        for one in found
    ]
    header = ("id", "remote", "kind", "about", "state", "tries", "why")
    screen.answer({"uploads": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def retry(
    upload: Annotated[int | None, typer.Argument(metavar="UPLOAD", min=1)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Everything that failed for good.")] = False,
    remote: OfRemote = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Try again what failed for good: one, or all."""
    screen = Screen(json=json)
    if (upload is None) != every or (upload is not None and remote is not None):
        raise UsageProblemError("name one upload, or give --all, with --remote if you want", field="UPLOAD")
    query = "" if remote is None else f"?remote={quoted(remote)}"
    path = f"/v1/admin/sync/uploads/retry{query}" if upload is None else f"/v1/admin/sync/uploads/{upload}/retry"
    with connected(server) as client:
        done = parsed(RetriedView, client.post(path).value)
    screen.answer(done, lambda: [f"tried again: {len(done.retried)}"])
    return ExitCode.DONE


@app.command()
def key(*, server: Server = None, json: Json = False) -> ExitCode:
    """The key that the workspace's versions are signed with, once it is added to the publisher at the remote."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(PublisherKeyView, client.get("/v1/publisher-key").value)
    screen.answer(found, lambda: [found.key])
    return ExitCode.DONE


@app.command()
def edit(
    skill: Meant,
    *,
    description: Annotated[str | None, typer.Option("--description")] = None,
    license_: Annotated[str | None, typer.Option("--license")] = None,
    topic: Annotated[list[str] | None, typer.Option("--topic", help="All of them; may be repeated.")] = None,
    category: Annotated[list[str] | None, typer.Option("--category", help="All of them; may be repeated.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", metavar="NAME=VERSION", help="Move it; NAME= takes it away.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Change what is said of a skill of yours at a remote, from how the mirror has it."""
    screen = Screen(json=json)
    wanted: dict[str, object | None] = {
        "description": description,
        "license": license_,
        "topics": topic,
        "categories": category,
        "channels": dict(map(_channel, channel)) if channel else None,
    }
    body = {name: value for name, value in wanted.items() if value is not None}
    if not body:
        raise UsageProblemError("say what is to be different", field="SKILL")
    with connected(server) as client:
        upload = parsed(UploadView, client.post(f"{_path(skill)}/edit", body).value)
    return answer_upload(screen, upload)


@app.command()
def yank(
    version: Annotated[str, typer.Argument(metavar="REMOTE:PUBLISHER/NAME@VERSION")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Everybody who looks at it reads it.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it be found again.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Let a version of yours not be found any more at a remote; who names it exactly still gets it."""
    screen = Screen(json=json)
    skill, _, number = version.partition("@")
    if not number:
        raise UsageProblemError("name the version: REMOTE:publisher/name@version", field="VERSION")
    with connected(server) as client:
        path = f"{_path(skill)}/versions/{quoted(number)}/yank"
        upload = parsed(UploadView, client.post(path, {"reason": reason, "undo": undo}).value)
    return answer_upload(screen, upload)


def _path(skill: str) -> str:
    remote, _, key_ = skill.partition(":")
    publisher, _, name = key_.partition("/")
    if not (remote and publisher and name) or "/" in name:
        raise UsageProblemError(f"{skill!r} is not REMOTE:publisher/name", field="SKILL")
    return f"/v1/remotes/{quoted(remote)}/skills/{quoted(publisher)}/{quoted(name)}"


def _channel(text: str) -> tuple[str, str | None]:
    name, equals, version = text.partition("=")
    if not name or not equals:
        raise UsageProblemError(f"{text!r} is not NAME=VERSION", field="--channel")
    return name, version or None
