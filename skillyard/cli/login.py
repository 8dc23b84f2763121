"""``login``: check a token against a server, and remember both."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.people import IdentityView
from skillyard.cli.client import Client, Server, parsed
from skillyard.cli.configuration import settings_for
from skillyard.cli.credentials import Credentials
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen
from skillyard.settings import Settings

app = typer.Typer(add_completion=False)

_MOST = 4096


@app.command()
def login(
    *,
    server: Server = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Read the token from this file; - is standard input.")
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Remember a server and a token for it.

    The server is asked first whose token it is.

    The token comes from --token-file, SKILLYARD_TOKEN, a pipe, or a question on a terminal; never from an argument,
    which every user of the machine could read.
    """
    screen, settings = Screen(json=json), settings_for(server=server)
    if settings.server is None:
        raise UsageProblemError("which server? give --server, or set SKILLYARD_SERVER", field="--server")
    token = _token(token_file, settings)
    with Client(address=settings.server, token=token) as client:
        identity = parsed(IdentityView, client.get("/v1/me").value)
        path = Credentials.of(settings.home).with_login(client.address, token).save(settings.home)
    document = {"server": client.address, "identity": identity, "saved_to": path}
    screen.answer(document, lambda: [f"{client.address}: you are {described(identity)}", f"remembered in {path}"])
    return ExitCode.DONE


def described(identity: IdentityView) -> str:
    """Who a token belongs to, in words."""
    if identity.person is not None:
        return f"{identity.person.name}, a person with the role {identity.person.role.value}"
    if identity.agent is not None:
        return f"{identity.agent.name}, an agent of maturity {identity.agent.maturity} ({identity.agent.state.value})"
    return f"a {identity.kind}"


def _token(source: Path | None, settings: Settings) -> str:
    if source is not None and str(source) != "-":
        try:
            text = source.read_text(encoding="utf-8")[:_MOST]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageProblemError(f"cannot be read: {error}", file=str(source), field="--token-file") from error
    elif source is None and settings.token is not None:
        text = settings.token.get_secret_value()
    elif source is None and sys.stdin.isatty():
        text = getpass.getpass("Token: ")
    else:
        text = sys.stdin.read(_MOST)
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageProblemError("no token was given: use --token-file, SKILLYARD_TOKEN or standard input")
    return token
