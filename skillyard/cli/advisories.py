"""``advisories``: what is known about vulnerabilities, how old it is, and how to get newer data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from skillyard.api.schemas.advisories import AttemptView, DatasetView, SuppliedView
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.loop import to_the_end
from skillyard.cli.progress import Watcher
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.advisories.attempts import Attempt, AttemptState, read_attempts
from skillyard.governance.advisories.index import AdvisoryIndex, IndexStatus, index_path
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.advisories.sources import Source, Taken, settings_sources, source_for
from skillyard.governance.advisories.update import NotUpdated, Updated, ensure_index
from skillyard.governance.advisories.updates import SourceResult
from skillyard.runtime.advisory_updates import AdvisoriesUpdated
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

app = typer.Typer(add_completion=False, help="Update the advisory index, or say how old it is.")


@app.command()
def status(*, json: Json = False) -> ExitCode:
    """What the advisory index holds, of when and from where it is, and what became of the last updates.

    Exit code 3 where there is none, it is damaged, or its data is older than the settings take.
    """
    screen, settings = Screen(json=json), settings_for()
    to_the_end(ensure_index(settings.home, now=utcnow()))
    path = index_path(settings.home)
    found, attempts = AdvisoryIndex.open(path).status(), read_attempts(path)
    stale = _stale(found, settings)
    document = {
        **_document(found),
        "attempts": [AttemptView.model_validate(one) for one in attempts],
        "max_age_days": settings.advisories_max_age_days,
        "stale": stale,
    }
    screen.answer(document, lambda: _status(found, attempts, settings))
    return ExitCode.INDETERMINATE if stale else ExitCode.DONE


@app.command()
def update(
    *,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="An https:// address, a file or a folder; several times for several sources. "
            "`pypi=…` or `npm=…` says the ecosystem of that one. Default: those of the settings.",
        ),
    ] = None,
    ecosystems: Annotated[
        list[Ecosystem] | None,
        typer.Option("--ecosystem", help="Take what is about packages of this ecosystem alone; once or twice."),
    ] = None,
    date: Annotated[
        datetime | None, typer.Option("--date", help="Of when the data is; default: its newest record's date.")
    ] = None,
    changes: Annotated[
        bool,
        typer.Option(
            "--changes",
            help="The records are those that changed: the others of the base stay, and its date, unless "
            "--date says up to when these are all.",
        ),
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the data as it is, also where it is much less than there was.")
    ] = False,
    json: Json = False,
) -> ExitCode:
    """Bring in OSV records, names of malicious packages, EPSS scores or the KEV catalogue, then match every installed
    skill again; what is now known bad is quarantined.

    Each source by itself: one that fails leaves what it brought before, is named in the answer, and makes the exit
    code 1.
    """
    screen, settings = Screen(json=json), settings_for()
    of_when = None if date is None else date.replace(tzinfo=date.tzinfo or UTC)
    taken = Taken(frozenset(ecosystems) if ecosystems else None, of_when, changes)
    sources = _sources(origins, settings, taken)
    with screen.watch("updating advisories") as watcher:
        done = to_the_end(_update(settings, sources, watcher, replace=replace))
    if len(done.updates.results) == 1 and done.updates.errors:
        raise done.updates.errors[0]
    index = done.updates.status
    document = {
        "updated": done.updates.changed,
        **(_document(index) if index is not None else {"fingerprint": None, "datasets": [], "supplied": []}),
        "sources": [_result(one) for one in done.updates.results],
        "scanned": done.scanned,
        "quarantined": [str(ref) for ref in done.quarantined],
    }
    screen.answer(document, lambda: _updated(done, settings))
    return ExitCode.REFUSED if done.updates.errors else ExitCode.DONE


def _sources(origins: Sequence[str] | None, settings: Settings, taken: Taken) -> tuple[Source, ...]:
    if not origins and taken == Taken():
        return settings_sources(settings)
    named = origins or (settings.advisories_url, *settings.advisories_more)
    return tuple(source_for(origin, settings, taken=taken) for origin in named)


async def _update(
    settings: Settings, sources: Sequence[Source], watcher: Watcher, *, replace: bool
) -> AdvisoriesUpdated:
    async with await create_runtime(settings, first_person=False) as runtime:
        return await runtime.advisories.update(sources, replace=replace, on_progress=watcher.update)


def _stale(found: IndexStatus, settings: Settings) -> bool:
    return any(_age_days(one.data_date) > settings.advisories_max_age_days for one in found.datasets if one.is_base)


def _age_days(moment: datetime) -> float:
    return (utcnow() - moment).total_seconds() / 86_400


def _document(found: IndexStatus) -> dict[str, object]:
    return {
        "fingerprint": found.fingerprint,
        "datasets": [DatasetView.model_validate(one) for one in found.datasets],
        "supplied": [SuppliedView.model_validate(one) for one in found.supplied],
    }


def _result(one: SourceResult) -> dict[str, object]:
    state = AttemptState.FAILED
    if one.done is not None:
        state = AttemptState.UPDATED if isinstance(one.done, Updated) else AttemptState.UNCHANGED
    return {"source": one.source, "state": state, "error": None if one.error is None else str(one.error)}


def _status(found: IndexStatus, attempts: Sequence[Attempt], settings: Settings) -> Iterator[str]:
    rows = [
        (
            one.ecosystem.value,
            f"{one.data_date:%Y-%m-%d}",
            f"{_age_days(one.data_date):.0f} days",
            f"{one.advisories} names" if one.kind is RecordKind.NAMES else str(one.advisories),
            f"{one.imported_at:%Y-%m-%d %H:%M}",
            one.source if one.is_base else f"{one.source} (in addition)",
        )
        for one in found.datasets
    ]
    rows += [
        (
            one.kind.value.upper(),
            f"{one.data_date:%Y-%m-%d}",
            f"{_age_days(one.data_date):.0f} days",
            str(one.records),
            f"{one.imported_at:%Y-%m-%d %H:%M}",
            one.source,
        )
        for one in found.supplied
    ]
    yield from table(("packages", "data of", "age", "advisories", "brought in", "source"), rows)
    for one in attempts:
        if one.error is not None:
            since = f"; it last delivered on {one.succeeded_at:%Y-%m-%d %H:%M}" if one.succeeded_at else ""
            yield f"The update of {one.at:%Y-%m-%d %H:%M} from {one.source} failed: {one.error}{since}"
    if _stale(found, settings):
        yield (
            f"Older than the {settings.advisories_max_age_days:g} days that the settings take: verdicts are "
            "INDETERMINATE. Run: skillyard advisories update"
        )


def _updated(done: AdvisoriesUpdated, settings: Settings) -> Iterator[str]:
    for one in done.updates.results:
        yield from _came(one)
    if done.updates.status is not None:
        yield from _status(done.updates.status, (), settings)
    yield f"Matched {done.scanned} installed versions again; {len(done.quarantined)} quarantined."
    yield from (f"  quarantined: {ref}" for ref in done.quarantined)


def _came(result: SourceResult) -> Iterator[str]:
    match result.done:
        case None:
            yield f"Failed, and nothing of it was taken: {result.error}"
        case NotUpdated():
            yield f"{result.source} has nothing newer."
        case Updated(imported=imported, supplied=supplied, ignored=ignored, replaced_damaged=damaged):
            for one in imported:
                yield f"{one.ecosystem.value}: {one.records} records, {one.advisories} advisories, from {one.source}"
            for fact in supplied:
                yield f"{fact.kind.value.upper()}: {fact.records} records, from {fact.source}"
            if ignored:
                yield f"{ignored} records are about other things than packages of a known ecosystem"
            if damaged:
                yield f"The index that was there could not be read and was replaced: {damaged}"
