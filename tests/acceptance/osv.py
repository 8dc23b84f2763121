"""A second reading of the bundled advisories, from the OSV schema's "Evaluation" and nothing of the product's code.

Slow and literal on purpose. Only what the bundled records hold is read: PyPI records with ``ECOSYSTEM`` ranges and
enumerated versions, compared by PEP 440.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from tests.acceptance.copies import ROOT

_RECORDS = ROOT / "skillyard" / "governance" / "advisories" / "snapshot" / "pypi.osv.jsonl.gz"


class Question(NamedTuple):
    """Which advisories apply to this version?"""

    ecosystem: str
    package: str
    version: str


def questions(source: random.Random, count: int) -> list[Question]:
    """Versions at, just before and just behind the bounds of records, and listed ones."""
    packages = sorted(_records())
    asked: list[Question] = []
    while len(asked) < count:
        package = source.choice(packages)
        affected = source.choice([part for record in _records()[package] for part in record[1]])
        candidates = _bounds(affected) + list(affected.get("versions", []))
        version = source.choice(candidates or ["1.0"])
        around = [text for text in (version, f"{version}.post1", f"{version}.dev0", f"{version}.1") if _parsed(text)]
        if around:
            asked.append(Question("pypi", package, source.choice(around)))
    return asked


def answer(question: Question) -> list[str]:
    """Ids of the records that apply, sorted."""
    version = Version(question.version)
    return sorted(
        identity
        for identity, parts in _records()[question.package]
        if any(_listed(part, version) or _in_ranges(part, version) for part in parts)
    )


@cache
def _records() -> Mapping[str, list[tuple[str, list[dict[str, Any]]]]]:
    """Package → (id, its affected parts, none for a withdrawn record), for packages that can be answered for."""
    found: dict[str, list[tuple[str, list[dict[str, Any]]]]] = defaultdict(list)
    with gzip.open(_RECORDS, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for part in record.get("affected", []):
                if part["package"]["ecosystem"] == "PyPI":
                    parts[canonicalize_name(part["package"]["name"])].append(part)
            for package, own in parts.items():
                found[package].append((record["id"], [] if "withdrawn" in record else own))
    return {package: records for package, records in found.items() if _can_be_answered(records)}


def _can_be_answered(records: list[tuple[str, list[dict[str, Any]]]]) -> bool:
    """Not where a bound is no version by PEP 440: the schema says nothing about an order that does not exist."""
    bounds = [bound for _, parts in records for part in parts for bound in _bounds(part)]
    return bool(bounds) and all(_parsed(bound) for bound in bounds)


def _listed(part: Mapping[str, Any], version: Version) -> bool:
    return any(_parsed(listed) == version for listed in part.get("versions", []))


def _in_ranges(part: Mapping[str, Any], version: Version) -> bool:
    return any(_in_range(one["events"], version) for one in part.get("ranges", []) if one["type"] == "ECOSYSTEM")


def _in_range(events: list[dict[str, str]], version: Version) -> bool:
    def place(event: dict[str, str]) -> tuple[bool, Version, bool]:
        ((kind, bound),) = event.items()
        # Where one affected stretch ends at the very version at which another begins, that version is affected.
        return bound != "0", Version(bound), kind == "introduced"

    vulnerable = False
    for event in sorted(events, key=place):
        ((kind, bound),) = event.items()
        if kind == "introduced" and (bound == "0" or version >= Version(bound)):
            vulnerable = True
        elif (kind == "fixed" and version >= Version(bound)) or (kind == "last_affected" and version > Version(bound)):
            vulnerable = False
    return vulnerable


def _bounds(part: Mapping[str, Any]) -> list[str]:
    return [bound for one in part.get("ranges", []) for event in one["events"] for bound in event.values()]


def _parsed(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
