"""The scan report of an installed version, in the formats of other tools too."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from skillyard.api.auth import Anyone
from skillyard.api.schemas.reports import ReportView
from skillyard.api.state import TheRuntime
from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.formats.report_format import ReportFormat, written
from skillyard.runtime.values import InstalledVersion, SkillRef

router = APIRouter(prefix="/v1/skills", tags=["skills"])

Part = Annotated[str, Path(min_length=1, max_length=64)]
Version = Annotated[str, Path(min_length=1, max_length=128)]
Form = Annotated[
    ReportFormat, Query(alias="format", description="SARIF 2.1.0, CycloneDX 1.6 with VEX, or a table for people.")
]
_OTHERS: dict[str, dict[str, str]] = {
    form.media_type.partition(";")[0]: {} for form in ReportFormat if form is not ReportFormat.JSON
}


@router.get(
    "/{publisher}/{name}/versions/{version}/report",
    response_model=ReportView,
    responses={200: {"content": _OTHERS}},
)
async def report(
    runtime: TheRuntime,
    principal: Anyone,
    *,
    publisher: Part,
    name: Part,
    version: Version,
    form: Form = ReportFormat.JSON,
) -> Response:
    """The report as it counts now: by the scan policy and the waivers of this moment."""
    found = await runtime.version(principal.workspace, SkillRef(publisher, name, version))
    return Response(await asyncio.to_thread(_written, found, form), media_type=form.media_type)


def _written(found: InstalledVersion, form: ReportFormat) -> bytes:
    as_json = ReportView.model_validate(found.report).model_dump_json().encode()
    return written(Inventory(found.skill, found.locks, found.report), form, as_json)
