"""Commands about what a server has installed: install, list, upgrade, roll back, remove."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from skillyard.api.schemas.skills import InstallationView, SkillSummaryView, SwapView
from skillyard.cli.client import Answer, Client, Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.packing import packed
from skillyard.cli.screen import Json, Screen, table
from skillyard.errors import InputError
from skillyard.marketplace_sync.follower.address import is_remote_address, parse_remote_address
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.environment import Progress
from skillyard.skills.skill import ParseMode
from skillyard.skills.sources.spec import git_address

app = typer.Typer(add_completion=False)

Origin = Annotated[
    str,
    typer.Argument(metavar="SKILL", help="A folder, an archive, a Git address, or REMOTE:publisher/name[@version]."),
]
Publisher = Annotated[str, typer.Option("--publisher", "-p", help="Under whose name it is installed.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take only what the open specification allows.")]
Named = Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name, or publisher/name@version.")]
Relock = Annotated[bool, typer.Option("--relock", help="Resolve anew, also what was locked before.")]
Force = Annotated[bool, typer.Option("--force", help="Also where agents are pinned to it; their pins end.")]


@app.command()
def install(
    skill: Origin, *, publisher: Publisher = "local", strict: Strict = False, server: Server = None, json: Json = False
) -> ExitCode:
    """Install a skill from a folder, an archive, a Git address or a remote marketplace.

    The server parses, resolves and scans it, and stores it whole or not at all. A skill of a remote
    (hub:acme/csv-report, with @version or @channel where one is meant) keeps its publisher.

    A skill whose packages wait for approval is installed too (exit code 0); calls of it are held until then.
    """
    screen = Screen(json=json)
    with connected(server) as client, screen.watch("installing") as watcher:
        watcher.step(Progress(f"installing {skill}", 0, None))
        answer = _send(client, "/v1/skills", skill, {"publisher": publisher, "mode": _mode(strict=strict)})
    made = parsed(InstallationView, answer.value)
    screen.answer(made, lambda: installed_lines(made))
    return ExitCode.DONE


@app.command("list")
def list_skills(*, server: Server = None, json: Json = False) -> ExitCode:
    """List what is installed."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = list(client.pages("/v1/skills", SkillSummaryView))
    rows = [
        (
            f"{skill.publisher}/{skill.name}",
            version.version,
            "active" if version.version == skill.active_version else "",
            version.state.value,
            version.verdict,
            skill.kind.value,
        )
        for skill in found
        for version in skill.versions
    ]
    header = ("skill", "version", "pointer", "state", "verdict", "kind")
    screen.answer({"skills": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def upgrade(
    skill: Origin,
    *,
    publisher: Publisher = "local",
    strict: Strict = False,
    relock: Relock = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Swap in a new version while calls run.

    It is installed beside the old one and checked; then the pointer moves, and no call is lost. As long as it declares
    the same packages it keeps the old one's lock, unless the scan finds that lock to be bad.

    Exit code 4 if the new version waits for an approval; the old one serves calls until then.
    """
    screen = Screen(json=json)
    with connected(server) as client, screen.watch("upgrading") as watcher:
        watcher.step(Progress(f"upgrading to {skill}", 0, None))
        path = f"/v1/skills/upgrade{'?relock=true' if relock else ''}"
        answer = _send(client, path, skill, {"publisher": publisher, "mode": _mode(strict=strict)})
    return _swapped(screen, parsed(SwapView, answer.value))


@app.command()
def rollback(skill: Named, *, server: Server = None, json: Json = False) -> ExitCode:
    """Go back to the version before.

    To the one that was active before the present one, or to the one that is named.
    """
    screen, ref = Screen(json=json), reference(skill)
    with connected(server) as client:
        answer = client.post(f"{_path(ref)}/rollback", {"version": ref.version})
    return _swapped(screen, parsed(SwapView, answer.value))


@app.command()
def uninstall(skill: Named, *, force: Force = False, server: Server = None, json: Json = False) -> ExitCode:
    """Remove a skill or one of its versions.

    Calls that run end first; the records of it stay. Refused where agents are pinned to what would go.
    """
    screen, ref = Screen(json=json), reference(skill)
    version = "" if ref.version is None else f"/versions/{quoted(ref.version)}"
    with connected(server) as client:
        client.delete(f"{_path(ref)}{version}{'?force=true' if force else ''}")
    screen.answer({"removed": str(ref)}, lambda: [f"removed {ref}"])
    return ExitCode.DONE


def reference(text: str) -> SkillRef:
    """``publisher/name[@version]``. Raises ``UsageProblemError``."""
    try:
        return SkillRef.parse(text)
    except InputError as error:
        raise UsageProblemError(error.message, field="SKILL") from error


def skill_path(ref: SkillRef) -> str:
    """Where a skill, or one version of it, is found on a server."""
    return _path(ref) if ref.version is None else f"{_path(ref)}/versions/{quoted(ref.version)}"


def _path(ref: SkillRef) -> str:
    return f"/v1/skills/{quoted(ref.publisher)}/{quoted(ref.name)}"


def _mode(*, strict: bool) -> str:
    return (ParseMode.STRICT if strict else ParseMode.LENIENT).value


def _send(client: Client, path: str, skill: str, fields: Mapping[str, str]) -> Answer:
    address = git_address(skill)
    if address is not None:
        git = {"url": address.url, "ref": address.ref, "subfolder": address.subfolder}
        return client.post(path, {**fields, "git": git})
    if is_remote_address(skill):
        source = parse_remote_address(skill).text
        return client.post(path, {"source": source, "mode": fields["mode"]})
    with packed(skill) as (archive, name):
        return client.upload(path, archive, name, fields)


def installed_lines(made: InstallationView) -> Iterator[str]:
    version = made.version
    ref = f"{version.publisher}/{version.name}@{version.version}"
    again = "" if made.created else " (was installed before)"
    yield f"{ref}: installed{again}, {version.state.value}, scan {version.report.verdict}"
    if made.unapproved:
        yield f"{len(made.unapproved)} packages are not approved here yet; an agent's first call asks for that:"
        yield from (f"  - {package.name} {package.version}" for package in made.unapproved)
    if not made.active:
        yield "Another version serves calls."


def _swapped(screen: Screen, swap: SwapView) -> ExitCode:
    screen.answer(swap, lambda: _told(swap))
    return ExitCode.DONE if swap.moved or swap.old == swap.new else ExitCode.HELD


def _told(swap: SwapView) -> Iterator[str]:
    if swap.moved:
        yield f"{swap.skill}: calls go to {swap.new} now, no longer to {swap.old or 'nothing'}"
    else:
        yield f"{swap.skill}: {swap.old or 'nothing'} still serves calls: {swap.reason}"
