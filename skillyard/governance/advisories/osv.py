"""Reading one OSV record into advisories, strictly. Source of every rule: the OSV schema, 1.0 to 1.7.

Only the fields that matching needs are read, and each must be what the schema says: a record that is read wrongly
makes an affected package look clean. Prose (``summary``, ``details``, ``references``) is not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from skillyard.governance.advisories.advisory import Advisory
from skillyard.governance.advisories.fields import (
    Fields,
    WrongFieldError,
    as_fields,
    as_text,
    items,
    optional_time,
    text,
    time,
)
from skillyard.governance.advisories.intervals import Affected, Event, EventKind, affected_by, merged
from skillyard.governance.advisories.severity import Cvss, scored, worst, worst_score
from skillyard.governance.advisories.versions import canonical_name
from skillyard.governance.errors import AdvisorySourceError
from skillyard.governance.report import Severity
from skillyard.skills.skill import Ecosystem

ECOSYSTEMS: Final = {"PyPI": Ecosystem.PYPI, "npm": Ecosystem.NPM}
"""Ecosystems that are kept, by their OSV names. Entries about others are not ours to judge."""
ORDERED_RANGES: Final = frozenset({"ECOSYSTEM", "SEMVER"})
_RANGE_TYPES: Final = ORDERED_RANGES | {"GIT"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One ``affected`` entry about a package of ours."""

    affected: Affected
    scores: tuple[Cvss | None, ...]
    """One for each vector; ``None`` where it could not be read."""


def parse_record(data: bytes, *, source: str, line: int | None = None) -> tuple[Advisory, ...]:
    """The advisories of one record: one for each package of a known ecosystem, none where it names no such package.

    Withdrawn records are parsed like others and carry their date. Raises ``AdvisorySourceError`` with source and line
    for anything that does not follow the schema.
    """
    try:
        return _advisories(as_fields(orjson.loads(data), "the record"))
    except orjson.JSONDecodeError as error:
        raise AdvisorySourceError(f"not JSON: {error}", source=source, line=line) from error
    except WrongFieldError as error:
        raise AdvisorySourceError(f"not an OSV record: {error}", source=source, line=line) from error


def _advisories(record: Fields) -> tuple[Advisory, ...]:
    identity = text(record, "id")
    aliases = {as_text(alias, "aliases") for alias in items(record, "aliases")} - {identity}
    shared = _scores(record)
    modified = time(record, "modified")
    published, withdrawn = optional_time(record, "published"), optional_time(record, "withdrawn")
    return tuple(
        Advisory(
            id=identity,
            ecosystem=ecosystem,
            package=package,
            aliases=tuple(sorted(aliases)),
            intervals=affected.intervals,
            versions=affected.versions,
            undetermined=affected.undetermined,
            severity=worst(Severity.UNKNOWN if one is None else one.severity for one in scores),
            cvss=worst_score(scores),
            modified=modified,
            published=published,
            withdrawn=withdrawn,
        )
        for (ecosystem, package), entries in _by_package(record).items()
        for affected in [merged(entry.affected for entry in entries)]
        for scores in [[*shared, *(score for entry in entries for score in entry.scores)]]
    )


def _by_package(record: Fields) -> dict[tuple[Ecosystem, str], list[_Entry]]:
    entries: defaultdict[tuple[Ecosystem, str], list[_Entry]] = defaultdict(list)
    for value in items(record, "affected"):
        entry = as_fields(value, "affected[]")
        if entry.get("package") is None:
            continue  # An entry about a Git repository alone: no package of ours can be meant.
        package = as_fields(entry["package"], "affected[].package")
        name = text(package, "name")
        ecosystem = ECOSYSTEMS.get(text(package, "ecosystem").partition(":")[0])
        if ecosystem is not None:
            entries[ecosystem, canonical_name(ecosystem, name)].append(_entry(ecosystem, entry))
    return entries


def _entry(ecosystem: Ecosystem, entry: Fields) -> _Entry:
    listed = [as_text(version, "affected[].versions") for version in items(entry, "versions")]
    ranges = [_range(value) for value in items(entry, "ranges")]
    ordered = [events for kind, events in ranges if kind in ORDERED_RANGES]
    return _Entry(affected_by(ecosystem, ordered, listed), _scores(entry))


def _range(value: object) -> tuple[str, Sequence[Event]]:
    fields = as_fields(value, "affected[].ranges[]")
    kind = text(fields, "type")
    if kind not in _RANGE_TYPES:
        raise WrongFieldError(f"affected[].ranges[].type is unknown: {kind}")
    events = [_event(item) for item in items(fields, "events")]
    if not any(event.kind is EventKind.INTRODUCED for event in events):
        raise WrongFieldError("affected[].ranges[].events has no introduced event")
    return kind, events


def _event(value: object) -> Event:
    fields = as_fields(value, "affected[].ranges[].events[]")
    if len(fields) != 1:
        raise WrongFieldError("affected[].ranges[].events[] does not hold exactly one event")
    (name, version), *_ = fields.items()
    try:
        return Event(EventKind(name), as_text(version, f"affected[].ranges[].events[].{name}"))
    except ValueError as error:
        raise WrongFieldError(f"affected[].ranges[].events[] is unknown: {name}") from error


def _scores(fields: Fields) -> tuple[Cvss | None, ...]:
    scores = (as_fields(value, "severity[]") for value in items(fields, "severity"))
    return tuple(scored(text(score, "type"), text(score, "score")) for score in scores)
