"""``publish``: a version, to a marketplace that the server's workspace follows, or into the server's own.

A folder, or what an archive holds, is brought into the strict format first, as far as that is clear; what is different
about it is shown. Folder and archive are not changed.
"""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.marketplace import PushAnswerView, PushResultView
from skillyard.api.schemas.sync import UploadView
from skillyard.cli.client import Client, Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, RefusedByServerError, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.packing import packed
from skillyard.cli.screen import Json, Screen
from skillyard.cli.sent import answer_upload, followed
from skillyard.marketplace_sync.catalogue.entry import EntryKind, canonical
from skillyard.marketplace_sync.remotes.remote import PushStatus
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.environment import Progress
from skillyard.skills.frontmatter import FILE
from skillyard.skills.normalise import normalise
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import ParseMode
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import copy_bundle

app = typer.Typer(add_completion=False)

_WAIT_SECONDS = 30.0
SELF = "self"
"""The server's own marketplace, where a remote is named."""


@app.command()
def publish(
    skill: Annotated[
        str,
        typer.Argument(
            metavar="SKILL", help="A folder or an archive; to a remote also publisher/name@version as installed."
        ),
    ],
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="REMOTE", help="A remote; self is the server's own marketplace.")
    ] = SELF,
    publisher: Annotated[
        str | None, typer.Option("--publisher", "-p", help="Under whose name; not for what is installed.")
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", help="Move this channel to it; without one, latest goes by version.")
    ] = None,
    wait: Annotated[
        float | None, typer.Option("--wait", min=0, max=3600, help="Seconds to wait until the remote has it; else 30.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Publish a version in a marketplace.

    It is scanned here and there; what is blocked, or cannot be told, is refused. To a remote it goes through the
    outbox: where that does not answer it is sent later, and the exit code is 0.
    """
    screen = Screen(json=json)
    if to == SELF and wait is not None:
        raise UsageProblemError("here it is published when the command ends", field="--wait")
    with connected(server) as client, screen.watch("publishing") as watcher:
        watcher.step(Progress(f"publishing {skill}", 0, None))
        if to == SELF:
            done = _to_self(client, screen, skill, publisher, channel)
            screen.answer(done, lambda: [_published(done)])
            return ExitCode.DONE
        upload = _to_remote(client, screen, skill, to, publisher=publisher, channel=channel)
        upload = followed(client, upload, seconds=_WAIT_SECONDS if wait is None else wait)
    return answer_upload(screen, upload)


def _to_remote(
    client: Client, screen: Screen, skill: str, to: str, *, publisher: str | None, channel: str | None
) -> UploadView:
    path = f"/v1/remotes/{quoted(to)}"
    if not Path(skill).expanduser().exists():
        ref = _installed(skill, publisher)
        body = {"skill": str(ref), "channel": channel}
        return parsed(UploadView, client.post(f"{path}/publish-installed", body).value)
    query = "" if channel is None else f"?channel={quoted(channel)}"
    with _strict(screen, skill) as folder, packed(str(folder)) as (archive, name):
        fields = {"publisher": _named(publisher), "mode": ParseMode.STRICT.value}
        return parsed(UploadView, client.upload(f"{path}/publish{query}", archive, name, fields).value)


def _to_self(client: Client, screen: Screen, skill: str, publisher: str | None, channel: str | None) -> PushResultView:
    if not Path(skill).expanduser().exists():
        raise UsageProblemError(f"{skill!r} is neither a folder nor an archive", field="SKILL")
    with _strict(screen, skill) as folder:
        found = parse_skill(folder, ParseMode.STRICT)
        if not found.version_declared:
            raise UsageProblemError("what is published says its version", file=FILE, field="metadata.version")
        item = {
            "item": uuid.uuid4().hex,
            "kind": EntryKind.VERSION.value,
            "key": f"{_named(publisher)}/{found.name}@{found.version}",
            "document": canonical({} if channel is None else {"channel": channel}),
            "files": [
                {"path": one.path, "sha256": one.sha256, "size": one.size, "executable": one.executable}
                for one in found.bundle.files
            ],
        }
        result = _pushed(client, item)
        if result.status is PushStatus.MISSING:
            paths = {one.sha256: one.path for one in found.bundle.files}
            for sha256 in result.missing:
                client.send(f"/v1/marketplace/files/{sha256}", (folder / paths[sha256]).read_bytes())
            result = _pushed(client, item)
    if result.status not in (PushStatus.APPLIED, PushStatus.DUPLICATE):
        facts = {} if result.report is None else {"report": result.report.model_dump(mode="json")}
        detail = result.detail or f"the marketplace answered {result.status}"
        raise RefusedByServerError(detail, status=409, code=result.code or "refused", facts=facts)
    return result


def _pushed(client: Client, item: Mapping[str, object]) -> PushResultView:
    (result,) = parsed(PushAnswerView, client.post("/v1/marketplace/push", {"items": [item]}).value).results
    return result


@contextmanager
def _strict(screen: Screen, skill: str) -> Iterator[Path]:
    """The skill's folder in the strict format: itself, what its archive holds, or a copy where something had to be
    rewritten. What is no skill is left as it is, for the parser to say so."""
    with tempfile.TemporaryDirectory(prefix="skillyard-publish-") as scratch:
        path = Path(skill).expanduser().resolve()
        if path.is_file():
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir()
            path = to_the_end(ArchiveSource(path).fetch(unpacked)).folder
        text, notes = normalise(path) if (path / FILE).is_file() else ("", ())
        if notes:
            for note in notes:
                screen.note(f"{note.file}: {note.field or 'line'}: {note.message}")
            strict = Path(scratch) / "strict"
            strict.mkdir()
            path = copy_bundle(path, strict / path.name, threading.Event())
            (path / FILE).write_text(text, encoding="utf-8")
        yield path


def _installed(skill: str, publisher: str | None) -> SkillRef:
    if publisher is not None:
        raise UsageProblemError("what is installed goes under its own publisher", field="--publisher")
    ref = SkillRef.parse(skill) if "/" in skill and "@" in skill else None
    if ref is None or ref.version is None:
        message = f"{skill!r} is neither a folder, an archive nor publisher/name@version"
        raise UsageProblemError(message, field="SKILL")
    return ref


def _named(publisher: str | None) -> str:
    if publisher is None:
        raise UsageProblemError("under whose name? give --publisher", field="--publisher")
    return publisher


def _published(done: PushResultView) -> str:
    return "published" if done.status is PushStatus.APPLIED else "was published before, just so"
