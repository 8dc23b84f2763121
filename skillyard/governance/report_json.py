"""Reports as JSON bytes for keeping, and back. Strict: what this format does not write is not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from skillyard.governance.errors import ReportFormatError
from skillyard.governance.report import Report, combine

FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class _Kept:
    format: Literal[2]
    report: Report


_KEPT = TypeAdapter(_Kept)


def report_to_json(report: Report) -> bytes:
    return _KEPT.dump_json(_Kept(FORMAT, report))


def report_from_json(data: bytes | str) -> Report:
    """The report that was kept.

    Raises ``ReportFormatError`` for anything that ``report_to_json`` does not write: another format, unknown words,
    missing or additional fields, times without a zone, and a verdict that is not what its findings and evidence add
    up to. A report is what lets a skill run, so one that was changed by hand must not be taken at its word. Format 1
    had fewer fields, which are added with what they are when there is nothing to say.
    """
    data = _as_now(data)
    try:
        report = _KEPT.validate_json(data).report
    except ValidationError as error:
        raise ReportFormatError(f"a kept report cannot be read: {error.errors(include_url=False)[0]['msg']}") from error
    if _sorted(report_to_json(report)) != _sorted(data):
        raise ReportFormatError("a kept report holds more, less or other than this format writes")
    if report.verdict is not combine(report.findings, report.evidence) or not report.reasons:
        raise ReportFormatError("a kept report's verdict does not follow from its findings and evidence")
    if any(one.waiver is not None for one in report.findings):
        raise ReportFormatError("a kept report holds a waiver; waivers are kept apart, where they end and are revoked")
    times = (report.made_at, *(one.data_date for one in report.evidence if one.data_date is not None))
    if any(moment.utcoffset() is None for moment in times):
        raise ReportFormatError("a kept report has a time without a zone")
    return report


def _as_now(data: bytes | str) -> bytes | str:
    """A report of format 1 as one of format 2; anything else as it is."""
    try:
        kept = orjson.loads(data)
        if kept["format"] != 1:
            return data
        for finding in kept["report"]["findings"]:
            _add(finding, confidence="high", evidence=None, why=None, fix=None)
            _add(finding, cvss=None, cvss_vector=None, exploitation=None)
            _add(finding, file_sha256=None, said=None, waiver=None)
        for evidence in kept["report"]["evidence"]:
            _add(evidence, skipped=[], capabilities=[])
        _add(kept["report"], policy="", asked="")
        kept["format"] = FORMAT
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return data
    return orjson.dumps(kept)


def _add(fields: dict[str, object], **added: object) -> None:
    if fields.keys() & added.keys():
        raise KeyError("a field that format 1 does not have")
    fields.update(added)


def _sorted(data: bytes | str) -> bytes:
    """The same JSON with its keys in order, so that what differs is what it says: ``3.0`` is not ``3``."""
    return orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS)
