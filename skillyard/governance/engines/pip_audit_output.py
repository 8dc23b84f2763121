"""pip-audit's JSON (``-f json``, 2.x): ``{"dependencies": [{name, version, vulns} | {name, skip_reason}]}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skillyard.governance.engines.engine_output import (
    EngineOutputError,
    Pin,
    Reported,
    fields,
    items,
    parsed,
    pin_of,
    text,
)


def read_pip_audit(stdout: str, exit_code: int, stderr: str, *, pins: Sequence[Pin]) -> tuple[Reported, ...]:
    """Everything reported about ``pins``, each of which must be in the output exactly once and not be skipped.

    Raises ``EngineOutputError``. The exit code has to fit the content: 1 with vulnerabilities, 0 without.
    """
    document = parsed(stdout, exit_code, stderr)
    dependencies = [fields(one, "a dependency") for one in items(document, "dependencies", "the document")]
    skipped = tuple(f"{one.get('name')}: {one.get('skip_reason')}" for one in dependencies if "skip_reason" in one)
    if skipped:
        raise EngineOutputError(f"it skipped {len(skipped)} packages: {'; '.join(skipped)}", skipped=skipped)
    seen: dict[Pin, Mapping[str, Any]] = {}
    for one in dependencies:
        pin = pin_of(pins, text(one, "name", "a dependency"), text(one, "version", "a dependency"))
        if pin in seen:
            raise EngineOutputError(f"{pin} is in its output twice")
        seen[pin] = one
    missing = tuple(str(pin) for pin in pins if pin not in seen)
    if missing:
        raise EngineOutputError(f"its output leaves out {', '.join(missing)}", skipped=missing)
    reported = tuple(found for pin, one in seen.items() for found in _reported(pin, one))
    if exit_code != (1 if reported else 0):
        raise EngineOutputError(f"it reported {len(reported)} vulnerabilities and ended with exit code {exit_code}")
    return reported


def _reported(pin: Pin, dependency: Mapping[str, Any]) -> list[Reported]:
    return [_one(pin, fields(value, "a vulnerability")) for value in items(dependency, "vulns", str(pin))]


def _one(pin: Pin, vulnerability: Mapping[str, Any]) -> Reported:
    identity = text(vulnerability, "id", f"a vulnerability of {pin}")
    aliases = items(vulnerability, "aliases", identity)
    if not all(isinstance(alias, str) and alias for alias in aliases):
        raise EngineOutputError(f"{identity} has aliases that are no texts in its output")
    return Reported(pin, (identity, *sorted({*aliases} - {identity})))
