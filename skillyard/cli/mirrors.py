"""``mirrors``: what is known here of remotes' catalogues, what could not be taken, whose signatures are believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from skillyard.api.schemas.mirrors import MirrorView, SetAsideView, SignerView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table

app = typer.Typer(
    add_completion=False,
    help="Show mirrors of remotes: how fresh they are, what was set aside, whose signatures count.",
)

Remote = Annotated[str, typer.Argument(metavar="REMOTE", help="The remote's name.")]


@app.command()
def show(remote: Remote, *, server: Server = None, json: Json = False) -> ExitCode:
    """What is known here of a remote's catalogue, and as of when."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(MirrorView, client.get(f"/v1/remotes/{quoted(remote)}/mirror").value)
    screen.answer(found, lambda: _shown(found))
    return ExitCode.DONE


@app.command("set-aside")
def list_set_aside(remote: Remote, *, server: Server = None, json: Json = False) -> ExitCode:
    """What came from a remote and could not be taken, and why."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages(f"/v1/remotes/{quoted(remote)}/set-aside", SetAsideView))
    rows = [(one.kind, one.key, str(one.tries), one.reason) for one in found]
    screen.answer(
        {"set_aside": found},
        lambda: table(("kind", "key", "tries", "reason"), rows) if rows else ["Nothing is set aside."],
    )
    return ExitCode.DONE


@app.command()
def signers(remote: Remote, *, server: Server = None, json: Json = False) -> ExitCode:
    """The keys that a remote's publishers have to sign with here."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages(f"/v1/remotes/{quoted(remote)}/signers", SignerView))
    rows = [(one.publisher, one.key, "accepted" if one.accepted_by else "first seen") for one in found]
    screen.answer(
        {"signers": found},
        lambda: table(("publisher", "key", "why"), rows) if rows else ["No publisher of it signed anything yet."],
    )
    return ExitCode.DONE


@app.command("accept-signer")
def accept_signer(
    remote: Remote,
    publisher: Annotated[str, typer.Argument(metavar="PUBLISHER", help="Whose versions it is about.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key in full, 64 hexadecimal digits.")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Believe another key of a publisher from now on.

    Ask the publisher for the key by another way than the remote before you accept it.
    """
    screen = Screen(json=json)
    path = f"/v1/remotes/{quoted(remote)}/signers/{quoted(publisher)}/accept"
    with connected(server) as client:
        accepted = parsed(SignerView, client.post(path, {"key": key}).value)
    screen.answer(accepted, lambda: [f"versions of {publisher} from {remote} have to be signed with {key} now"])
    return ExitCode.DONE


def _shown(mirror: MirrorView) -> Iterator[str]:
    if mirror.phase is None:
        yield f"{mirror.remote} was not read yet."
        return
    as_of = "an unknown time" if mirror.as_of is None else f"{mirror.as_of:%Y-%m-%d %H:%M:%S} UTC"
    yield f"{mirror.remote}: read to {mirror.seq}, as of {as_of} ({mirror.phase.value})"
    yield ", ".join(f"{count} {kind}" for kind, count in mirror.counts.items() if count) or "nothing is in it"
    if mirror.without_document:
        yield f"{mirror.without_document} entries are outside of its filters"
    if mirror.set_aside:
        yield f"{mirror.set_aside} entries could not be taken: skillyard mirrors set-aside {mirror.remote}"
    elif mirror.checked_at is not None:
        yield f"found equal to the remote's signed head at {mirror.checked_at:%Y-%m-%d %H:%M:%S} UTC"
    if mirror.words:
        yield f"{mirror.words} words of its moderators stop something"
