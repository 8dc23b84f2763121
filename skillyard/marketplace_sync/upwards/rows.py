"""Rows of the outbox from drafts, and as values."""

from __future__ import annotations

import uuid
from datetime import datetime

from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.remotes.remote import RemoteId, RemoteMarket
from skillyard.marketplace_sync.upwards.tables import UploadRow
from skillyard.marketplace_sync.upwards.values import Upload, UploadDraft, UploadId, UploadState


def row_of(remote: RemoteMarket, draft: UploadDraft, at: datetime) -> UploadRow:
    return UploadRow(
        workspace_id=remote.workspace,
        remote_id=remote.id,
        item=uuid.uuid4().hex,
        kind=draft.kind,
        key=draft.key,
        base_rev=draft.base_rev,
        base_json=draft.base_json,
        document=draft.document,
        manifest_json=draft.manifest_json,
        state=UploadState.WAITING,
        attempts=0,
        next_at=at,
        counted_from=at,
        created_by=draft.created_by,
        created_at=at,
    )


def value_of(row: UploadRow) -> Upload:
    return Upload(
        id=UploadId(row.id),
        workspace=WorkspaceId(row.workspace_id),
        remote=RemoteId(row.remote_id),
        item=row.item,
        kind=row.kind,
        key=row.key,
        base_rev=row.base_rev,
        base_json=row.base_json,
        document=row.document,
        manifest_json=row.manifest_json,
        state=row.state,
        attempts=row.attempts,
        next_at=row.next_at,
        counted_from=row.counted_from,
        error=row.error,
        created_by=row.created_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
        dropped=row.dropped,
    )
