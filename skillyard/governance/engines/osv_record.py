"""An advisory of the index as an OSV record (OSV schema 1.6), for programs that read OSV. Pure.

The record says what the index says, no more: prose and references were never imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias, assert_never

from skillyard.governance.advisories.advisory import Advisory, Interval
from skillyard.skills.skill import Ecosystem

Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

SCHEMA_VERSION = "1.6.0"


def osv_record(advisory: Advisory) -> dict[str, Json]:
    """The record, about this one package.

    Each interval is a range of its own: events of several intervals in one range would be read in version order, and
    two intervals that overlap would then cut each other short.
    """
    record: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "id": advisory.id,
        "modified": stamp(advisory.modified),
        "aliases": list(advisory.aliases),
        "affected": [
            {
                "package": {"ecosystem": osv_name(advisory.ecosystem), "name": advisory.package},
                "ranges": [_range(advisory.ecosystem, interval) for interval in advisory.intervals],
                "versions": sorted(advisory.versions),
            }
        ],
        "database_specific": {"severity": advisory.severity.value},
    }
    if advisory.published is not None:
        record["published"] = stamp(advisory.published)
    if advisory.withdrawn is not None:
        record["withdrawn"] = stamp(advisory.withdrawn)
    return record


def osv_name(ecosystem: Ecosystem) -> str:
    match ecosystem:
        case Ecosystem.PYPI:
            return "PyPI"
        case Ecosystem.NPM:
            return "npm"
        case _:
            assert_never(ecosystem)


def stamp(moment: datetime) -> str:
    """RFC 3339 with a ``Z``, as the OSV schema wants it; pip-audit reads no other form."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _range(ecosystem: Ecosystem, interval: Interval) -> Json:
    events: list[Json] = [{"introduced": interval.introduced or "0"}]
    for kind, version in (("fixed", interval.fixed), ("last_affected", interval.last_affected)):
        if version is not None:
            events.append({kind: version})
    if interval.before is not None:
        events.append({"limit": interval.before})
    return {"type": "ECOSYSTEM" if ecosystem is Ecosystem.PYPI else "SEMVER", "events": events}
