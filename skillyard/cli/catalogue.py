"""Every command with the module that has it. The list is what help shows, without importing any of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import typer
from typer.core import TyperCommand, TyperGroup

LOCAL = "On this machine"
SERVER = "Against a server"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is: a module with a Typer application ``app``; ``group`` if that itself is the command, and not
    one among its commands."""

    module: str
    summary: str
    panel: str
    group: bool = False


COMMANDS: Mapping[str, Place] = {
    "doctor": Place("doctor", "Say what this machine has and lacks; check and mend what is stored.", LOCAL),
    "init": Place("author", "Start a new skill in a folder of that name.", LOCAL),
    "validate": Place("author", "Check a skill against the format.", LOCAL),
    "lock": Place("examine", "Resolve a skill's packages to a hashed lock.", LOCAL),
    "scan": Place("examine", "Scan a skill, or any folder, archive, file or list of packages.", LOCAL),
    "run": Place("run", "Run a skill once: resolve, scan, decide, sandbox.", LOCAL),
    "dev": Place("dev", "Serve a skill's folder while it is edited.", LOCAL),
    "serve": Place("serve", "Run the server.", LOCAL),
    "demo": Place("demo.command", "Tell the main story end to end, on a real Docker Engine.", LOCAL),
    "advisories": Place("advisories", "Update the advisory index, or say how old it is.", LOCAL, group=True),
    "engines": Place("engines", "Install second vulnerability scanners, or say which are there.", LOCAL, group=True),
    "audit": Place("audit", "List, verify, export, sign or archive the audit log.", LOCAL, group=True),
    "gc": Place("gc", "Remove packages, bundles, images and files of calls that nothing needs any more.", LOCAL),
    "login": Place("login", "Remember a server and a token for it.", SERVER),
    "status": Place("status", "Say what the server's sandboxes do.", SERVER),
    "people": Place("people", "List and add persons, and issue tokens for them.", SERVER, group=True),
    "agents": Place("agents", "List, add and change agents, and issue tokens for them.", SERVER, group=True),
    "supervision": Place("supervision", "Watch, stop and look back at calls of SUPERVISED agents.", SERVER, group=True),
    "workspaces": Place("workspaces", "Add, suspend and limit workspaces.", SERVER, group=True),
    "install": Place(
        "installed", "Install a skill from a folder, an archive, a Git address or a remote marketplace.", SERVER
    ),
    "list": Place("installed", "List what is installed.", SERVER),
    "skills": Place(
        "parcels", "Take installed skills to machines without a network, and in there.", SERVER, group=True
    ),
    "report": Place("reports", "Show the scan report of an installed skill, as it counts now.", SERVER),
    "invoke": Place("invoke", "Call an installed skill.", SERVER),
    "cancel": Place("cancel", "End a running call.", SERVER),
    "upgrade": Place("installed", "Swap in a new version while calls run.", SERVER),
    "rollback": Place("installed", "Go back to the version before.", SERVER),
    "uninstall": Place("installed", "Remove a skill or one of its versions.", SERVER),
    "packages": Place("packages", "Check, ask for, approve and ban packages.", SERVER, group=True),
    "approvals": Place("approvals", "Decide what waits for a second person.", SERVER, group=True),
    "waivers": Place("waivers", "Let one known finding be, for a reason and until a day.", SERVER, group=True),
    "quarantine": Place(
        "quarantine", "List what newer advisories took out of use, or let it back in.", SERVER, group=True
    ),
    "sync": Place("sync", "Say how the sync with remotes stands; run, pause and mend it.", SERVER, group=True),
    "remotes": Place("remotes", "Follow other marketplaces.", SERVER, group=True),
    "market": Place(
        "market", "Publishers, channels, moderation and followers' tokens of this server.", SERVER, group=True
    ),
    "search": Place(
        "search", "Search a marketplace: exact names first, then names that begin so, then by relevance.", SERVER
    ),
    "show": Place(
        "search",
        "Show everything that a marketplace says of one skill, also of one that search hides, with the reason.",
        SERVER,
    ),
    "publish": Place("publish", "Publish a version in a marketplace.", SERVER),
    "rate": Place("rate", "Rate a skill in a marketplace.", SERVER),
    "uploads": Place("uploads", "What goes up to remotes: the outbox, edits and yanks there.", SERVER, group=True),
    "conflicts": Place("conflicts", "Decide what was changed here and at a remote.", SERVER, group=True),
    "mirrors": Place(
        "mirrors",
        "Show mirrors of remotes: how fresh they are, what was set aside, whose signatures count.",
        SERVER,
        group=True,
    ),
    "webhooks": Place("webhooks", "Tell an address of approvals and bans.", SERVER, group=True),
}


class CommandCatalogue(TyperGroup):
    """The group of all commands, each imported when it is first asked for."""

    _listing = False

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer's own context
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        del ctx
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=place.summary, rich_help_panel=place.panel)
        return load(cmd_name, place)

    def format_help(self, ctx: typer.Context, formatter: object) -> None:  # type: ignore[override]
        self._listing = True
        try:
            super().format_help(ctx, formatter)  # type: ignore[arg-type]  # handed on as it came
        finally:
            self._listing = False


def load(name: str, place: Place) -> TyperCommand | TyperGroup:
    """Import a command. The catalogue and the modules agree, or a test fails."""
    with _uncollected():
        module = import_module(f"skillyard.cli.{place.module}")
    found = typer.main.get_command(module.app)
    if not place.group and isinstance(found, TyperGroup):
        found = found.commands[name]
    assert isinstance(found, TyperCommand | TyperGroup)  # noqa: S101 - Typer makes nothing else
    return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is imported stays; to look through all of it again and again for what does not takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
