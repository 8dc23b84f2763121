"""``rate``: what somebody thinks of a skill in a marketplace, theirs alone to change."""

from __future__ import annotations

from typing import Annotated

import typer

from skillyard.api.schemas.marketplace import RatedView
from skillyard.api.schemas.sync import UploadView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen
from skillyard.cli.sent import answer_upload

app = typer.Typer(add_completion=False)


@app.command()
def rate(
    skill: Annotated[
        str,
        typer.Argument(metavar="SKILL", help="REMOTE:publisher/name; without REMOTE, of the server's own marketplace."),
    ],
    *,
    stars: Annotated[int | None, typer.Option("--stars", min=1, max=5, help="From 1 to 5.")] = None,
    review: Annotated[str, typer.Option("--review", help="In words.")] = "",
    author: Annotated[
        str, typer.Option("--author", help="The name it is shown with at the remote; without, it has none.")
    ] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take your rating back.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Rate a skill in a marketplace.

    It takes the place of what you said of it before.
    """
    screen = Screen(json=json)
    remote, path = _path(skill)
    if (stars is None) != remove:
        raise UsageProblemError("give either --stars or --remove", field="--stars")
    if remove and (review or author):
        raise UsageProblemError("what is taken back says nothing", field="--review" if review else "--author")
    if remote is None and author:
        raise UsageProblemError("in the server's own marketplace you have your own name", field="--author")
    body: dict[str, object] = {"stars": stars, "review": review}
    with connected(server) as client:
        if remote is not None:
            answer = client.delete(path) if remove else client.put(path, {**body, "author": author})
            return answer_upload(screen, parsed(UploadView, answer.value))
        if remove:
            client.delete(path)
            screen.answer({"removed": skill}, lambda: [f"taken back: your rating of {skill}"])
            return ExitCode.DONE
        rated = parsed(RatedView, client.put(path, body).value)
    screen.answer(rated, lambda: [f"rated {skill}: {rated.stars} of 5"])
    return ExitCode.DONE


def _path(skill: str) -> tuple[str | None, str]:
    """The remote that is named, if one is, and the path of the caller's rating there."""
    remote, colon, key = skill.rpartition(":")
    publisher, slash, name = key.partition("/")
    if not (publisher and slash and name) or "/" in name or "@" in name or (colon and not remote):
        raise UsageProblemError(f"{skill!r} is not REMOTE:publisher/name", field="SKILL")
    tail = f"skills/{quoted(publisher)}/{quoted(name)}/rating"
    return (remote, f"/v1/remotes/{quoted(remote)}/{tail}") if colon else (None, f"/v1/marketplace/{tail}")
