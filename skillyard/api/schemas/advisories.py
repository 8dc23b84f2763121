"""The advisory index, as clients see it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from skillyard.api.schemas.values import View
from skillyard.governance.advisories.attempts import AttemptState
from skillyard.governance.advisories.index_format import DateBasis
from skillyard.governance.advisories.source import RecordKind
from skillyard.skills.skill import Ecosystem


class DatasetView(View):
    """One layer of advisory data. ``data_date`` is the date of the data, not of its import."""

    ecosystem: Ecosystem
    layer: str
    kind: RecordKind
    source: str
    data_date: datetime
    date_basis: DateBasis
    records: int
    advisories: int
    imported_at: datetime
    validator: str | None


class SuppliedView(View):
    """What stands beside the advisories: EPSS scores, or the KEV catalogue."""

    kind: RecordKind
    source: str
    data_date: datetime
    records: int
    imported_at: datetime
    validator: str | None


class AttemptView(View):
    """What became of the last update from a source. ``succeeded_at`` is when one last did not fail.

    ``error`` is for operators, because it may tell of the server's files; ``null`` for others.
    """

    source: str
    at: datetime
    state: AttemptState
    error: str | None
    succeeded_at: datetime | None


class AdvisoryHealthView(View):
    """Whether verdicts can rest on the index, and the sources whose last update failed."""

    state: Literal["fresh", "stale", "unreadable"]
    failing: tuple[str, ...]


class AdvisoryStatusView(View):
    """The advisory index in force. Data older than ``max_age_days`` makes verdicts INDETERMINATE.

    The server updates it by itself every ``update_hours``; 0: never.
    """

    fingerprint: str
    datasets: tuple[DatasetView, ...]
    supplied: tuple[SuppliedView, ...]
    attempts: tuple[AttemptView, ...]
    max_age_days: float
    update_hours: float
