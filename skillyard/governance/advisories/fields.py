"""Reading the fields of a JSON record strictly: each reader gives the type it names, or says which field is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

LONGEST_TEXT: Final = 512
"""Characters of an id, name, version or vector. Longer is no such thing, and would travel into findings and logs."""

_UNPADDED_YEAR: Final = re.compile(r"^\d{1,3}(?=-\d\d-\d\dT)")

Fields = Mapping[str, object]


class WrongFieldError(Exception):
    """A field is not what the schema says. The message names it; the caller adds source and line."""


def as_fields(value: object, field: str) -> Fields:
    if not isinstance(value, dict):
        raise WrongFieldError(f"{field} is not an object")
    return value


def as_text(value: object, field: str) -> str:
    """A string of 1 to 512 printable characters."""
    if not isinstance(value, str) or not value.strip():
        raise WrongFieldError(f"{field} is not a string, or is empty")
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise WrongFieldError(f"{field} is longer than {LONGEST_TEXT} characters or not printable")
    return value


def items(fields: Fields, key: str) -> Sequence[object]:
    """An optional array; the OSV schema lets ``null`` stand for an absent one."""
    value = fields.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise WrongFieldError(f"{key} is not an array")
    return value


def text(fields: Fields, key: str) -> str:
    if key not in fields:
        raise WrongFieldError(f"{key} is missing")
    return as_text(fields[key], key)


def time(fields: Fields, key: str) -> datetime:
    """An RFC 3339 time stamp with its offset, in UTC.

    Published records also carry a zero time whose year is not padded (``1-01-01T00:00:00Z``): it is read as year 1,
    which is what it means, and makes no data look newer than it is.
    """
    written = text(fields, key)
    try:
        moment = datetime.fromisoformat(_UNPADDED_YEAR.sub(lambda year: year[0].zfill(4), written))
        if moment.tzinfo is None:
            raise WrongFieldError(f"{key} has no time zone: {written}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise WrongFieldError(f"{key} is not an RFC 3339 time stamp: {written}") from error


def optional_time(fields: Fields, key: str) -> datetime | None:
    """``None`` where the field is absent, and only then."""
    return time(fields, key) if fields.get(key) is not None else None
