"""What is known about advisories, and how old it is."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from skillyard.api.auth import AnyPerson
from skillyard.api.schemas.audit import AdvisoryStatusView, DatasetView
from skillyard.api.state import Advisories, TheRuntime

router = APIRouter(prefix="/advisories", tags=["advisories"])


@router.get("")
async def status(runtime: TheRuntime, index: Advisories, _person: AnyPerson) -> AdvisoryStatusView:
    """The advisory index in force. No index, or one that cannot be read, is a 503: never "no advisories"."""
    found = (await asyncio.to_thread(index.current)).status()
    return AdvisoryStatusView(
        fingerprint=found.fingerprint,
        datasets=tuple(DatasetView.model_validate(dataset) for dataset in found.datasets),
        max_age_days=runtime.settings.advisories_max_age_days,
    )
