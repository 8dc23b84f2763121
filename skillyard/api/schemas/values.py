"""What the models share: bounded strings, enumerations by name, bytes as base64, pages."""

from __future__ import annotations

import base64
import binascii
from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, StringConstraints

MAX_KEY = 2**63 - 1
"""Keys are 64-bit integers."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
SkillText = Annotated[str, StringConstraints(min_length=1, max_length=260)]
"""``publisher/name`` or ``publisher/name@version``."""
VersionText = Annotated[str, StringConstraints(min_length=1, max_length=128)]
PackageName = Annotated[str, StringConstraints(min_length=1, max_length=214)]
Specifier = Annotated[str, StringConstraints(max_length=500)]
Comment = Annotated[str, StringConstraints(max_length=2000)]
FutureTime = AwareDatetime
"""A moment with its zone; a time without one is refused."""


def _enum_name(value: object) -> object:
    return value.name if isinstance(value, Enum) else value


MaturityName = Annotated[Literal["STUDENT", "INTERN", "SUPERVISED", "AUTONOMOUS"], BeforeValidator(_enum_name)]
VerdictName = Annotated[Literal["PASS", "FLAG", "INDETERMINATE", "BLOCK"], BeforeValidator(_enum_name)]


def _from_base64(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("base64 text is expected")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64 (RFC 4648, section 4)") from error


Base64Text = Annotated[bytes, BeforeValidator(_from_base64, json_schema_input_type=str)]
"""Bytes, written as standard base64 with padding."""


class Body(BaseModel):
    """Something a client sends. Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class View(BaseModel):
    """Something a client gets, read off a value of the runtime by attribute."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


T = TypeVar("T")


class Page(View, Generic[T]):
    """One page of a list. ``next_cursor`` asks for the page behind this one; ``null`` on the last page."""

    items: tuple[T, ...]
    next_cursor: str | None


class Problem(View):
    """Every answer with a status of 400 or more. ``code`` is stable; ``detail`` is for people.

    ``file``, ``line`` and ``field`` say where the input is wrong, where that is known.
    """

    detail: str
    code: str
    file: str | None = None
    line: int | None = None
    field: str | None = None


class Health(View):
    status: Literal["ok"]
    version: str
