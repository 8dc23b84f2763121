"""``webhooks``: addresses of the server's workspace that are told of approvals and bans."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from skillyard.api.schemas.webhooks import AddedWebhookView, DeliveryView, WebhookView
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.webhook import DeliveryState, WebhookEvent

app = typer.Typer(
    add_completion=False,
    help="Tell an address of approvals and bans.\n\nEach message is signed, and shown with what became of it.",
)

Id = Annotated[int, typer.Argument(metavar="ID", min=1)]


class EventName(StrEnum):
    """What a webhook can listen to, as an option takes it."""

    APPROVAL_REQUESTED = WebhookEvent.APPROVAL_REQUESTED.value
    APPROVAL_DECIDED = WebhookEvent.APPROVAL_DECIDED.value
    APPROVAL_EXPIRING = WebhookEvent.APPROVAL_EXPIRING.value
    PACKAGE_BANNED = WebhookEvent.PACKAGE_BANNED.value
    SKILL_QUARANTINED = WebhookEvent.SKILL_QUARANTINED.value


@app.command("list")
def list_webhooks(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every webhook of the workspace, without its secret."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/webhooks", WebhookView))
    rows = [(str(one.id), one.url, ", ".join(event.value for event in one.events)) for one in found]
    screen.answer({"webhooks": found}, lambda: table(("id", "address", "told of"), rows))
    return ExitCode.DONE


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="An https:// address.")],
    *,
    event: Annotated[
        list[EventName] | None, typer.Option("--event", help="Told of this; may be repeated. Default: all.")
    ] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Add a webhook, and show the secret that its messages are signed with, this once."""
    screen = Screen(json=json)
    body: dict[str, object] = {"url": url}
    if event:
        body["events"] = [one.value for one in event]
    with connected(server) as client:
        made = parsed(AddedWebhookView, client.post("/v1/webhooks", body).value)
    screen.answer(made, lambda: [made.secret])
    if not screen.json:
        screen.note(
            f"webhook {made.id} is added; this secret is not shown again. Next:  skillyard webhooks test {made.id}"
        )
    return ExitCode.DONE


@app.command()
def remove(webhook: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """Send nothing more to a webhook."""
    screen = Screen(json=json)
    with connected(server) as client:
        client.delete(f"/v1/webhooks/{webhook}")
    screen.answer({"removed": webhook}, lambda: [f"webhook {webhook} is removed"])
    return ExitCode.DONE


@app.command("test")
def send_test(webhook: Id, *, server: Server = None, json: Json = False) -> ExitCode:
    """Send a message now, and say what came of it. Exit code 1 if the receiver did not take it."""
    screen = Screen(json=json)
    with connected(server) as client:
        sent = parsed(DeliveryView, client.post(f"/v1/webhooks/{webhook}/test").value)
    screen.answer(sent, lambda: [_said(sent)])
    return ExitCode.DONE if sent.state is DeliveryState.DELIVERED else ExitCode.REFUSED


@app.command()
def deliveries(
    webhook: Id,
    *,
    state: Annotated[DeliveryState | None, typer.Option("--state", help="Default: whatever their state.")] = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """The messages of a webhook, the newest first."""
    screen = Screen(json=json)
    with connected(server) as client:
        params = {"state": None if state is None else state.value}
        found = list(client.pages(f"/v1/webhooks/{webhook}/deliveries", DeliveryView, **params))
    rows = [
        (str(one.id), one.event.value, f"{one.created_at:%F %R}", one.state.value, str(one.attempts), one.error or "")
        for one in found
    ]
    header = ("id", "event", "made (UTC)", "state", "attempts", "last error")
    screen.answer({"deliveries": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def retry(
    webhook: Id,
    delivery: Annotated[int, typer.Argument(metavar="DELIVERY", min=1, help="As `deliveries` shows it.")],
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Let a dead message be tried again."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(DeliveryView, client.post(f"/v1/webhooks/{webhook}/deliveries/{delivery}/retry").value)
    screen.answer(found, lambda: [_said(found)])
    return ExitCode.DONE


def _said(sent: DeliveryView) -> str:
    error = f": {sent.error}" if sent.error else ""
    return f"message {sent.message} ({sent.event.value}) is {sent.state.value} after {sent.attempts} attempts{error}"
