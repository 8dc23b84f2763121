"""``cancel``: end a running call before its time."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from skillyard.api.schemas.invocations import InvocationRecordView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen

app = typer.Typer(add_completion=False)


@app.command()
def cancel(
    invocation: Annotated[str, typer.Argument(metavar="ID", help="The call, as `invoke` and the API name it.")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """End a running call.

    An agent may end its own calls, a person those of the agents they own, an admin any of the workspace.
    """
    screen, call = Screen(json=json), _id(invocation)
    with connected(server) as client:
        record = parsed(InvocationRecordView, client.post(f"/v1/invocations/{call}/cancel").value)
    told = "is told to end" if record.ended_at is None else f"ended: {record.reason or record.state.value}"
    screen.answer(record, lambda: [f"{record.id} {told}"])
    return ExitCode.DONE


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise UsageProblemError(f"{text!r} is not the id of a call", field="ID") from error
