"""``advisories``: what is known about vulnerabilities, how old it is, and how to get newer data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from skillyard.api.schemas.audit import DatasetView
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.progress import Watcher
from skillyard.cli.screen import Json, Screen, table
from skillyard.database import utcnow
from skillyard.governance.advisories.index import AdvisoryIndex, IndexStatus, index_path
from skillyard.governance.advisories.sources import source_for
from skillyard.governance.advisories.update import NotUpdated, Updated, ensure_index
from skillyard.runtime.rescan import Rescanned
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings

app = typer.Typer(add_completion=False, help="Update the advisory index, or say how old it is.")


@app.command()
def status(*, json: Json = False) -> ExitCode:
    """What the advisory index holds and of when it is.

    Exit code 3 where there is none, it is damaged, or its data is older than the settings take.
    """
    screen, settings = Screen(json=json), settings_for()
    to_the_end(ensure_index(settings.home, now=utcnow()))
    found = AdvisoryIndex.open(index_path(settings.home)).status()
    stale = _stale(found, settings)
    document = {**_document(found), "max_age_days": settings.advisories_max_age_days, "stale": stale}
    screen.answer(document, lambda: _status(found, settings))
    return ExitCode.INDETERMINATE if stale else ExitCode.DONE


@app.command()
def update(
    *,
    origin: Annotated[
        str | None, typer.Option("--from", help="An https:// address, a file or a folder; default: the setting.")
    ] = None,
    date: Annotated[
        datetime | None, typer.Option("--date", help="Of when the data is; default: its newest record's date.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the data as it is, also where it is much less than there was.")
    ] = False,
    json: Json = False,
) -> ExitCode:
    """Bring in OSV records, then scan every installed skill again; what is now known bad is quarantined."""
    screen, settings = Screen(json=json), settings_for()
    with screen.watch("updating advisories") as watcher:
        of_when = None if date is None else date.replace(tzinfo=date.tzinfo or UTC)
        done = to_the_end(_update(settings, origin, of_when, watcher, replace=replace))
    document = {
        "updated": isinstance(done.index, Updated),
        **_document(done.index.status),
        "scanned": done.scanned,
        "quarantined": [str(ref) for ref in done.quarantined],
    }
    screen.answer(document, lambda: _updated(done, settings))
    return ExitCode.DONE


async def _update(
    settings: Settings, origin: str | None, date: datetime | None, watcher: Watcher, *, replace: bool
) -> Rescanned:
    source = source_for(origin or settings.advisories_url, settings, data_date=date)
    async with await create_runtime(settings, first_person=False) as runtime:
        return await runtime.update_advisories(source, replace=replace, on_progress=watcher.update)


def _stale(found: IndexStatus, settings: Settings) -> bool:
    return any(_age_days(one.data_date) > settings.advisories_max_age_days for one in found.datasets if one.is_base)


def _age_days(moment: datetime) -> float:
    return (utcnow() - moment).total_seconds() / 86_400


def _document(found: IndexStatus) -> dict[str, object]:
    datasets = [DatasetView.model_validate(one) for one in found.datasets]
    return {"fingerprint": found.fingerprint, "datasets": datasets}


def _status(found: IndexStatus, settings: Settings) -> Iterator[str]:
    rows = [
        (
            one.ecosystem.value,
            f"{one.data_date:%Y-%m-%d}",
            f"{_age_days(one.data_date):.0f} days",
            str(one.advisories),
            one.source if one.is_base else f"{one.source} (in addition)",
        )
        for one in found.datasets
    ]
    yield from table(("packages", "data of", "age", "advisories", "source"), rows)
    if _stale(found, settings):
        yield (
            f"Older than the {settings.advisories_max_age_days:g} days that the settings take: verdicts are "
            "INDETERMINATE. Run: skillyard advisories update"
        )


def _updated(done: Rescanned, settings: Settings) -> Iterator[str]:
    match done.index:
        case NotUpdated():
            yield "The source has nothing newer."
        case Updated(imported=imported, ignored=ignored, replaced_damaged=damaged):
            for one in imported:
                yield f"{one.ecosystem.value}: {one.records} records, {one.advisories} advisories, from {one.source}"
            if ignored:
                yield f"{ignored} records are about other things than packages of a known ecosystem"
            if damaged:
                yield f"The index that was there could not be read and was replaced: {damaged}"
    yield from _status(done.index.status, settings)
    yield f"Scanned {done.scanned} installed versions again; {len(done.quarantined)} quarantined."
    yield from (f"  quarantined: {ref}" for ref in done.quarantined)
