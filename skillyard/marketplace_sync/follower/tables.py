"""Where the reading of each remote stands, and what its moderators said."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.marketplace_sync.follower.values import MirrorPhase


class MirrorRow(Base):
    """The checkpoint of a remote's mirror, written with each page of it. The entries are in its catalogue."""

    __tablename__ = "remote_mirrors"
    __table_args__ = (one_of("phase", MirrorPhase),)

    remote_id: Mapped[int] = mapped_column(
        Key, ForeignKey("remotes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    phase: Mapped[MirrorPhase] = mapped_column(StoredEnum(MirrorPhase))
    cursor: Mapped[str | None] = mapped_column(String(1000))
    filters_json: Mapped[str] = mapped_column(Text)
    feed_id: Mapped[str | None] = mapped_column(String(36))
    """With ``epoch``, ``seq``, ``moderation`` and ``issued_at``: the last head that was believed."""
    epoch: Mapped[int | None] = mapped_column(Key)
    seq: Mapped[int | None] = mapped_column(Key)
    moderation: Mapped[int | None] = mapped_column(Key)
    issued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WordRow(Base):
    """A moderator's word that stops something. Taken back by a later word alone, never by silence."""

    __tablename__ = "remote_words"
    __table_args__ = (one_of("state", ModerationState), Index("ix_remote_words_workspace_id", "workspace_id"))

    remote_id: Mapped[int] = mapped_column(
        Key, ForeignKey("remotes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    state: Mapped[ModerationState] = mapped_column(StoredEnum(ModerationState))
    reason: Mapped[str] = mapped_column(String(500))
    epoch: Mapped[int] = mapped_column(Key)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
