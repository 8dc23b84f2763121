"""``doctor``: what this machine has and lacks, what the home holds and what is wrong with it, the state of plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from skillyard.cli.checks import ENGINE_SECONDS, diagnose
from skillyard.cli.configuration import settings_for
from skillyard.cli.diagnosis import Diagnosis, State
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen, table
from skillyard.runtime.inventory import Stock
from skillyard.runtime.verify import Verified
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.environment import ProgressSink
from skillyard.settings import Settings

app = typer.Typer(add_completion=False)

_MARKS = {State.OK: "ok", State.WARNING: "look", State.MISSING: "MISSING"}


@app.command()
def doctor(
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read everything that skills run from; make anew what is damaged.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --verify: report only.")] = False,
    json: Json = False,
) -> ExitCode:
    """Say what this machine has and lacks; check and mend what is stored.

    Tells also what is stored, which processes, calls and containers there are, and the state of every plug-in. Changes
    nothing without --verify. Exit code 5 if something that is needed is missing; each such line says what to do. Exit
    code 1 if --verify leaves something damaged.
    """
    screen, settings = Screen(json=json), settings_for()
    if dry_run and not verify:
        raise UsageProblemError("there is nothing to report on without --verify", field="--dry-run")
    found = to_the_end(diagnose(settings))
    verified = None
    if verify:
        with screen.watch("verifying") as watcher:
            verified = to_the_end(_verify(settings, repair=not dry_run, on_progress=watcher.step))
    document = {"ok": found.ok, "checks": found.checks, "plugins": found.plugins}
    if verified is not None:
        document["verified"] = {"sound": verified.sound, **_facts(verified)}
    screen.answer(document, lambda: _told(found, verified))
    if not found.ok:
        return ExitCode.MACHINE
    return ExitCode.DONE if verified is None or verified.sound else ExitCode.REFUSED


async def _verify(settings: Settings, *, repair: bool, on_progress: ProgressSink) -> Verified:
    engine = Engine(address=settings.docker_host, timeout=ENGINE_SECONDS)
    try:
        async with Stock(settings, engine=engine) as stock:
            return await stock.verifier().verify(repair=repair, on_progress=on_progress)
    finally:
        await engine.close()


def _facts(verified: Verified) -> dict[str, object]:
    return {
        "counts": verified.counts,
        "damage": verified.damage,
        "affected": verified.affected,
        "dropped": verified.dropped,
        "rebuilt": verified.rebuilt,
        "unrepaired": verified.unrepaired,
        "left_alone": verified.left_alone,
    }


def _told(found: Diagnosis, verified: Verified | None) -> Iterator[str]:
    for check in found.checks:
        yield f"{_MARKS[check.state]:<8} {check.name}: {check.detail}"
        if check.hint is not None:
            yield f"{'':<8}   → {check.hint}"
    yield ""
    rows = [
        (one.group, one.name, one.distribution, one.version, one.state.value, one.reason or "") for one in found.plugins
    ]
    yield from table(("group", "plug-in", "distribution", "version", "state", "reason"), rows)
    yield ""
    if verified is not None:
        yield from _told_of_verifying(verified)
        yield ""
    yield "Everything that is needed is there." if found.ok else "Something that is needed is missing; see above."


def _told_of_verifying(verified: Verified) -> Iterator[str]:
    read = ", ".join(f"{count} {kind}" for kind, count in verified.counts.items())
    yield f"Read {read}: {'nothing is damaged.' if not verified.damage else f'{len(verified.damage)} are damaged.'}"
    for one in verified.damage:
        yield f"DAMAGED  {one.kind} {one.name}{f': {one.reason}' if one.reason else ''}"
        yield from (f"{'':<8}   {file}" for file in one.files)
    for used in verified.affected:
        yield f"IN USE   container {used.container[:12]} of {used.skill}; its server stops it when it next sweeps"
    if verified.dropped:
        yield f"dropped  {len(verified.dropped)}: {', '.join(verified.dropped)}"
    if verified.rebuilt:
        yield f"rebuilt  {len(verified.rebuilt)} environments from fresh downloads: {', '.join(verified.rebuilt)}"
    yield from (f"NOT MENDED {problem}" for problem in verified.unrepaired)
    if verified.left_alone is not None:
        yield f"Nothing was changed: {verified.left_alone}."
