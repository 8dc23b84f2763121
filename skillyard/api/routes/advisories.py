"""What is known about advisories, and how old it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import APIRouter

from skillyard.api.auth import AnyPerson
from skillyard.api.schemas.advisories import AdvisoryStatusView, AttemptView, DatasetView, SuppliedView
from skillyard.api.state import Advisories, TheRuntime
from skillyard.governance.advisories.attempts import read_attempts
from skillyard.governance.advisories.index import index_path
from skillyard.governance.identity import Role

router = APIRouter(prefix="/v1/advisories", tags=["advisories"])


@router.get("")
async def status(runtime: TheRuntime, index: Advisories, person: AnyPerson) -> AdvisoryStatusView:
    """The advisory index in force, and what became of the last update from each source.

    No index, or one that cannot be read, is a 503: never "no advisories".
    """
    found = (await asyncio.to_thread(index.current)).status()
    tells = person.person.role is Role.OPERATOR
    attempts = await asyncio.to_thread(read_attempts, index_path(runtime.settings.home))
    return AdvisoryStatusView(
        fingerprint=found.fingerprint,
        datasets=tuple(DatasetView.model_validate(dataset) for dataset in found.datasets),
        supplied=tuple(SuppliedView.model_validate(one) for one in found.supplied),
        attempts=tuple(AttemptView.model_validate(one if tells else replace(one, error=None)) for one in attempts),
        max_age_days=runtime.settings.advisories_max_age_days,
        update_hours=runtime.settings.advisories_update_hours,
    )
