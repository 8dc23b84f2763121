"""Answers of the OSV API (``/v1/query``, ``/v1/querybatch``, ``/v1/vulns/{id}``) from the advisory index.

Source: the OSV API documentation. A question that is not understood is refused: an empty answer means "nothing known
against it", and must never stand for "not understood".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.versions import canonical_name
from skillyard.governance.engines.evaluate import is_vulnerable
from skillyard.governance.engines.osv_record import Json, osv_record
from skillyard.governance.errors import GovernanceError
from skillyard.skills.skill import Ecosystem

_ECOSYSTEMS: Final = {"PyPI": Ecosystem.PYPI, "npm": Ecosystem.NPM}
_MOST_QUERIES: Final = 1000
"""The OSV API's own limit for one batch."""


class QuestionError(GovernanceError):
    """A question to the loopback endpoint that it does not understand."""

    code = "endpoint_question"


@dataclass(frozen=True, slots=True)
class Asked:
    """One package version that an engine asked about."""

    ecosystem: Ecosystem
    name: str
    version: str


def question(value: object) -> Asked:
    """The package and version of one query. Raises ``QuestionError`` for anything else that OSV can be asked."""
    fields = _fields(value, "the query")
    package = _fields(fields.get("package"), "package")
    ecosystem = _ECOSYSTEMS.get(str(package.get("ecosystem")))
    name, version = package.get("name"), fields.get("version")
    if ecosystem is None:
        raise QuestionError("package.ecosystem is neither PyPI nor npm")
    if not isinstance(name, str) or not name or not isinstance(version, str) or not version:
        raise QuestionError("a query has a package.name and a version here")
    if set(fields) - {"package", "version"}:
        raise QuestionError("a query has a package and a version, and nothing else here")
    return Asked(ecosystem, canonical_name(ecosystem, name), version)


def questions(value: object) -> tuple[Asked, ...]:
    """The queries of a batch."""
    queries = _fields(value, "the batch").get("queries")
    if not isinstance(queries, list) or len(queries) > _MOST_QUERIES:
        raise QuestionError(f"a batch has a list of at most {_MOST_QUERIES} queries")
    return tuple(question(one) for one in queries)


def answer(index: AdvisoryIndex, asked: Asked) -> dict[str, Json]:
    """``{"vulns": [record, …]}``, or ``{}`` where nothing is known against the version, as OSV answers."""
    records = _records(index, asked)
    return {"vulns": list(records)} if records else {}


def batch_answer(index: AdvisoryIndex, asked: tuple[Asked, ...]) -> dict[str, Json]:
    """Ids and dates alone, one result a query and in their order."""
    return {"results": [_brief(_records(index, one)) for one in asked]}


def _brief(records: tuple[dict[str, Json], ...]) -> Json:
    return {"vulns": [{"id": one["id"], "modified": one["modified"]} for one in records]} if records else {}


def _records(index: AdvisoryIndex, asked: Asked) -> tuple[dict[str, Json], ...]:
    index.status().base(asked.ecosystem)  # no data about an ecosystem is an error, never an empty answer
    records = (osv_record(advisory) for advisory in index.advisories(asked.ecosystem, asked.name))
    try:
        return tuple(one for one in records if is_vulnerable(one, asked.ecosystem, asked.name, asked.version))
    except ValueError as error:
        raise QuestionError(f"the version cannot be ordered: {error}") from error


def _fields(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise QuestionError(f"{what} is not an object")
    return value
