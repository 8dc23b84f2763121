"""The advisory index as a database in safety's format (schema 2.0.0), for the packages of one lock. Pure.

Only facts of our own index go in. safety's makers publish data of their own, whose licence forbids passing it on; none
of it is fetched, kept or shipped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.version import InvalidVersion, Version

from skillyard.governance.advisories.advisory import Advisory, Interval
from skillyard.governance.engines.osv_record import Json

_SCHEMA: Final = "2.0.0"
_PRERELEASES_TOO: Final = ">=0.dev0"
"""In a set of specifiers that names a pre-release, PEP 440 lets pre-releases match; otherwise they never do."""


@dataclass(frozen=True, slots=True)
class SafetyDatabase:
    """The two files that safety reads: ``insecure.json`` is searched, ``insecure_full.json`` explains a match."""

    insecure: Json
    full: Json


def safety_database(advisories: Iterable[Advisory]) -> SafetyDatabase:
    """Withdrawn advisories are left out, and so are those that name no version, which no specifier can say."""
    specifiers: dict[str, list[str]] = {}
    entries: dict[str, list[Json]] = {}
    for one in advisories:
        specs = specifiers_of(one) if one.withdrawn is None else ()
        if specs:
            known = specifiers.setdefault(one.package, [])
            known += [spec for spec in specs if spec not in known]
            entries.setdefault(one.package, []).append(_entry(one, specs))
    meta = {"schema_version": _SCHEMA, "base_domain": ""}
    return SafetyDatabase(
        insecure={"meta": meta, "vulnerable_packages": specifiers},
        full={"meta": {**meta, "packages": {}, "severities": {}}, "vulnerable_packages": entries},
    )


def specifiers_of(advisory: Advisory) -> tuple[str, ...]:
    """Each interval and each listed version as PEP 440 specifiers.

    An interval ends in ``<=fixed,!=fixed`` and not in ``<fixed``: PEP 440 has ``<2.0`` leave out ``2.0rc1``, which an
    advisory that is fixed in 2.0 does mean.
    """
    listed = (f"=={version}" for version in sorted(advisory.versions) if _is_version(version))
    ranges = (_specifiers(interval) for interval in advisory.intervals)
    return tuple(dict.fromkeys((*ranges, *listed)))


def _specifiers(interval: Interval) -> str:
    parts = [_PRERELEASES_TOO]
    if interval.introduced is not None:
        parts.append(f">={interval.introduced}")
    for bound in (interval.fixed, interval.before):
        if bound is not None:
            parts += [f"<={bound}", f"!={bound}"]
    if interval.last_affected is not None:
        parts.append(f"<={interval.last_affected}")
    return ",".join(parts)


def _entry(advisory: Advisory, specs: Sequence[str]) -> Json:
    return {
        "ids": [{"type": "pyup", "id": advisory.id}],
        "specs": list(specs),
        "advisory": advisory.id,
        "transitive": False,
        "more_info_path": "",
    }


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True
