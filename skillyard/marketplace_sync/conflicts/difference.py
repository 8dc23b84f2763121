"""A conflict as people read it: place by place, what was there, what we made of it, and what the remote did. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from skillyard.marketplace_sync.catalogue.entry import JsonValue
from skillyard.marketplace_sync.conflicts.merge import DERIVED, SETS

_MAPS = frozenset({"channels", "files", "parameters"})
_HIDDEN = DERIVED | {"signature", "published_at", "scanned_at"}


class ChangedBy(StrEnum):
    """Who changed a place. ``both`` and not alike: that is what has to be decided."""

    LOCAL = "local"
    REMOTE = "remote"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Place:
    """One place that is not the same on all sides. A value is text, ``None`` where there is none."""

    name: str
    base: str | None
    local: str | None
    remote: str | None
    changed_by: ChangedBy


def places(base: str | None, local: str, remote: str) -> tuple[Place, ...]:
    """Where three documents differ, by name. Without a base, whatever differs was changed by both."""
    was, ours, theirs = (_flat(text) for text in (base, local, remote))
    found = []
    for name in sorted(was.keys() | ours.keys() | theirs.keys()):
        values = was.get(name), ours.get(name), theirs.get(name)
        if values[1] == values[2]:
            continue
        by = ChangedBy.BOTH
        if base is not None:
            by = ChangedBy.REMOTE if values[1] == values[0] else ChangedBy.LOCAL if values[2] == values[0] else by
        found.append(Place(name, *values, by))
    return tuple(found)


def _flat(text: str | None) -> dict[str, str]:
    value = {} if text is None else orjson.loads(text)
    return dict(_parts(value)) if isinstance(value, Mapping) else {}


def _parts(document: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        if name in _HIDDEN or value in (None, [], {}, ""):
            continue
        if name in _MAPS and isinstance(value, Mapping):
            yield from ((f"{name}.{key}", _text(one)) for key, one in value.items())
        elif name == "packages" and isinstance(value, list):
            yield from _packages(value)
        elif name in SETS and isinstance(value, list):
            yield name, ", ".join(sorted(map(str, value)))
        else:
            yield name, _text(value)


def _packages(values: list[JsonValue]) -> Iterator[tuple[str, str]]:
    for one in values:
        if isinstance(one, Mapping):
            yield f"packages.{one.get('ecosystem')}/{one.get('name')}", _text(one.get("version"))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
