"""``serve``: the server, in this process, until it is told to stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from skillyard.api.server import Serving
from skillyard.api.server import serve as serve_until_told
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen
from skillyard.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; default: the setting.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port; 0 picks a free one; default: the setting.")] = None,
    json: Json = False,
) -> ExitCode:
    """Run the server.

    It ends with SIGINT or SIGTERM; calls that run then may end first.

    Prints where it listens and, at the first start of a home folder, the first person's token: this once and never
    again. With --json that is one line, printed when the server answers.
    """
    screen, settings = Screen(json=json), settings_for(quiet=False, host=host, port=port)

    def on_ready(serving: Serving) -> None:
        document = {"url": serving.url, "token": serving.first_token, "home": settings.home}
        screen.answer(document, lambda: _ready(serving, settings))

    to_the_end(serve_until_told(settings, on_ready=on_ready))
    return ExitCode.DONE


def _ready(serving: Serving, settings: Settings) -> Iterator[str]:
    yield f"Skillyard listens on {serving.url} (home: {settings.home})"
    if serving.first_token is not None:
        yield "The first start of this home. The token of its first person, admin, is shown this once:"
        yield f"  {serving.first_token}"
        yield f"Keep it, for example with:  skillyard login --server {serving.url}"
