"""``remotes``: marketplaces that the server's workspace follows."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.remotes import RemoteView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes.remote import SKILLYARD

app = typer.Typer(
    add_completion=False,
    help="Follow other marketplaces.\n\nEach has a mirror here that is searched without asking it.",
)

_MOST = 4096

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called here.")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="Read the remote's token from this file; - is standard input.")
]
Publisher = Annotated[
    list[str] | None, typer.Option("--publisher", help="Mirror this publisher's skills alone; may be repeated.")
]
Category = Annotated[list[str] | None, typer.Option("--category", help="Mirror this category alone; may be repeated.")]
Kind = Annotated[list[str] | None, typer.Option("--skill-kind", help="Mirror this kind of skill; may be repeated.")]


@app.command("list")
def list_remotes(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every remote of the workspace, and how it stands."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/remotes", RemoteView))
    rows = [(one.name, one.kind, one.url, one.state.value, _when(one), one.error or "") for one in found]
    header = ("name", "kind", "address", "state", "last followed (UTC)", "last error")
    screen.answer({"remotes": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def show(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """One remote: its key, its filters, how its last runs went."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(RemoteView, client.get(_path(name)).value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


@app.command()
def add(
    name: Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="An https:// address.")],
    *,
    token_file: TokenFile = None,
    kind: Annotated[
        str, typer.Option("--kind", help="The protocol that it speaks: skillyard, well_known, claude, or a plug-in's.")
    ] = SKILLYARD,
    publisher: Publisher = None,
    category: Category = None,
    skill_kind: Kind = None,
    strategy: Annotated[
        Strategy, typer.Option("--strategy", help="How conflicts with it are settled.")
    ] = Strategy.REMOTE_WINS,
    live: Annotated[bool, typer.Option("--live/--no-live", help="Keep a live channel to it.")] = True,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="The key it signs with; default: the first one seen.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Follow a marketplace from now on.

    Its token is read from a file or standard input; never from an argument, which every user of the machine could read.
    """
    screen = Screen(json=json)
    body: dict[str, object] = {
        "name": name,
        "url": url,
        "token": None if token_file is None else _token(token_file),
        "kind": kind,
        "filters": _filters(publisher, category, skill_kind),
        "strategy": strategy.value,
        "live": live,
        "public_key": public_key,
    }
    with connected(server) as client:
        made = parsed(RemoteView, client.post("/v1/remotes", body).value)
    screen.answer(made, lambda: [f"remote {made.name} is added; it is followed from now on"])
    return ExitCode.DONE


@app.command()
def change(
    name: Name,
    *,
    url: Annotated[
        str | None, typer.Option("--url", help="Another address; at another origin the token is forgotten.")
    ] = None,
    publisher: Publisher = None,
    category: Category = None,
    skill_kind: Kind = None,
    everything: Annotated[bool, typer.Option("--everything", help="Mirror all, without filters.")] = False,
    strategy: Annotated[Strategy | None, typer.Option("--strategy", help="How conflicts are settled.")] = None,
    live: Annotated[bool | None, typer.Option("--live/--no-live", help="Keep a live channel to it.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Change what is given; the rest stays. Filters are given anew as a whole."""
    screen = Screen(json=json)
    filtered = any((publisher, category, skill_kind))
    if filtered and everything:
        raise UsageProblemError("filters, or everything; not both", field="--everything")
    body: dict[str, object] = {"url": url, "strategy": None if strategy is None else strategy.value, "live": live}
    if filtered or everything:
        body["filters"] = _filters(publisher, category, skill_kind)
    with connected(server) as client:
        found = parsed(RemoteView, client.put(_path(name), body).value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


@app.command()
def remove(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """Forget a remote, its mirror and what waits to go up to it. What was installed from it stays."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(_path(name))
    screen.answer({"removed": name}, lambda: [f"remote {name} is removed"])
    return ExitCode.DONE


@app.command()
def enable(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """Follow a remote again, one that was distrusted too: it begins with a snapshot."""
    return _act(name, "enable", None, server=server, json=json)


@app.command()
def disable(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """Ask nothing of a remote until it is enabled again; its mirror stays."""
    return _act(name, "disable", None, server=server, json=json)


@app.command("accept-key")
def accept_key(
    name: Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="64 hexadecimal digits, as `show` says it was offered.")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Believe another key of a remote from now on, after asking its operator whether it is theirs."""
    return _act(name, "accept-key", {"key": key}, server=server, json=json)


@app.command("rotate-token")
def rotate_token(name: Name, *, token_file: TokenFile = None, server: Server = None, json: Json = False) -> ExitCode:
    """Show a remote another token from now on. It is tried first; one that is refused changes nothing."""
    return _act(name, "token", {"token": _token(token_file)}, server=server, json=json)


def _act(name: str, verb: str, body: dict[str, object] | None, *, server: str | None, json: bool) -> ExitCode:
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(RemoteView, client.post(f"{_path(name)}/{verb}", body).value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


def _path(name: str) -> str:
    return f"/v1/remotes/{quoted(name)}"


def _token(source: Path | None) -> str:
    if source is not None and str(source) != "-":
        try:
            text = source.read_text(encoding="utf-8")[:_MOST]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageProblemError(f"cannot be read: {error}", file=str(source), field="--token-file") from error
    elif source is None and sys.stdin.isatty():
        text = getpass.getpass("Token of the remote: ")
    else:
        text = sys.stdin.read(_MOST)
    if not text.strip():
        raise UsageProblemError("no token was given: use --token-file, or standard input", field="--token-file")
    return text.strip()


def _filters(
    publishers: list[str] | None, categories: list[str] | None, kinds: list[str] | None
) -> dict[str, list[str]]:
    return {"publishers": publishers or [], "categories": categories or [], "kinds": kinds or []}


def _when(remote: RemoteView) -> str:
    return "never" if remote.succeeded_at is None else f"{remote.succeeded_at:%F %R}"


def _lines(remote: RemoteView) -> Iterator[str]:
    yield f"{remote.name}: {remote.state.value}, {remote.kind} at {remote.url}"
    token = "one is shown" if remote.has_token else "none"
    yield f"  token {token}; conflicts: {remote.strategy.value}; live channel: {'yes' if remote.live else 'no'}"
    filters = (remote.filters.publishers, remote.filters.categories, remote.filters.kinds)
    wanted = ", ".join(name for names in filters for name in names)
    yield f"  mirrors {wanted or 'everything'}; last followed {_when(remote)}"
    yield f"  key {remote.public_key or 'not seen yet'}"
    if remote.offered_key is not None:
        yield f"  another key was offered, and is refused until it is accepted: {remote.offered_key}"
    if remote.error is not None:
        yield f"  {remote.failures} failed runs, the last: {remote.error}"
