"""The one table from errors to HTTP statuses, and the answers made from it.

What a client reads of an error: for statuses below 500 its message, which is about the client's own input; from 500 on
only what the error's class says in general, because such messages may name paths, addresses or output of tools. Those
are logged in full.
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from skillyard.api.schemas.reports import ReasonView, ReportView
from skillyard.errors import ConflictError, InputError, MachineError, NotFoundError, SkillyardError
from skillyard.governance.errors import AdminRoleError, AdvisoryIndexError, SecondPersonError, WorkspaceSuspendedError
from skillyard.governance.quotas import CallQuotaExceededError, QuotaExceededError
from skillyard.marketplace_sync.errors import (
    CursorGoneError,
    HubBusyError,
    IncomingFullError,
    NotAllowedError,
    RemoteError,
    RemoteUnavailableError,
    TokenEndedError,
    TooManyListenersError,
)
from skillyard.runtime.admission import AdmissionOverloadError
from skillyard.runtime.errors import (
    DecisionRefusedError,
    QueueError,
    ReportRefusedError,
    RuntimeRefusalError,
    ShuttingDownError,
)
from skillyard.runtime.files import ArtefactExpiredError
from skillyard.runtime.stored import StoredValueError
from skillyard.runtime.watching import RecordingGoneError, TooManyWatchersError
from skillyard.sandbox.errors import BuildError, DiskFullError, HealthError, StartError, WheelError
from skillyard.skills.errors import BundleTooLargeError, SourceError

_log = structlog.get_logger("skillyard.api")

STATUSES: Mapping[type[SkillyardError], int] = {
    SkillyardError: 500,
    InputError: 422,
    BundleTooLargeError: 413,
    NotFoundError: 404,
    ConflictError: 409,
    SecondPersonError: 403,
    AdminRoleError: 403,
    WorkspaceSuspendedError: 403,
    QuotaExceededError: 409,
    CallQuotaExceededError: 429,
    MachineError: 503,
    SourceError: 502,
    DiskFullError: 507,
    WheelError: 502,
    StartError: 422,
    BuildError: 422,
    HealthError: 422,
    AdvisoryIndexError: 503,
    RuntimeRefusalError: 409,
    QueueError: 429,
    ArtefactExpiredError: 410,
    RecordingGoneError: 410,
    TooManyWatchersError: 429,
    AdmissionOverloadError: 429,
    ShuttingDownError: 503,
    ReportRefusedError: 422,
    DecisionRefusedError: 403,
    StoredValueError: 500,
    NotAllowedError: 403,
    TokenEndedError: 401,
    CursorGoneError: 410,
    TooManyListenersError: 429,
    RemoteError: 502,
    RemoteUnavailableError: 503,
    IncomingFullError: 507,
    HubBusyError: 429,
}
"""The nearest class among an error's ancestors decides. ``docs/reference/http-api.md`` lists the same."""

_HTTP_CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_attempts",
}


class ForbiddenError(SkillyardError):
    """The token's holder may not do this."""

    code = "forbidden"


class MediaTypeError(SkillyardError):
    """The body is of a type that this route does not take."""

    code = "unsupported_media_type"


_EDGE_STATUSES: Mapping[type[SkillyardError], int] = {ForbiddenError: 403, MediaTypeError: 415}
_ALL_STATUSES = {**STATUSES, **_EDGE_STATUSES}


def install_handlers(app: FastAPI) -> None:
    """Make every error of the application a ``Problem``."""
    app.add_exception_handler(SkillyardError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_unknown)


def status_of(error: SkillyardError) -> int:
    return next(_ALL_STATUSES[kind] for kind in type(error).__mro__ if kind in _ALL_STATUSES)


def detail_of(error: SkillyardError) -> str:
    """What a client may read; see the module's first lines."""
    return str(error) if status_of(error) < 500 else _in_general(error)


def problem(error: SkillyardError) -> JSONResponse:
    """The answer to a known error, with whatever it says about the place and the reasons."""
    content = {"detail": detail_of(error), "code": error.code, **_facts(error)}
    return JSONResponse(content, status_of(error), headers=_headers(error))


def log_if_ours(error: SkillyardError, *, place: str) -> None:
    """Write down in full what a client is told in general only."""
    if status_of(error) >= 500:
        _write_down(error, place=place, code=error.code)


def log_unknown(error: BaseException, *, place: str) -> None:
    _write_down(error, place=place, code="internal")


def _write_down(error: BaseException, *, place: str, code: str) -> None:
    # As text made here: renderers of log lines that format exceptions themselves may print local variables, and with
    # them tokens and bodies.
    lines = "".join(traceback.format_exception(error))
    _log.error("request_failed", place=place, code=code, error=repr(error), traceback=lines)


def plain(status: int, detail: str, *, code: str | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """A problem that no error stands for."""
    return JSONResponse({"detail": detail, "code": code or _HTTP_CODES.get(status, "error")}, status, headers=headers)


def _in_general(error: SkillyardError) -> str:
    """The first sentence of the docstring of the error's class."""
    text = inspect.getdoc(type(error)) or "Something went wrong."
    return " ".join(text.split("\n\n")[0].split())


def _facts(error: SkillyardError) -> dict[str, Any]:
    match error:
        case InputError():
            # The place is said in fields of its own as well; the message keeps it for people.
            places = {"file": error.file, "line": error.line, "field": error.field}
            return {key: value for key, value in places.items() if value is not None}
        case ReportRefusedError():
            return {"report": ReportView.model_validate(error.report).model_dump(mode="json")}
        case DecisionRefusedError():
            reasons = [ReasonView.model_validate(reason).model_dump(mode="json") for reason in error.reasons]
            return {"reasons": reasons, "held": error.held}
        case CursorGoneError():
            return {"snapshot": "/v1/marketplace/snapshot"}
        case QuotaExceededError():
            return {"quota": error.quota.value, "limit": error.limit, "used": error.used}
        case _:
            return {}


def retry_after(error: SkillyardError) -> int | None:
    """Seconds after which it makes sense to try again; ``None`` where nothing is known about that."""
    seconds = (_headers(error) or {}).get("Retry-After")
    return None if seconds is None else int(seconds)


def _headers(error: SkillyardError) -> dict[str, str] | None:
    match error:
        case QueueError(retry_after=float() | int() as seconds):
            return {"Retry-After": str(max(1, math.ceil(seconds)))}
        case CallQuotaExceededError(retry_after=float() as seconds):
            return {"Retry-After": str(max(1, math.ceil(seconds)))}
        case RemoteUnavailableError(retry_after=float() as seconds):
            return {"Retry-After": str(max(1, math.ceil(seconds)))}
        case AdmissionOverloadError():
            return {"Retry-After": "1"}
        case ShuttingDownError() | TooManyListenersError() | HubBusyError():
            return {"Retry-After": "5"}
        case TokenEndedError():
            return {"WWW-Authenticate": 'Bearer realm="skillyard", error="invalid_token"'}
        case _:
            return None


async def _on_known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SkillyardError)  # noqa: S101 - registered for nothing else
    log_if_ours(error, place=_place(request))
    return problem(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    problems = [{"field": _field(item["loc"]), "detail": str(item["msg"])} for item in error.errors()[:20]]
    first = problems[0]
    detail = f"{first['field']}: {first['detail']}" if first["field"] else first["detail"]
    content = {"detail": detail, "code": "invalid_request", "field": first["field"], "errors": problems}
    return JSONResponse(content, 422)


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return plain(error.status_code, str(error.detail), headers=error.headers)


async def _on_gone(_request: Request, _error: Exception) -> Response:
    # Nobody reads this answer; the number is the one that proxies log for a client that went away.
    return Response(status_code=499)


async def _on_unknown(request: Request, error: Exception) -> Response:
    log_unknown(error, place=_place(request))
    return plain(500, "Something went wrong on the server; its log says what.", code="internal")


def _place(request: Request) -> str:
    return f"{request.method} {request.url.path}"


def _field(location: tuple[int | str, ...]) -> str:
    """``input.0.name`` for a place in a body; a query or path parameter's own name."""
    return ".".join(str(part) for part in location[1:]) if len(location) > 1 else ""
