"""The formats of reports by name."""

from __future__ import annotations

from enum import StrEnum

from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.formats.sarif import to_sarif
from skillyard.governance.formats.text import to_text


class ReportFormat(StrEnum):
    """How a report is written. ``json`` is the report as the API describes it, which the edges write themselves."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    CYCLONEDX = "cyclonedx"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]


_MEDIA_TYPES = {
    ReportFormat.TABLE: "text/plain; charset=utf-8",
    ReportFormat.JSON: "application/json",
    ReportFormat.SARIF: "application/sarif+json",
    ReportFormat.CYCLONEDX: "application/vnd.cyclonedx+json; version=1.6",
}


def written(about: Inventory, form: ReportFormat, as_json: bytes) -> bytes:
    """The report in one format, ending with a line break; ``as_json`` is what the caller's edge makes of it."""
    match form:
        case ReportFormat.TABLE:
            return to_text(about)
        case ReportFormat.JSON:
            return as_json
        case ReportFormat.SARIF:
            return to_sarif(about)
        case ReportFormat.CYCLONEDX:
            # Only here, because importing the library takes longer than many a scan.
            from skillyard.governance.formats.cyclonedx import to_cyclonedx  # noqa: PLC0415

            return to_cyclonedx(about)
