"""``market``: the server's own marketplace, for its publishers, moderators and whoever lets others follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer

from skillyard.api.schemas.marketplace import (
    CategoryView,
    InstanceTokenView,
    IssuedInstanceTokenView,
    ModeratedView,
    NamespaceView,
    PublisherView,
    SkillEntryView,
    WordView,
)
from skillyard.api.schemas.marketplace_feed import PutBackView
from skillyard.api.schemas.values import View
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.hub.values import InstanceScope

app = typer.Typer(add_completion=False, help="Publishers, channels, moderation and followers' tokens of this server.")

_BASE = "/v1/marketplace"
V = TypeVar("V", bound=View)

SkillName = Annotated[str, typer.Argument(metavar="SKILL", help="PUBLISHER/NAME.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; everybody who follows reads it.")]
Days = Annotated[float, typer.Option("--expires-days", min=0.001, max=366, help="Days until the token ends.")]


@app.command("take")
def take_namespace(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    display_name: Annotated[str | None, typer.Option("--display-name", help="What people read.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Take a publisher's name for your workspace, first come, first served."""
    screen = Screen(json=json)
    with connected(server) as client:
        body = {"name": name, "display_name": display_name or name}
        made = parsed(NamespaceView, client.post(f"{_BASE}/publishers", body).value)
    screen.answer(made, lambda: [f"{made.name} is your workspace's"])
    return ExitCode.DONE


@app.command()
def publishers(*, server: Server = None, json: Json = False) -> ExitCode:
    """Publishers, and the keys they sign with."""

    def rows(one: PublisherView) -> Iterator[tuple[str, ...]]:
        first, *further = _keys(one) or ("none",)
        yield (one.name, one.display_name, first)
        yield from (("", "", key) for key in further)

    header = ("name", "display name", "keys")
    return _listed("publishers", PublisherView, header, rows, server=server, json=json)


@app.command("add-key")
def add_key(
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="An Ed25519 public key, 64 hex digits.")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Have every further version of a publisher signed, by one of its keys."""
    screen = Screen(json=json)
    with connected(server) as client:
        made = parsed(PublisherView, client.post(f"{_BASE}/publishers/{quoted(publisher)}/keys", {"key": key}).value)
    screen.answer(made, lambda: [f"{made.name}: {', '.join(_keys(made))}"])
    return ExitCode.DONE


@app.command("revoke-key")
def revoke_key(
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER")],
    key: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Take no signatures by a key any more."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(f"{_BASE}/publishers/{quoted(publisher)}/keys/{quoted(key)}")
    screen.answer({"revoked": key}, lambda: [f"revoked: {key}"])
    return ExitCode.DONE


@app.command()
def categories(*, server: Server = None, json: Json = False) -> ExitCode:
    """Categories that skills may be in."""

    def rows(one: CategoryView) -> Iterator[tuple[str, ...]]:
        yield (one.slug, one.title, one.description)

    header = ("category", "title", "description")
    return _listed("categories", CategoryView, header, rows, server=server, json=json)


@app.command()
def category(
    slug: Annotated[str, typer.Argument(metavar="CATEGORY")],
    *,
    title: Annotated[str | None, typer.Option("--title", help="What people read.")] = None,
    description: Annotated[str, typer.Option("--description")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take it off the list.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Add, change or remove a category; for operators."""
    screen = Screen(json=json)
    if remove == (title is not None):
        raise UsageProblemError("give either --title or --remove", field="--title")
    with connected(server) as client:
        path = f"{_BASE}/categories/{quoted(slug)}"
        if remove:
            client.delete(path)
            screen.answer({"removed": slug}, lambda: [f"removed: {slug}"])
            return ExitCode.DONE
        made = parsed(CategoryView, client.put(path, {"title": title, "description": description}).value)
    screen.answer(made, lambda: [f"{made.slug}: {made.title}"])
    return ExitCode.DONE


@app.command()
def channel(
    skill: SkillName,
    name: Annotated[str, typer.Argument(metavar="CHANNEL")],
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Left out: the channel is removed.")
    ] = None,
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Make a channel name a version, or take it away."""
    screen = Screen(json=json)
    path = f"{_skill(skill)}/channels/{quoted(name)}"
    with connected(server) as client:
        answer = client.delete(path) if version is None else client.put(path, {"version": version})
        made = parsed(SkillEntryView, answer.value)
    screen.answer(made, lambda: [f"{made.key}: {', '.join(f'{one} → {at}' for one, at in made.channels.items())}"])
    return ExitCode.DONE


@app.command()
def deprecate(
    skill: SkillName,
    *,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Why; left out: it is not deprecated any more.")
    ] = None,
    successor: Annotated[str | None, typer.Option("--successor", help="PUBLISHER/NAME to use instead.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Say that a skill should not be used any more, or take that back."""
    screen = Screen(json=json)
    path = f"{_skill(skill)}/deprecation"
    with connected(server) as client:
        body = {"reason": reason, "successor": successor}
        answer = client.delete(path) if reason is None else client.put(path, body)
        made = parsed(SkillEntryView, answer.value)
    screen.answer(made, lambda: [f"{made.key} is {'' if made.deprecated else 'not '}deprecated"])
    return ExitCode.DONE


@app.command()
def moderate(
    key: Annotated[str, typer.Argument(metavar="KEY", help="PUBLISHER, PUBLISHER/NAME or PUBLISHER/NAME@VERSION.")],
    state: Annotated[ModerationState, typer.Argument(metavar="STATE")],
    *,
    reason: Reason,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Yank, hold, quarantine, revoke or delete, or make visible again.

    Operators say all of it; publishers yank and delete what is theirs, and take a yank back.
    """
    screen = Screen(json=json)
    with connected(server) as client:
        body = {"key": key, "state": state.value, "reason": reason}
        said = parsed(ModeratedView, client.post(f"{_BASE}/moderation", body).value)
    stopped = f"; {said.stopped} installed versions were stopped" if said.stopped else ""
    screen.answer(said, lambda: [f"{said.key} is {said.state.value}{stopped}"])
    return ExitCode.DONE


@app.command()
def moderation(
    *,
    state: Annotated[ModerationState | None, typer.Option("--state", help="Only those in this state.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """What moderators and publishers said last, and why."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages(f"{_BASE}/moderation", WordView, state=None if state is None else state.value))
    rows = [(one.key, one.state.value, one.actor, f"{one.at:%Y-%m-%d %H:%M}", one.reason) for one in found]
    screen.answer({"moderation": found}, lambda: table(("key", "state", "by", "at", "reason"), rows))
    return ExitCode.DONE


@app.command()
def tokens(*, server: Server = None, json: Json = False) -> ExitCode:
    """Tokens of other instances."""

    def rows(one: InstanceTokenView) -> Iterator[tuple[str, ...]]:
        yield (str(one.id), one.name, " ".join(one.scopes), f"{one.expires_at:%Y-%m-%d}", _state(one))

    header = ("id", "name", "scopes", "until", "state")
    return _listed("tokens", InstanceTokenView, header, rows, server=server, json=json)


@app.command("put-back")
def put_back(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")],
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Say that the catalogue was put back on purpose, from a backup for one.

    Followers then read everything again, where they would take it for an attack. For operators.
    """
    screen = Screen(json=json)
    with connected(server) as client:
        done = parsed(PutBackView, client.post(f"{_BASE}/put-back", {"reason": reason}).value)
    screen.answer(done, lambda: [f"epoch {done.epoch}, at {done.seq}: followers read everything again"])
    return ExitCode.DONE


@app.command("issue-token")
def issue_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which instance it is for.")],
    *,
    scope: Annotated[list[InstanceScope], typer.Option("--scope", help="What it may; can be given several times.")],
    expires_days: Days = 90.0,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """A token for another instance, shown this once."""
    screen = Screen(json=json)
    with connected(server) as client:
        body = {"name": name, "scopes": [one.value for one in scope], "expires_at": _until(expires_days)}
        made = parsed(IssuedInstanceTokenView, client.post(f"{_BASE}/tokens", body).value)
    screen.answer(made, lambda: [made.token])
    return ExitCode.DONE


@app.command("rotate-token")
def rotate_token(
    token: Annotated[int, typer.Argument(metavar="TOKEN", min=1)],
    *,
    expires_days: Days = 90.0,
    grace_seconds: Annotated[
        float, typer.Option("--grace-seconds", min=0, max=604_800, help="How long the old one counts on.")
    ] = 3600.0,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Another token in the place of one, shown this once."""
    screen = Screen(json=json)
    with connected(server) as client:
        body = {"expires_at": _until(expires_days), "grace_seconds": grace_seconds}
        made = parsed(IssuedInstanceTokenView, client.post(f"{_BASE}/tokens/{token}/rotate", body).value)
    screen.answer(made, lambda: [made.token])
    return ExitCode.DONE


@app.command("revoke-token")
def revoke_token(
    token: Annotated[int, typer.Argument(metavar="TOKEN", min=1)], *, server: Server = None, json: Json = False
) -> ExitCode:
    """End a token now."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(f"{_BASE}/tokens/{token}")
    screen.answer({"revoked": token}, lambda: [f"revoked: instance token {token}"])
    return ExitCode.DONE


def _skill(text: str) -> str:
    publisher, slash, name = text.partition("/")
    if not slash or not publisher or not name:
        raise UsageProblemError(f"{text!r} is not PUBLISHER/NAME", field="SKILL")
    return f"{_BASE}/skills/{quoted(publisher)}/{quoted(name)}"


def _until(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def _listed(
    what: str,
    view: type[V],
    header: tuple[str, ...],
    rows: Callable[[V], Iterable[tuple[str, ...]]],
    *,
    server: str | None,
    json: bool,
) -> ExitCode:
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages(f"{_BASE}/{what}", view))
    screen.answer({what: found}, lambda: table(header, [row for one in found for row in rows(one)]))
    return ExitCode.DONE


def _keys(one: PublisherView) -> tuple[str, ...]:
    """Those that count, whole: that is how they are revoked."""
    return tuple(key.key for key in one.keys if key.revoked_at is None)


def _state(one: InstanceTokenView) -> str:
    if one.revoked_at is not None:
        return "revoked"
    if one.expires_at <= datetime.now(UTC):
        return "expired"
    return "counts" if one.replaced_by is None else f"counts, replaced by {one.replaced_by}"
