"""What an engine prints, read with suspicion: what it found in which packages, or the reason why it says nothing.

An engine's exit code alone decides nothing: pip-audit's 1 means "found something", "was refused", "got HTML" and
"crashed" alike. What counts is whether every package of the lock is in the output, and no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from skillyard.governance.errors import GovernanceError
from skillyard.governance.report import PackageRef
from skillyard.skills.skill import Ecosystem

_SHOWN = 300


class EngineOutputError(GovernanceError):
    """An engine's output is not what that engine prints. ``skipped`` names packages that it left out."""

    code = "engine_output"

    def __init__(self, message: str, *, skipped: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.skipped = skipped


@dataclass(frozen=True, slots=True)
class Pin:
    """A locked package: canonical name and exact version, with the sha256 of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]
    ecosystem: Ecosystem = Ecosystem.PYPI

    def __str__(self) -> str:
        return str(PackageRef(self.ecosystem, self.name, self.version))


@dataclass(frozen=True, slots=True)
class Reported:
    """One vulnerability of one locked package, by all the ids that the engine gave it; the first is its own choice."""

    pin: Pin
    ids: tuple[str, ...]


def parsed(text: str, exit_code: int, stderr: str) -> Mapping[str, Any]:
    """The one JSON object on standard output. Raises ``EngineOutputError`` with what the engine complained about."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        what = "printed nothing" if not text.strip() else f"printed what is no JSON ({error})"
        raise EngineOutputError(f"it {what} and ended with exit code {exit_code}{_complaint(stderr)}") from error
    if not isinstance(document, dict):
        raise EngineOutputError(f"it printed JSON that is not an object, and ended with exit code {exit_code}")
    return document


def fields(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise EngineOutputError(f"{what} is not an object in its output")
    return value


def items(holder: Mapping[str, Any], name: str, what: str) -> list[Any]:
    value = holder.get(name)
    if not isinstance(value, list):
        raise EngineOutputError(f"{what} has no list {name!r} in its output")
    return value


def text(holder: Mapping[str, Any], name: str, what: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise EngineOutputError(f"{what} has no text {name!r} in its output")
    return value


def pin_of(pins: Iterable[Pin], name: str, version: str) -> Pin:
    """The locked package that an engine means. Raises ``EngineOutputError`` where the lock has none such."""
    try:
        wanted = Version(version)
        for pin in pins:
            if pin.name == canonicalize_name(name) and Version(pin.version) == wanted:
                return pin
    except InvalidVersion as error:
        raise EngineOutputError(f"{name} has a version in its output that is none: {version!r}") from error
    raise EngineOutputError(f"its output names {name}=={version}, which is not in the lock")


def _complaint(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"; it said last: {lines[-1][:_SHOWN]}" if lines else ""
