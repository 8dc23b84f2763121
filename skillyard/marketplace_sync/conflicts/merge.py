"""Three-way merging, as pure functions: the same for whoever is called local, and the same when done again.

Every part has one rule. A *text* is taken whole: whoever changed it is right, and where both did, and not alike, it
clashes. A *set* (topics, categories) keeps what both have, what either added, and nothing that either removed. A *map*
(channels, packages by name, files by path) is merged by key, each value as a text. Nothing is guessed: what clashes is
named, and with it nothing is merged unless one side is to have its way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Generic, TypeVar

import orjson
import semver

from skillyard.marketplace_sync.catalogue.documents import SkillDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import JsonValue, canonical
from skillyard.marketplace_sync.errors import DocumentError

V = TypeVar("V")

SETS: Final = frozenset({"topics", "categories"})
MAPS: Final = frozenset({"channels"})
DERIVED: Final = frozenset({"updated_at", "body"})
"""What a hub makes itself: nobody's edit, and no reason for a conflict."""


class Side(StrEnum):
    LOCAL = "local"
    REMOTE = "remote"


class _Absent(Enum):
    ABSENT = "absent"


_ABSENT = _Absent.ABSENT


@dataclass(frozen=True, slots=True)
class MergedSkill:
    """``document`` is canonical JSON; ``None`` where something clashed and neither side was to have its way, or where
    the parts do not make a valid document."""

    document: str | None
    clashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergedMap(Generic[V]):
    """``clashes`` are the keys that both changed, and not alike; ``values`` is without them unless a side was to have
    its way."""

    values: Mapping[str, V]
    clashes: tuple[str, ...]


def merge_map(
    base: Mapping[str, V], local: Mapping[str, V], remote: Mapping[str, V], *, prefer: Side | None = None
) -> MergedMap[V]:
    """By key. A key that one removed and the other changed clashes."""
    values: dict[str, V] = {}
    clashes = []
    for key in sorted(base.keys() | local.keys() | remote.keys()):
        was, ours, theirs = base.get(key, _ABSENT), local.get(key, _ABSENT), remote.get(key, _ABSENT)
        if theirs in (ours, was):
            taken = ours
        elif ours == was:
            taken = theirs
        else:
            clashes.append(key)
            taken = _ABSENT if prefer is None else ours if prefer is Side.LOCAL else theirs
        if not isinstance(taken, _Absent):
            values[key] = taken
    return MergedMap(values, tuple(clashes))


def merge_set(base: Collection[str], local: Collection[str], remote: Collection[str]) -> tuple[str, ...]:
    """What both have, and what either has that was not there before; sorted."""
    was, ours, theirs = set(base), set(local), set(remote)
    return tuple(sorted((ours & theirs) | ((ours | theirs) - was)))


def merge_skill(base: str | None, local: str, remote: str, *, prefer: Side | None = None) -> MergedSkill:
    """Three documents of one skill, as canonical JSON. With ``prefer``, what clashes is taken from that side.

    ``base`` is ``None`` where the skill was not there. Raises ``DocumentError`` for a document that is none.
    """
    if local == remote:
        return MergedSkill(local, ())
    was, ours, theirs = _object(base), _object(local), _object(remote)
    whole = {name: _without_parts(one) for name, one in (("base", was), ("local", ours), ("remote", theirs))}
    texts = merge_map(whole["base"], whole["local"], whole["remote"], prefer=prefer)
    result: dict[str, JsonValue] = dict(texts.values)
    clashes = list(texts.clashes)
    for name in SETS:
        if merged := merge_set(*(_texts(one.get(name)) for one in (was, ours, theirs))):
            result[name] = list(merged)
    for name in MAPS:
        parts = merge_map(*(_mapping(one.get(name)) for one in (was, ours, theirs)), prefer=prefer)
        if parts.values:
            result[name] = dict(parts.values)
        clashes += [f"{name}.{key}" for key in parts.clashes]
    # The hub makes these anew; until then the later date, and the text that belongs to it, stand for them.
    later = max(ours, theirs, key=lambda one: (str(one.get("updated_at", "")), str(one.get("body", ""))))
    result |= {name: later[name] for name in DERIVED if name in later}
    if clashes and prefer is None:
        return MergedSkill(None, tuple(sorted(clashes)))
    return MergedSkill(_valid(result), tuple(sorted(clashes)))


def next_version(one: str, other: str, taken: Collection[str] = ()) -> str:
    """The next patch above both that is not taken: for one of two bundles that claim a number.

    Raises ``DocumentError`` for what is no semantic version.
    """
    try:
        version = max(semver.Version.parse(one), semver.Version.parse(other))
        claimed = {str(semver.Version.parse(text).replace(build=None)) for text in taken}
    except ValueError as error:
        raise DocumentError(f"not a semantic version: {error}", field="version") from error
    found = semver.Version(version.major, version.minor, version.patch + 1)
    while str(found) in claimed:
        found = found.bump_patch()
    return str(found)


def skill_fields(text: str) -> Mapping[str, JsonValue]:
    """What its publisher says of a skill, in a form in which equal is equal: sets sorted, nothing empty, nothing that
    the hub makes. Raises ``DocumentError``."""
    fields: dict[str, JsonValue] = {}
    for name, value in _object(text).items():
        if name in DERIVED or value in (None, [], {}, ""):
            continue
        fields[name] = [*sorted(_texts(value))] if name in SETS else value
    return fields


def _without_parts(document: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    left_out = SETS | MAPS | DERIVED
    return {name: value for name, value in document.items() if name not in left_out and value is not None}


def _valid(result: Mapping[str, JsonValue]) -> str | None:
    try:
        text = canonical(result)
        read_document(SkillDocument, text)
    except DocumentError:
        return None
    return text


def _object(text: str | None) -> dict[str, JsonValue]:
    if text is None:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DocumentError("a document is an object")
    return value


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}
