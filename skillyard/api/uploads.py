"""Where an install's or upgrade's skill comes from: an uploaded archive, a Git address, a path on the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from skillyard.api.problems import ForbiddenError, MediaTypeError
from skillyard.api.schemas.skills import GitOrigin, InstallRequest, UploadFields, UploadForm
from skillyard.errors import InputError
from skillyard.runtime.git_hosts import git_hosts
from skillyard.settings import Settings
from skillyard.skills.skill import ParseMode
from skillyard.skills.source import Source
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import FolderSource
from skillyard.skills.sources.git import GitSource

MAX_FIELD_BYTES = 64 * 1024

ModelT = TypeVar("ModelT", bound=BaseModel)

UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InstallRequest"}},
            "multipart/form-data": {"schema": {"$ref": "#/components/schemas/UploadForm"}},
        },
    }
}
"""OpenAPI's words for a body that the route reads itself, after it knows who is asking."""
BODY_MODELS = (InstallRequest, UploadForm)


@dataclass(frozen=True, slots=True)
class Submission:
    """A skill that somebody wants installed."""

    source: Source
    publisher: str
    mode: ParseMode


FromRemote = Callable[[str], Awaitable[tuple[Source, str]]]
"""From the address of a remote's skill to it, and to the publisher whose it is."""


@asynccontextmanager
async def submission(request: Request, settings: Settings, *, remote: FromRemote) -> AsyncIterator[Submission]:
    """The submission in a request's body; an uploaded archive is on disk while the block runs, and gone after it.

    ``remote`` is who knows the skills of remotes.
    Raises ``MediaTypeError``, ``ForbiddenError`` for a path where settings do not allow paths, ``InputError`` and
    ``RequestValidationError`` for a body that does not fit.
    """
    match media_type(request):
        case "application/json":
            yield await _from_json(await request.body(), settings, remote)
        case "multipart/form-data":
            async with request.form(max_files=1, max_fields=8, max_part_size=MAX_FIELD_BYTES) as form:
                yield _from_form(form)
        case other:
            raise MediaTypeError(f"{other or 'no media type'}: send application/json or multipart/form-data")


def media_type(request: Request) -> str:
    """The body's media type in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def validated(model: type[ModelT], data: bytes | dict[str, object]) -> ModelT:
    """A model from JSON or from a form's fields; what does not fit is told like any other invalid request."""
    try:
        return model.model_validate_json(data) if isinstance(data, bytes) else model.model_validate(data)
    except ValidationError as error:
        problems = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise RequestValidationError(problems) from error


async def _from_json(body: bytes, settings: Settings, remote: FromRemote) -> Submission:
    wanted = validated(InstallRequest, body)
    if wanted.source is not None:
        source, publisher = await remote(wanted.source)
        return Submission(source, publisher, wanted.mode)
    return Submission(_source(wanted, settings), wanted.publisher, wanted.mode)


def _source(wanted: InstallRequest, settings: Settings) -> Source:
    if wanted.git is not None:
        return _from_git(wanted.git, settings)
    if not settings.allow_server_paths:
        raise ForbiddenError("installing from a path on the server is not allowed by its settings")
    return _from_path(Path(wanted.path or ""))


def _from_git(git: GitOrigin, settings: Settings) -> Source:
    return GitSource(
        git.url,
        ref=git.ref,
        subfolder=git.subfolder,
        environment=settings.tool_environment,
        allow_local=settings.allow_server_paths,
        hosts=git_hosts(settings),
    )


def _from_path(path: Path) -> Source:
    if not path.is_absolute():
        raise InputError("an absolute path is needed", field="path")
    if path.is_dir():
        return FolderSource(path)
    if path.is_file():
        return ArchiveSource(path)
    raise InputError("there is no such folder or archive on the server", field="path")


def _from_form(form: FormData) -> Submission:
    texts: dict[str, object] = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    fields = validated(UploadFields, texts)
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise InputError("the multipart field `file` must hold the archive", field="file")
    return Submission(_from_upload(upload), fields.publisher, fields.mode)


def _from_upload(upload: UploadFile) -> Source:
    """The upload as a source. Its file has no name on disk, so nothing of it is left however this process ends."""
    spooled = upload.file
    if not isinstance(spooled, SpooledTemporaryFile):
        raise TypeError(f"an upload in a {type(spooled).__name__}")
    descriptor = spooled.fileno()  # rolls over to disk
    spooled.flush()
    return ArchiveSource(Path(f"/dev/fd/{descriptor}"), name=upload.filename or "upload")
