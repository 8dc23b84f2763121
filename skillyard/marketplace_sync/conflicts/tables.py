"""Conflicts, kept with all sides."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.conflicts.values import ConflictKind, ConflictState, Severity, Strategy


class ConflictRow(Base):
    """One conflict. ``fingerprint`` is of remote, key, base, local and remote side: nothing is logged twice."""

    __tablename__ = "sync_conflicts"
    __table_args__ = (
        one_of("kind", ConflictKind),
        one_of("severity", Severity),
        one_of("state", ConflictState),
        one_of("strategy", Strategy),
        UniqueConstraint("fingerprint"),
        Index("ix_sync_conflicts_workspace_id_state_id", "workspace_id", "state", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    remote_id: Mapped[int] = mapped_column(Key, ForeignKey("remotes.id", ondelete="CASCADE"), index=True)
    upload_id: Mapped[int | None] = mapped_column(Key, ForeignKey("sync_uploads.id", ondelete="SET NULL"), index=True)
    kind: Mapped[ConflictKind] = mapped_column(StoredEnum(ConflictKind))
    severity: Mapped[Severity] = mapped_column(StoredEnum(Severity))
    state: Mapped[ConflictState] = mapped_column(StoredEnum(ConflictState))
    key: Mapped[str] = mapped_column(String(300))
    fingerprint: Mapped[str] = mapped_column(String(64))
    base_json: Mapped[str | None] = mapped_column(Text)
    local_json: Mapped[str] = mapped_column(Text)
    remote_json: Mapped[str] = mapped_column(Text)
    remote_rev: Mapped[int] = mapped_column(Key)
    result_json: Mapped[str | None] = mapped_column(Text)
    strategy: Mapped[Strategy | None] = mapped_column(StoredEnum(Strategy))
    """How it was settled."""
    resolved_by: Mapped[str | None] = mapped_column(String(100))
    detected_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
