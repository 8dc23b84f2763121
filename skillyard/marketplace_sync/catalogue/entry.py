"""Entries: what a marketplace consists of (ADR 0035)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

import orjson

from skillyard.marketplace_sync.errors import DocumentError

CatalogueId = NewType("CatalogueId", int)

MAX_KEY = 300
MAX_DOCUMENT_BYTES = 64 * 1024
MAX_INTEGER = 2**53 - 1
"""What every reader of JSON keeps exactly (RFC 8259, section 6)."""

JsonValue = str | int | bool | None | list["JsonValue"] | dict[str, "JsonValue"]

_NAME = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_VERSION = r"[0-9A-Za-z.+-]{1,128}"
_ORIGIN = r"[A-Za-z0-9_-]{1,64}"


class EntryKind(StrEnum):
    PUBLISHER = "publisher"
    CATEGORY = "category"
    SKILL = "skill"
    VERSION = "version"
    MODERATION = "moderation"
    RATING = "rating"
    COUNTS = "counts"


_KEYS = {
    EntryKind.PUBLISHER: re.compile(_NAME),
    EntryKind.CATEGORY: re.compile(_NAME),
    EntryKind.SKILL: re.compile(f"{_NAME}/{_NAME}"),
    EntryKind.VERSION: re.compile(f"{_NAME}/{_NAME}@{_VERSION}"),
    EntryKind.MODERATION: re.compile(f"{_NAME}(?:/{_NAME}(?:@{_VERSION})?)?"),
    EntryKind.RATING: re.compile(f"{_NAME}/{_NAME}#{_ORIGIN}/{_ORIGIN}"),
    EntryKind.COUNTS: re.compile(f"{_NAME}/{_NAME}#{_ORIGIN}"),
}


@dataclass(frozen=True, slots=True)
class EntryId:
    """What is meant. The form of ``key`` depends on the kind; see the ADR's table."""

    kind: EntryKind
    key: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.key}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as a catalogue holds it.

    ``seq`` is the number of its last change in its catalogue's feed, ``rev`` counts its own changes from 1.
    ``document`` is canonical JSON; ``None`` for a tombstone, and for one whose document a filter left out. ``sha256``
    is over kind, key, rev, deleted and document (``entry_hash``), also where the document is left out.
    """

    id: EntryId
    seq: int
    rev: int
    document: str | None
    sha256: str
    deleted: bool
    changed_at: datetime


def canonical(value: Mapping[str, object]) -> str:
    """JSON that is the same wherever it is made: sorted keys, no spaces, UTF-8. Raises ``DocumentError``.

    That is RFC 8785 for what documents may hold: no floats, and integers within 53 bits.
    """
    _check(value, "document")
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"cannot be written as JSON: {error}") from error


def entry_hash(id_: EntryId, rev: int, document: str | None, *, deleted: bool) -> str:
    """64 hex digits that stand for one state of one entry."""
    text = "\0".join((id_.kind.value, id_.key, str(rev), "deleted" if deleted else "live", document or ""))
    return hashlib.sha256(text.encode()).hexdigest()


def member(id_: EntryId, sha256: str) -> bytes:
    """What a catalogue's digest counts an entry as."""
    return member_of(id_.kind.value, id_.key, sha256)


def member_of(kind: str, key: str, sha256: str) -> bytes:
    """The same of what may be no entry that this release knows."""
    return f"{kind}\0{key}\0{sha256}".encode()


def entry_id(kind: str, key: str) -> EntryId:
    """Raises ``DocumentError`` for a kind that does not exist or a key that is none of its kind."""
    try:
        known = EntryKind(kind)
    except ValueError as error:
        raise DocumentError(f"there is no kind of entry {kind[:40]!r}", field="kind") from error
    if len(key) > MAX_KEY or _KEYS[known].fullmatch(key) is None:
        raise DocumentError(f"{key[:80]!r} is no key of a {known.value}", field="key")
    return EntryId(known, key)


def _check(value: object, place: str, depth: int = 0) -> None:
    if depth > 12:
        raise DocumentError("nested too deeply", field=place)
    match value:
        case bool() | None | str():
            return
        case int():
            if abs(value) > MAX_INTEGER:
                raise DocumentError("a number beyond 53 bits", field=place)
        case Mapping():
            for key, inner in value.items():
                if not isinstance(key, str):
                    raise DocumentError("a key that is no text", field=place)
                _check(inner, f"{place}.{key[:40]}", depth + 1)
        case list() | tuple():
            for inner in value:
                _check(inner, f"{place}[]", depth + 1)
        case _:
            raise DocumentError(f"a {type(value).__name__} has no place in a document", field=place)
