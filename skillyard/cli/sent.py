"""What became of something that goes up to a remote."""

from __future__ import annotations

import time

from skillyard.api.schemas.sync import UploadView
from skillyard.cli.client import Client, parsed
from skillyard.cli.exit_codes import ExitCode, RefusedByServerError
from skillyard.cli.screen import Screen
from skillyard.marketplace_sync.upwards.values import DropReason, UploadState

_LOOK_SECONDS = 0.3


def followed(client: Client, upload: UploadView, *, seconds: float) -> UploadView:
    """The upload once it does not wait any more, or as it stands when the time is over. Raises
    ``RefusedByServerError`` where it is gone."""
    until = time.monotonic() + seconds
    while upload.state is UploadState.WAITING and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        # A list begins behind its cursor, so this is the upload itself.
        page = client.get("/v1/admin/sync/uploads", remote=upload.remote, cursor=str(upload.id - 1), limit=1).value
        found = [parsed(UploadView, item) for item in page["items"]]
        if not found or found[0].id != upload.id:
            detail = f"upload {upload.id} is not there any more: it was cleared away, or its remote was removed"
            raise RefusedByServerError(detail, status=404, code="not_found", facts={})
        upload = found[0]
    return upload


def answer_upload(screen: Screen, upload: UploadView) -> ExitCode:
    """Say where it stands. Refused, in conflict and overruled are failures; what waits goes up later by itself."""
    screen.answer(upload, lambda: [_line(upload)])
    failed = upload.state in (UploadState.DEAD, UploadState.CONFLICT) or upload.dropped is DropReason.THEIRS
    return ExitCode.REFUSED if failed else ExitCode.DONE


def _line(upload: UploadView) -> str:
    about = f"{upload.kind.value} {upload.key}"
    match upload.state:
        case UploadState.SENT:
            return f"sent to {upload.remote}: {about}"
        case UploadState.WAITING:
            why = f" ({upload.error})" if upload.error else ""
            return f"waits to be sent to {upload.remote}, as upload {upload.id}: {about}{why}"
        case UploadState.CONFLICT:
            return f"in conflict with {upload.remote}: {about}: {upload.error}; see `skillyard conflicts list`"
        case UploadState.DEAD:
            return f"not taken by {upload.remote}: {about}: {upload.error}"
        case UploadState.DROPPED:
            return f"not sent to {upload.remote}: {about}: {upload.error}"
