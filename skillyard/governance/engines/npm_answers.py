"""Answers of npm's bulk advisory endpoint (``POST /-/npm/v1/security/advisories/bulk``) from the advisory index.

Source: what npm's own registry answers, as npm 7 and later ask it. The question is ``{name: [version, …]}``, the answer
``{name: [advisory, …]}`` with a range of versions each. npm compares the versions itself, so that every advisory about
a name is handed out, and not only those that our own matching would pick.
"""

from __future__ import annotations

from typing import Final

from skillyard.governance.advisories.advisory import Advisory, Interval
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.engines.osv_answers import Asked, QuestionError
from skillyard.governance.engines.osv_record import Json
from skillyard.governance.report import Severity
from skillyard.skills.skill import Ecosystem

_MOST_PACKAGES: Final = 20_000
_SEVERITIES: Final = {
    Severity.CRITICAL: "critical",
    Severity.HIGH: "high",
    Severity.MEDIUM: "moderate",
    Severity.LOW: "low",
    Severity.UNKNOWN: "high",
}
"""npm's words. It knows no unknown severity, which counts as high here as everywhere."""


def bulk_question(value: object) -> tuple[Asked, ...]:
    """Every package version that is asked about. Raises ``QuestionError``."""
    if not isinstance(value, dict) or len(value) > _MOST_PACKAGES:
        raise QuestionError(f"a bulk question is an object of at most {_MOST_PACKAGES} packages")
    asked: list[Asked] = []
    for name, versions in value.items():
        if not isinstance(versions, list) or not all(isinstance(one, str) and one for one in versions):
            raise QuestionError("a bulk question has a list of versions for each package")
        asked += [Asked(Ecosystem.NPM, name, version) for version in versions]
    return tuple(asked)


def bulk_answer(index: AdvisoryIndex, asked: tuple[Asked, ...]) -> dict[str, Json]:
    """Every advisory about each name that is not withdrawn and whose versions a range can say."""
    index.status().base(Ecosystem.NPM)  # no data about an ecosystem is an error, never an empty answer
    answer: dict[str, Json] = {}
    for name in dict.fromkeys(one.name for one in asked):
        known = [one for one in index.advisories(Ecosystem.NPM, name) if one.withdrawn is None and _has_range(one)]
        if known:
            answer[name] = [_advisory(number, one) for number, one in enumerate(known, start=1)]
    return answer


def npm_range(advisory: Advisory) -> str:
    """Its versions as a range of npm's (node-semver): intervals and listed versions, joined by ``||``."""
    parts = [_interval(one) for one in advisory.intervals] + [f"={version}" for version in sorted(advisory.versions)]
    return " || ".join(dict.fromkeys(parts))


def _has_range(advisory: Advisory) -> bool:
    return bool(advisory.intervals or advisory.versions)


def _interval(interval: Interval) -> str:
    bounds = (
        (">=", interval.introduced),
        ("<", interval.fixed),
        ("<=", interval.last_affected),
        ("<", interval.before),
    )
    return " ".join(f"{sign}{version}" for sign, version in bounds if version is not None) or "*"


def _advisory(number: int, advisory: Advisory) -> Json:
    """``title`` carries the record's id, by which the answer is understood when npm hands it back."""
    return {
        "id": number,
        "url": f"urn:advisory:{advisory.id}",
        "title": advisory.id,
        "severity": _SEVERITIES[advisory.severity],
        "vulnerable_versions": npm_range(advisory),
        "cwe": [],
        "cvss": {"score": 0, "vectorString": None},
    }
