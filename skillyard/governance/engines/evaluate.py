"""Whether an OSV record means a version: the OSV schema's "Evaluation" algorithm, followed to the letter. Pure.

The endpoint that engines ask answers by this and not by ``advisories.match``. An engine that speaks OSV leaves the
matching to the server, so it would otherwise only repeat what the primary engine said; this way the version is matched
twice, by two programs that share neither code nor data structures, and a mistake in one shows as a disagreement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from packaging.version import InvalidVersion, Version
from semver import Version as SemVer

from skillyard.skills.skill import Ecosystem

_Order: TypeAlias = Version | SemVer
Record: TypeAlias = Mapping[str, Any]
"""An OSV record as ``osv_record`` writes it."""


def is_vulnerable(record: Record, ecosystem: Ecosystem, name: str, version: str) -> bool:
    """Raises ``ValueError`` for a version that the ecosystem's order does not know."""
    if record.get("withdrawn") is not None:
        return False
    asked = _order(ecosystem, version)
    return any(
        _listed(entry["versions"], ecosystem, version) or _included(entry["ranges"], ecosystem, asked)
        for entry in record["affected"]
        if entry["package"]["name"] == name
    )


def _listed(versions: Sequence[str], ecosystem: Ecosystem, version: str) -> bool:
    return any(_same(ecosystem, listed, version) for listed in versions)


def _same(ecosystem: Ecosystem, listed: str, version: str) -> bool:
    """Equal as versions, the listed one with or without the local label of the other; or equal as texts."""
    try:
        wanted = _order(ecosystem, listed, public=False)
    except ValueError:
        return listed == version
    return wanted in (_order(ecosystem, version), _order(ecosystem, version, public=False))


def _included(ranges: Sequence[Mapping[str, Any]], ecosystem: Ecosystem, version: _Order) -> bool:
    return any(_in_range(one["events"], ecosystem, version) for one in ranges)


def _in_range(events: Sequence[Mapping[str, str]], ecosystem: Ecosystem, version: _Order) -> bool:
    limits = [event["limit"] for event in events if "limit" in event]
    if limits and not any(_less(version, _order(ecosystem, limit)) for limit in limits):
        return False
    vulnerable = False
    ordered = [event for event in events if "limit" not in event]
    for event in sorted(ordered, key=lambda event: _place(event, ecosystem)):
        ((kind, bound),) = event.items()
        if kind == "introduced":
            if bound == "0" or not _less(version, _order(ecosystem, bound)):
                vulnerable = True
        elif kind == "fixed":
            if not _less(version, _order(ecosystem, bound)):
                vulnerable = False
        elif _less(_order(ecosystem, bound), version):
            vulnerable = False
    return vulnerable


def _place(event: Mapping[str, str], ecosystem: Ecosystem) -> tuple[bool, Any]:
    ((_, bound),) = event.items()
    return (False, 0) if bound == "0" else (True, _order(ecosystem, bound))


def _less(one: _Order, other: _Order) -> bool:
    return bool(one < other)  # type: ignore[operator]  # both are of one ecosystem


def _order(ecosystem: Ecosystem, version: str, *, public: bool = True) -> _Order:
    """The version's place; ``public`` leaves the local label (PEP 440) out, as advisories speak of releases."""
    match ecosystem:
        case Ecosystem.PYPI:
            try:
                parsed = Version(version)
            except InvalidVersion as error:
                raise ValueError(str(error)) from error
            return Version(parsed.public) if public else parsed
        case Ecosystem.NPM:
            return SemVer.parse(version)
        case _:
            assert_never(ecosystem)
