"""``sync``: how the server keeps up with its remotes, and what an admin does about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from skillyard.api.schemas.sync import (
    ChannelView,
    JobView,
    RatingsStatusView,
    RemoteStatusView,
    RunView,
    SyncConfigView,
    SyncStatusView,
)
from skillyard.cli.client import Client, Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.marketplace_sync.jobs.values import Job, RunState

app = typer.Typer(add_completion=False, help="Say how the sync with remotes stands; run, pause and mend it.")

_ROOT = "/v1/admin/sync"
_LOOK_SECONDS = 0.2


class LiveAction(StrEnum):
    STATUS = "status"
    RECONNECT = "reconnect"
    DISABLE = "disable"
    ENABLE = "enable"


RemoteName = Annotated[str, typer.Argument(metavar="REMOTE", help="What it is called here.")]
OptionalRemote = Annotated[str | None, typer.Option("--remote", help="Of this remote alone.")]
WhichJob = Annotated[Job, typer.Option("--job", help="Which of its jobs.")]


@app.command()
def status(*, server: Server = None, json: Json = False) -> ExitCode:
    """Every remote: how far its mirror is, what failed, what waits, and when it is asked again."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(SyncStatusView, client.get(f"{_ROOT}/status").value)
    screen.answer(found, lambda: _status(found))
    return ExitCode.DONE


@app.command()
def run(
    remote: Annotated[str | None, typer.Argument(metavar="REMOTE", help="None for --job advisories.")] = None,
    *,
    job: WhichJob = Job.CATALOGUE,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it has ended.")] = True,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="How long to wait at most.")] = 600.0,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Run a job now, and say what came of it."""
    screen = Screen(json=json)
    if (remote is None) is not (job is Job.ADVISORIES):
        raise UsageProblemError("name a remote; or --job advisories, which has none", field="REMOTE")
    with connected(server) as client:
        found = parsed(RunView, client.post(f"{_ROOT}/trigger", {"remote": remote, "job": job.value}).value)
        if wait:
            found = _ended(client, found, seconds)
    late = wait and found.state is RunState.RUNNING
    if late:
        screen.note(f"run {found.id} still runs after {seconds:g} s; `skillyard sync runs` says what comes of it")
    screen.answer(found, lambda: [_told(found)])
    done = found.state is RunState.SUCCEEDED or (found.state is RunState.RUNNING and not wait)
    return ExitCode.DONE if done else ExitCode.REFUSED


@app.command()
def runs(
    *,
    remote: OptionalRemote = None,
    job: Annotated[Job | None, typer.Option("--job", help="Of this job alone.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Most runs.")] = 30,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """What was run, the newest first."""
    screen = Screen(json=json)
    with connected(server) as client:
        page = client.get(f"{_ROOT}/runs", remote=remote, job=None if job is None else job.value, limit=limit).value
    found = [parsed(RunView, item) for item in page["items"]]
    header = ("run", "job", "remote", "began (UTC)", "by", "state", "what")
    rows = [
        (
            str(one.id),
            one.job.value,
            one.remote or "-",
            _when(one.started_at),
            one.trigger.value,
            one.state.value,
            _what(one),
        )
        for one in found
    ]
    screen.answer({"runs": found}, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def pause(remote: RemoteName, *, job: WhichJob = Job.CATALOGUE, server: Server = None, json: Json = False) -> ExitCode:
    """Let a job rest until it is resumed. It can be run by hand meanwhile."""
    return _changed(remote, job, {"paused": True}, server, Screen(json=json))


@app.command()
def resume(remote: RemoteName, *, job: WhichJob = Job.CATALOGUE, server: Server = None, json: Json = False) -> ExitCode:
    """Let a paused job be run again, at once and then in its period."""
    return _changed(remote, job, {"paused": False}, server, Screen(json=json))


@app.command()
def period(
    remote: RemoteName,
    seconds: Annotated[float | None, typer.Argument(metavar="SECONDS", help="None: what the settings say.")] = None,
    *,
    job: WhichJob = Job.CATALOGUE,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Give a job a period of its own, or that of the settings."""
    change: dict[str, object] = {"default": True} if seconds is None else {"seconds": seconds}
    return _changed(remote, job, change, server, Screen(json=json))


@app.command()
def config(*, server: Server = None, json: Json = False) -> ExitCode:
    """The periods that the settings say, and each job with its own."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(SyncConfigView, client.get(f"{_ROOT}/config").value)
    screen.answer(found, lambda: [*_settings(found), "", *_jobs(found.jobs)])
    return ExitCode.DONE


@app.command()
def ratings(*, server: Server = None, json: Json = False) -> ExitCode:
    """Ratings on their way to remotes."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = parsed(RatingsStatusView, client.get(f"{_ROOT}/ratings/status").value)
    rows = [
        (one.remote, str(one.waiting), str(one.conflict), str(one.dead), _when(found.sent_at.get(one.remote)))
        for one in found.ratings
    ]
    header = ("remote", "waiting", "in conflict", "failed", "last sent in full (UTC)")
    screen.answer(found, lambda: table(header, rows))
    return ExitCode.DONE


@app.command()
def live(
    action: Annotated[
        LiveAction, typer.Argument(help="Say how channels stand; or open one anew, keep none, keep one.")
    ] = LiveAction.STATUS,
    remote: Annotated[str | None, typer.Argument(metavar="REMOTE", help="Needed for all but status.")] = None,
    *,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Live channels of the server process that answers: what says at once that a remote has something new."""
    screen = Screen(json=json)
    if (remote is None) is not (action is LiveAction.STATUS):
        raise UsageProblemError(f"{action.value} is of a remote: name one; status is of all", field="REMOTE")
    with connected(server) as client:
        if remote is not None:
            changed = parsed(ChannelView, client.post(f"{_ROOT}/live/{quoted(remote)}/{action.value}").value)
            wanted = "wanted" if changed.wanted else "not wanted"
            screen.answer(changed, lambda: [f"{remote}: channel {wanted}, {_channel(changed)}"])
            return ExitCode.DONE
        found = [parsed(ChannelView, item) for item in client.get(f"{_ROOT}/live").value["items"]]
    header = ("remote", "channel", "since (UTC)", "head", "opened again (UTC)", "last error")
    rows = [
        (one.remote, _channel(one), _when(one.since), _number(one.head), _when(one.next_at), one.error or "")
        for one in found
    ]
    screen.answer({"channels": found}, lambda: table(header, rows))
    return ExitCode.DONE


def _changed(remote: str, job: Job, change: dict[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        body = {"remote": remote, "job": job.value, **change}
        found = parsed(JobView, client.put(f"{_ROOT}/config", body).value)
    screen.answer(found, lambda: _jobs((found,)))
    return ExitCode.DONE


def _ended(client: Client, begun: RunView, seconds: float) -> RunView:
    """The run once it has ended; as it is, where that takes too long."""
    deadline = time.monotonic() + seconds
    found = begun
    while found.state is RunState.RUNNING and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        page = client.get(f"{_ROOT}/runs", remote=begun.remote, job=begun.job.value, limit=20).value
        found = next((one for one in (parsed(RunView, item) for item in page["items"]) if one.id == begun.id), found)
    return found


def _status(found: SyncStatusView) -> Iterator[str]:
    if not found.running:
        yield "this server does not keep up with its remotes by itself"
    if not found.remotes:
        yield "there are no remotes; `skillyard remotes add` follows one"
    for one in found.remotes:
        yield from _remote(one)
    for source in found.advisories.failing:
        yield f"advisories: the last update from {source} failed"
    yield f"advisories: last asked {_when(found.advisories.last_at)}, next {_when(found.advisories.next_at)}"


def _remote(one: RemoteStatusView) -> Iterator[str]:
    yield f"{one.name} ({one.kind}, {one.state.value})"
    lag = "" if one.lag is None else f", {one.lag} behind"
    yield f"  mirror: change {one.seq} of {_number(one.head)}{lag}; {one.skills} skills, {one.categories} categories"
    failed = f"; {one.failures} failures since: {one.error}" if one.failures else ""
    yield f"  followed to its head: {_when(one.succeeded_at)} UTC{failed}"
    yield f"  channel: {_channel(one.channel)}" + (f" ({one.channel.error})" if one.channel.error else "")
    queue = one.uploads
    yield f"  to go up: {queue.waiting} waiting, {queue.conflict} in conflict, {queue.dead} failed for good"
    yield f"  open conflicts: {one.open_conflicts}; set aside: {one.set_aside}"
    yield from (f"  {line}" for line in _jobs(one.jobs))


def _jobs(jobs: tuple[JobView, ...]) -> list[str]:
    rows = [
        (
            one.job.value,
            one.remote,
            f"{one.period:g} s" + (" (its own)" if one.own_period else ""),
            "paused" if one.paused else "running" if one.running else _when(one.next_at),
            "-" if one.last is None else f"{one.last.state.value} {_when(one.last.ended_at)}",
        )
        for one in jobs
    ]
    return table(("job", "remote", "every", "next (UTC)", "last run (UTC)"), rows)


def _settings(found: SyncConfigView) -> list[str]:
    return table(("setting", "value"), [(name, f"{value:g}") for name, value in found.settings.model_dump().items()])


def _told(run_: RunView) -> str:
    return f"run {run_.id}, {run_.job.value}: {run_.state.value}" + (f", {_what(run_)}" if _what(run_) else "")


def _what(run_: RunView) -> str:
    return run_.error or ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in run_.counts.items() if count)


def _channel(one: ChannelView) -> str:
    return one.state.value if one.state is not None else ("not open yet" if one.wanted else "none")


def _when(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _number(value: int | None) -> str:
    return "unknown" if value is None else str(value)
