"""What waits to go up, and what was changed here before the remote knew."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.upwards.values import DropReason, UploadKind, UploadState


class UploadRow(Base):
    """One item of the outbox, written in the transaction of what it tells of."""

    __tablename__ = "sync_uploads"
    __table_args__ = (
        one_of("kind", UploadKind),
        one_of("state", UploadState),
        one_of("dropped", DropReason),
        UniqueConstraint("item"),
        Index("ix_sync_uploads_remote_id_state_next_at", "remote_id", "state", "next_at"),
        Index("ix_sync_uploads_workspace_id_id", "workspace_id", "id"),
        Index("ix_sync_uploads_remote_id_kind_key", "remote_id", "kind", "key"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    remote_id: Mapped[int] = mapped_column(Key, ForeignKey("remotes.id", ondelete="CASCADE"))
    item: Mapped[str] = mapped_column(String(64))
    """The idempotency key."""
    kind: Mapped[UploadKind] = mapped_column(StoredEnum(UploadKind))
    key: Mapped[str] = mapped_column(String(300))
    base_rev: Mapped[int | None] = mapped_column(Key)
    """The revision that it was changed from; ``If-Match`` of the protocol."""
    base_json: Mapped[str | None] = mapped_column(Text)
    """The document that it was changed from."""
    document: Mapped[str | None] = mapped_column(Text)
    """Canonical JSON; empty takes back what is there: a rating."""
    manifest_json: Mapped[str | None] = mapped_column(Text)
    """Of a version: its files, what it declares and asks for; see ``manifest.Manifest``."""
    state: Mapped[UploadState] = mapped_column(StoredEnum(UploadState))
    attempts: Mapped[int] = mapped_column(Key)
    """How often it was taken to be sent: one that never was cannot have arrived."""
    next_at: Mapped[datetime] = mapped_column(UtcDateTime)
    counted_from: Mapped[datetime] = mapped_column(UtcDateTime)
    """Too old a time after this: when it was made, or last retried by an operator."""
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Until when nobody takes it: somebody is sending it, or the remote asked for time (then nobody claims it)."""
    error: Mapped[str | None] = mapped_column(String(500))
    created_by: Mapped[str] = mapped_column(String(100))
    """``person 3``, ``agent 5``, ``system``."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    dropped: Mapped[DropReason | None] = mapped_column(StoredEnum(DropReason))
