"""Letting what is dead be tried again, where nothing that was said since would be undone by it."""

from __future__ import annotations

from datetime import datetime

from skillyard.database import Session
from skillyard.errors import ConflictError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.values import Upload, UploadId, UploadKind, UploadState


async def retry(session: Session, workspace: WorkspaceId, upload: UploadId, *, at: datetime) -> Upload:
    """Let a dead item wait again, and with a version the yank that died with it: it must not be found without.

    Raises ``NotFoundError``, and ``ConflictError`` for an item that is not dead, or that a newer one of the same key
    has overtaken.
    """
    found = await store.get(session, workspace, upload)
    if found.state is not UploadState.DEAD:
        raise ConflictError(f"upload {upload} is {found.state}; only a dead one can be retried")
    newest = await store.last_of(session, found.remote, found.kind, found.key)
    if newest is not None and newest.id != upload:
        raise ConflictError(f"upload {upload} was overtaken by upload {newest.id}, which says what counts")
    await store.revive(session, upload, at=at)
    if found.kind is UploadKind.VERSION:
        yank = await store.last_of(session, found.remote, UploadKind.YANK, found.key)
        if yank is not None and yank.state is UploadState.DEAD and yank.id > upload:
            await store.revive(session, yank.id, at=at)
    return await store.get(session, workspace, upload)
