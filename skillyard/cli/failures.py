"""From an error to what a person or a script is told about it: one line, or one JSON document."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic_core import to_json
from typer.exceptions import TyperException

from skillyard.cli.exit_codes import ExitCode, RefusedByServerError, UsageProblemError, exit_code_of
from skillyard.cli.loop import TerminatedError
from skillyard.cli.screen import plain
from skillyard.errors import InputError, SkillyardError
from skillyard.runtime.errors import DecisionRefusedError, ReportRefusedError

_TERMINATED = 143
"""128 and the number of SIGTERM."""
_MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. ``facts`` go into the JSON form beside detail and code; ``more`` are lines for people."""

    detail: str
    code: str
    exit_code: int
    facts: Mapping[str, object] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    trace: str | None = None
    """For an error that nobody expected."""

    @classmethod
    def of_usage(cls, error: TyperException) -> Failure:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "skillyard"
        hint = f"Try: {path} --help"
        return cls(error.format_message(), UsageProblemError.code, ExitCode.USAGE, more=(hint,))


def failure_of(error: BaseException) -> Failure:
    """Every error has one; what is not expected keeps its traceback."""
    match error:
        case SkillyardError():
            return _of_known(error)
        case TerminatedError():
            return Failure("stopped by a signal", "terminated", _TERMINATED)
        case BrokenPipeError():
            # Whoever read our output has seen enough, as with `| head`.
            return Failure("nobody reads the output any more", "broken_pipe", ExitCode.REFUSED)
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return Failure(f"{place}{error.strerror or error}", "machine", ExitCode.MACHINE)
        case _:
            trace = "".join(traceback.format_exception(error))
            return Failure(f"unexpected {type(error).__name__}: {error}", "internal", ExitCode.REFUSED, trace=trace)


def report(failure: Failure, *, json: bool) -> None:
    """Tell it. With ``json`` the document is all there is on standard output, and there is nothing else to read."""
    try:
        if failure.trace is not None:
            sys.stderr.write(failure.trace)
        if json:
            document = {"detail": failure.detail, "code": failure.code, **failure.facts}
            sys.stdout.write(to_json(document).decode() + "\n")
            sys.stdout.flush()
            return
        sys.stderr.writelines(f"{plain(line)}\n" for line in (f"error: {failure.detail}", *failure.more))
        sys.stderr.flush()
    except BrokenPipeError:
        # The exit code still says that it failed.
        sys.stderr = sys.stdout = open("/dev/null", "w")  # noqa: SIM115, PTH123 - until the process ends


def _of_known(error: SkillyardError) -> Failure:
    code = error.problem_code if isinstance(error, RefusedByServerError) else error.code
    return Failure(str(error), code, exit_code_of(error), _facts(error), _more(error))


def _facts(error: SkillyardError) -> Mapping[str, object]:
    match error:
        case InputError():
            places = {"file": error.file, "line": error.line, "field": error.field}
            return {key: value for key, value in places.items() if value is not None}
        case ReportRefusedError() | DecisionRefusedError():
            return _judged(error)
        case RefusedByServerError():
            return error.facts
        case _:
            return {}


def _judged(error: ReportRefusedError | DecisionRefusedError) -> Mapping[str, object]:
    # Every command imports this module, and few end so: these models are a quarter of the time that `--help` takes.
    from skillyard.api.schemas.reports import ReasonView, ReportView  # noqa: PLC0415

    if isinstance(error, ReportRefusedError):
        return {"report": ReportView.model_validate(error.report)}
    return {"held": error.held, "reasons": [ReasonView.model_validate(reason) for reason in error.reasons]}


def _more(error: SkillyardError) -> tuple[str, ...]:
    """What else a person needs, a line each."""
    match error:
        case ReportRefusedError():
            return _bullets(error.report.reasons[1:])
        case RefusedByServerError():
            found = error.facts.get("report")
            reasons = found.get("reasons") if isinstance(found, Mapping) else None
            return _bullets([str(reason) for reason in reasons[1:]]) if isinstance(reasons, list) else ()
        case _:
            return ()


def _bullets(reasons: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    shown = tuple(f"  - {reason}" for reason in reasons[:_MOST_REASONS])
    left = len(reasons) - len(shown)
    return (*shown, f"  … and {left} more; --json shows all") if left > 0 else shown
