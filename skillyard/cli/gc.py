"""``gc``: collect what nothing refers to any more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

import typer

from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen, size, table
from skillyard.errors import MachineError
from skillyard.runtime.collect import Collection
from skillyard.runtime.inventory import Stock
from skillyard.sandbox.engine import Engine
from skillyard.settings import Settings

app = typer.Typer(add_completion=False)


class NoHomeError(MachineError):
    """There is no database to tell what is needed, so nothing is collected."""

    code = "no_database"


@app.command()
def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and change nothing.")] = False,
    grace_days: Annotated[
        float | None, typer.Option("--grace-days", min=0, help="Instead of the setting; 0 takes everything unneeded.")
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Remove packages, bundles, images and files of calls that nothing needs any more.

    What an installed version or a running sandbox refers to stays. What nothing refers to goes once that was so for the
    grace, counted from the first collection that saw it; files of calls go when their time is over. Exit code 1 if
    something could not be looked at or removed.
    """
    screen, settings = Screen(json=json), settings_for()
    grace = timedelta(days=settings.gc_grace_days if grace_days is None else grace_days)
    found = to_the_end(_collect(settings, grace, dry_run=dry_run))
    document = {
        "dry_run": found.dry_run,
        "grace_days": found.grace_days,
        "complete": found.complete,
        "freed_bytes": found.freed_bytes,
        "kinds": found.kinds,
    }
    screen.answer(document, lambda: _told(found))
    return ExitCode.DONE if found.complete else ExitCode.REFUSED


async def _collect(settings: Settings, grace: timedelta, *, dry_run: bool) -> Collection:
    engine = Engine(address=settings.docker_host)
    try:
        async with Stock(settings, engine=engine) as stock:
            collector = stock.collector()
            if collector is None:
                raise NoHomeError(stock.database_problem or f"{settings.home} holds no database: nothing was installed")
            return await collector.collect(grace=grace, dry_run=dry_run)
    finally:
        await engine.close()


def _told(found: Collection) -> Iterator[str]:
    did = "would go" if found.dry_run else "gone"
    rows = [
        (one.kind, str(one.there), str(one.unneeded), str(len(one.removed)), size(one.freed_bytes), one.skipped or "")
        for one in found.kinds
    ]
    yield from table(("kind", "there", "unneeded", did, "bytes", "left alone because"), rows)
    for one in found.kinds:
        for failure in one.failures:
            yield f"NOT REMOVED {one.kind}: {failure}"
    waiting = sum(one.unneeded - len(one.removed) for one in found.kinds)
    if waiting > 0:
        yield f"{waiting} unneeded things wait until nothing has needed them for {found.grace_days:g} days."
