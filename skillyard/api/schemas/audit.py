"""The audit chain's check, and what is known about advisories."""

from __future__ import annotations

from datetime import datetime

from skillyard.api.schemas.values import View
from skillyard.governance.audit import BreakKind
from skillyard.skills.skill import Ecosystem


class HeadView(View):
    """Where the chain ends. Note it elsewhere: it proves later that nothing before it was rewritten."""

    seq: int
    hash: str


class BreakView(View):
    seq: int
    kind: BreakKind
    message: str


class VerificationView(View):
    """``broken`` is null for a chain that holds."""

    records: int
    head: HeadView
    broken: BreakView | None


class DatasetView(View):
    """One layer of advisory data. ``data_date`` is the date of the data, not of its import."""

    ecosystem: Ecosystem
    layer: str
    source: str
    data_date: datetime
    records: int
    advisories: int


class AdvisoryStatusView(View):
    """The advisory index in force. Data older than ``max_age_days`` makes verdicts INDETERMINATE."""

    fingerprint: str
    datasets: tuple[DatasetView, ...]
    max_age_days: float
