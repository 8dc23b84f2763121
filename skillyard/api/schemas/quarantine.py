"""Versions in quarantine, as clients see them."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.values import Body, VerdictName, View


class LiftRequest(Body):
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
    """Why it may run again; recorded."""


class QuarantinedView(View):
    """A version in quarantine. `verdict` is how its report counts now, its evidence's age included."""

    id: int
    publisher: str
    name: str
    version: str
    verdict: VerdictName
    can_be_lifted: bool
    report: ReportView
