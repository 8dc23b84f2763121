"""What safety says it looked at and found: as ``safety_driver`` prints it, and as its own command line writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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

_FOUND: Final = 64
"""safety's exit code for "vulnerabilities were found"."""


def read_safety(stdout: str, exit_code: int, stderr: str, *, pins: Sequence[Pin], version: str) -> tuple[Reported, ...]:
    """Everything matched among ``pins``, each of which must have been checked. Raises ``EngineOutputError``."""
    document = parsed(stdout, exit_code, stderr)
    if exit_code != 0:
        raise EngineOutputError(f"it ended with exit code {exit_code}")
    if document.get("version") != version:
        raise EngineOutputError(f"safety {document.get('version')} ran, and {version} is what was locked")
    checked = {pin_of(pins, *_texts(one, 2, "a checked package")) for one in items(document, "checked", "it")}
    missing = tuple(str(pin) for pin in pins if pin not in checked)
    if missing:
        raise EngineOutputError(f"its output leaves out {', '.join(missing)}", skipped=missing)
    found: list[Reported] = []
    for one in items(document, "vulnerabilities", "it"):
        name, pinned, identity = _texts(one, 3, "a vulnerability")
        found.append(Reported(pin_of(pins, name, pinned), (identity,)))
    return tuple(found)


def read_safety_report(text_: str, exit_code: int, stderr: str, *, pins: Sequence[Pin]) -> tuple[Reported, ...]:
    """The file that ``safety check --save-json`` writes (format 1.1), with the exit code that fits it: 64 or 0.

    What an account's policy would ignore counts as found: only this instance's waivers waive. Raises
    ``EngineOutputError``.
    """
    document = parsed(text_, exit_code, stderr)
    scanned = fields(document.get("scanned_packages"), "scanned_packages").values()
    checked = {_scanned(one, pins) for one in scanned}
    missing = tuple(str(pin) for pin in pins if pin not in checked)
    if missing:
        raise EngineOutputError(f"its report leaves out {', '.join(missing)}", skipped=missing)
    found = [
        _vulnerability(fields(one, "a vulnerability"), pins)
        for part in ("vulnerabilities", "ignored_vulnerabilities")
        for one in items(document, part, "the report")
    ]
    if exit_code != (_FOUND if document["vulnerabilities"] else 0):
        raise EngineOutputError(f"it reported {len(found)} vulnerabilities and ended with exit code {exit_code}")
    return tuple(found)


def _scanned(value: Any, pins: Sequence[Pin]) -> Pin:
    package = fields(value, "a scanned package")
    return pin_of(pins, text(package, "name", "a scanned package"), text(package, "version", "a scanned package"))


def _vulnerability(one: Mapping[str, Any], pins: Sequence[Pin]) -> Reported:
    pin = pin_of(pins, text(one, "package_name", "it"), text(one, "analyzed_version", "it"))
    own = f"SAFETY-{text(one, 'vulnerability_id', str(pin))}"
    cve = one.get("CVE")
    return Reported(pin, (own,) if cve is None else (cve_name(cve), own))


def cve_name(value: Any) -> str:
    """The CVE that safety gives an advisory: a name, or an object that has it."""
    return value if isinstance(value, str) and value else text(fields(value, "a CVE"), "name", "a CVE")


def _texts(value: Any, count: int, what: str) -> list[str]:
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, str) and one for one in value):
        raise EngineOutputError(f"{what} is not {count} texts in its output")
    return value
