"""The one table from errors to exit codes. Scripts rely on these numbers; they never change."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from skillyard.errors import InputError, MachineError, SkillyardError
from skillyard.governance.decision import Deny
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError, PolicyFileError
from skillyard.governance.report import Verdict
from skillyard.runtime.errors import DecisionRefusedError, ReportRefusedError
from skillyard.skills.errors import SourceError, SourceSpecError


class ExitCode(IntEnum):
    """What a command's end means."""

    DONE = 0
    """For ``scan``: PASS or FLAG."""
    REFUSED = 1
    """Refused or failed. For ``scan``: BLOCK; for ``run``: the skill failed."""
    USAGE = 2
    INDETERMINATE = 3
    """Not enough is known to decide, so nothing runs."""
    HELD = 4
    """Something waits for an approval."""
    MACHINE = 5
    """The machine lacks something; ``skillyard doctor`` says what."""


class UsageProblemError(InputError):
    """The command line itself is wrong."""

    code = "usage"


class RefusedByServerError(SkillyardError):
    """The server answered with a problem; ``status``, ``code`` and ``facts`` are the server's."""

    def __init__(self, message: str, *, status: int, code: str, facts: Mapping[str, object]) -> None:
        self.status = status
        self.problem_code = code
        self.facts = facts
        super().__init__(message)


EXIT_CODES: Mapping[type[SkillyardError], ExitCode] = {
    SkillyardError: ExitCode.REFUSED,
    UsageProblemError: ExitCode.USAGE,
    SourceSpecError: ExitCode.USAGE,
    # Not 1, which would say that what was scanned is bad.
    PolicyFileError: ExitCode.USAGE,
    MachineError: ExitCode.MACHINE,
    # A repository that does not answer or does not exist is no lack of this machine.
    SourceError: ExitCode.REFUSED,
    AdvisoryIndexError: ExitCode.INDETERMINATE,
}
"""The nearest class among an error's ancestors decides, but for errors that carry a verdict, a decision or a cause."""

VERDICTS: Mapping[Verdict, ExitCode] = {
    Verdict.PASS: ExitCode.DONE,
    Verdict.FLAG: ExitCode.DONE,
    Verdict.INDETERMINATE: ExitCode.INDETERMINATE,
    Verdict.BLOCK: ExitCode.REFUSED,
}

_INDETERMINATE_REASON = "report_indeterminate"


def exit_code_of(error: SkillyardError) -> ExitCode:
    match error:
        case ReportRefusedError():
            return VERDICTS[error.report.verdict]
        case DecisionRefusedError():
            codes = [reason.code for reason in error.reasons]
            return ExitCode.HELD if error.held else of_denial(codes)
        case RefusedByServerError():
            return _of_problem(error)
        case SourceError() if isinstance(error.__cause__, OSError):
            return ExitCode.MACHINE
        case _:
            return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


def of_denial(codes: list[str]) -> ExitCode:
    """A denial for want of evidence is not a refusal of something bad."""
    return ExitCode.INDETERMINATE if codes and codes[0] == _INDETERMINATE_REASON else ExitCode.REFUSED


def of_deny(deny: Deny) -> ExitCode:
    return of_denial([reason.code for reason in deny.reasons])


def _of_problem(error: RefusedByServerError) -> ExitCode:
    report = error.facts.get("report")
    if isinstance(report, Mapping) and report.get("verdict") == Verdict.INDETERMINATE.name:
        return ExitCode.INDETERMINATE
    if error.facts.get("held") is True:
        return ExitCode.HELD
    if error.problem_code in (AdvisoryIndexError.code, AdvisoryIndexMissingError.code):
        return ExitCode.INDETERMINATE
    return ExitCode.MACHINE if error.status in (503, 507) else ExitCode.REFUSED
