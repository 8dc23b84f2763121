"""From the events and listed versions of an OSV ``affected`` entry to intervals. Pure.

Source of the rules: the OSV schema, "affected[].ranges[].events" and "Evaluation". Records teach more than the schema
says: events come unsorted, intervals touch (one's fix is another's introduction), and bounds are not always versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import groupby

from skillyard.governance.advisories.advisory import Interval
from skillyard.governance.advisories.versions import (
    UnorderableVersionError,
    VersionKey,
    canonical_version,
    equal_form,
    is_any,
    npm_span,
    version_key,
)
from skillyard.skills.skill import Ecosystem


class EventKind(StrEnum):
    """The four events of an OSV range."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Event:
    kind: EventKind
    version: str


@dataclass(frozen=True, slots=True)
class Affected:
    """What one or more ``affected`` entries of one package come to; see ``Advisory`` for the fields."""

    intervals: tuple[Interval, ...]
    versions: frozenset[str]
    undetermined: tuple[str, ...]


def affected_by(ecosystem: Ecosystem, ranges: Sequence[Sequence[Event]], listed: Iterable[str]) -> Affected:
    """The union of ranges and listed versions of one entry.

    A range with a bound that cannot be ordered says nothing certain about any version, so it is kept as a reason for
    not being able to tell. So is an entry that names no version at all (Git ranges need the repository to be read).
    """
    intervals: list[Interval] = []
    undetermined: list[str] = []
    for events in ranges:
        try:
            intervals += intervals_of(ecosystem, events)
        except UnorderableVersionError as error:
            undetermined.append(f"a range cannot be ordered: {error.message}")
    spans, versions = _listed(ecosystem, listed)
    if not (ranges or spans or versions):
        undetermined.append("the record names no versions")
    return Affected(tuple(dict.fromkeys([*intervals, *spans])), frozenset(versions), tuple(undetermined))


def merged(entries: Iterable[Affected]) -> Affected:
    """Several entries of one package: affected where any of them says so."""
    every = tuple(entries)
    return Affected(
        tuple(dict.fromkeys(interval for entry in every for interval in entry.intervals)),
        frozenset().union(*(entry.versions for entry in every)),
        tuple(dict.fromkeys(reason for entry in every for reason in entry.undetermined)),
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A point in the version order where a range starts or ends; ``after`` is 1 for just behind the version."""

    key: VersionKey
    after: int
    start: bool
    end: Interval

    @property
    def place(self) -> tuple[VersionKey, int]:
        return self.key, self.after


def intervals_of(ecosystem: Ecosystem, events: Sequence[Event]) -> tuple[Interval, ...]:
    """The affected intervals of one range. Raises ``UnorderableVersionError`` where a bound has no place in the order.

    A start and an end at the same place change nothing: two intervals that touch are one, and an empty one is none.
    A start inside an interval and an end outside one change nothing either.
    """
    found: list[Interval] = []
    is_open = any(event.kind is EventKind.INTRODUCED and event.version == "0" for event in events)
    start: str | None = None
    turns = sorted((turn for event in events for turn in _turns(ecosystem, event)), key=lambda turn: turn.place)
    for _, group in groupby(turns, key=lambda turn: turn.place):
        here = list(group)
        if len({turn.start for turn in here}) == 2:
            continue
        if here[0].start and not is_open:
            start, is_open = here[0].end.introduced, True
        elif not here[0].start and is_open:
            found.append(_closed(start, here))
            is_open = False
    if is_open:
        found.append(Interval(start))
    return _before_limit(ecosystem, found, events)


def _turns(ecosystem: Ecosystem, event: Event) -> Iterable[_Turn]:
    if event.kind is EventKind.LIMIT or (event.kind is EventKind.INTRODUCED and event.version == "0"):
        return ()
    span = npm_span(event.version) if ecosystem is Ecosystem.NPM else None
    if span is not None and event.kind is EventKind.LAST_AFFECTED:
        # npm reads "<=1.0" as "<1.1.0": the last affected version is the last one of that line.
        return (_Turn(version_key(ecosystem, span[1]), 0, False, Interval(None, before=span[1])),)
    version = canonical_version(ecosystem, event.version)
    turn = partial(_Turn, version_key(ecosystem, version))
    if event.kind is EventKind.INTRODUCED:
        return (turn(0, True, Interval(version)),)
    if event.kind is EventKind.FIXED:
        return (turn(0, False, Interval(None, fixed=version)),)
    return (turn(1, False, Interval(None, last_affected=version)),)


def _closed(start: str | None, ends: Sequence[_Turn]) -> Interval:
    end = next((turn.end for turn in ends if turn.end.fixed is not None), ends[0].end)
    return Interval(start, end.fixed, end.last_affected, end.before)


def _before_limit(ecosystem: Ecosystem, found: Iterable[Interval], events: Sequence[Event]) -> tuple[Interval, ...]:
    """A version is looked at when it lies before *any* limit, so the highest limit is the one that counts."""
    limits = [event.version for event in events if event.kind is EventKind.LIMIT]
    if not limits or "*" in limits:
        return tuple(found)
    key = partial(version_key, ecosystem)
    limit = max((canonical_version(ecosystem, text) for text in limits), key=key)
    kept = (part for part in found if part.introduced is None or key(part.introduced) < key(limit))
    return tuple(
        Interval(part.introduced, part.fixed, part.last_affected, min(filter(None, (part.before, limit)), key=key))
        for part in kept
    )


def _listed(ecosystem: Ecosystem, listed: Iterable[str]) -> tuple[list[Interval], set[str]]:
    spans: list[Interval] = []
    versions: set[str] = set()
    for text in listed:
        span = npm_span(text) if ecosystem is Ecosystem.NPM else None
        if span is not None:
            spans.append(Interval(span[0], before=span[1]))
        elif ecosystem is Ecosystem.NPM and is_any(text):
            spans.append(Interval(None))
        else:
            versions.add(listed_form(ecosystem, text))
    return spans, versions


def listed_form(ecosystem: Ecosystem, text: str) -> str:
    """The form that equal versions share, or as written where there is none: to be equal needs no order."""
    try:
        return equal_form(ecosystem, text)
    except UnorderableVersionError:
        return text.strip()
