"""npm's audit report (``npm audit --json``, version 2): ``{"vulnerabilities": {name: {via, …}}, "metadata": …}``.

Where its request is refused, npm prints JSON too, without ``vulnerabilities``: that is no clean bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from skillyard.governance.engines.engine_output import EngineOutputError, Pin, Reported, fields, items, parsed, text

_REPORT: Final = 2


def read_npm_audit(stdout: str, exit_code: int, stderr: str, *, pins: Sequence[Pin]) -> tuple[Reported, ...]:
    """Everything reported about ``pins``, which are all the packages of the project, one version of each name.

    Raises ``EngineOutputError``. npm does not name what it looked at, and says how many packages there were; the
    exit code has to fit: 1 with vulnerabilities, 0 without.
    """
    document = parsed(stdout, exit_code, stderr)
    if document.get("auditReportVersion") != _REPORT:
        complaint = document.get("message") or document.get("error")
        raise EngineOutputError(f"it printed no report of version {_REPORT}: {str(complaint)[:300]}")
    vulnerabilities = fields(document.get("vulnerabilities"), "vulnerabilities")
    counted = fields(fields(document.get("metadata"), "metadata").get("dependencies"), "metadata.dependencies")
    if counted.get("total") != len(pins):
        raise EngineOutputError(f"it looked at {counted.get('total')} packages, and {len(pins)} are locked")
    by_name = {pin.name: pin for pin in pins}
    found = [
        reported
        for name, value in vulnerabilities.items()
        for reported in _reported(by_name.get(name), name, fields(value, name))
    ]
    if exit_code != (1 if vulnerabilities else 0):
        raise EngineOutputError(f"it reported {len(found)} vulnerabilities and ended with exit code {exit_code}")
    return tuple(found)


def _reported(pin: Pin | None, name: str, vulnerability: Mapping[str, Any]) -> list[Reported]:
    if pin is None:
        raise EngineOutputError(f"its output names {name}, which is not in the lock")
    # A text among these names another package through which this one is affected, which has an entry of its own.
    via = [fields(one, name) for one in items(vulnerability, "via", name) if not isinstance(one, str)]
    return [Reported(pin, (text(one, "title", name),)) for one in via]
