"""Tables of catalogues. Rows stop at ``store``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.catalogue.entry import EntryKind

KeyText = String(300).with_variant(String(300, collation="C"), "postgresql")
"""Keys are compared by their bytes on both engines, so that a prefix is a range."""


class CatalogueRow(Base):
    """A set of entries: the instance's own (no workspace), or the mirror of a remote of a workspace.

    For a mirror, ``feed_id``, ``epoch`` and ``seq`` say how far the remote's feed was applied.
    """

    __tablename__ = "catalogues"
    # A mirror that was removed leaves its number to nobody: a run may still hold it.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy reads it once

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    feed_id: Mapped[str] = mapped_column(String(36))
    epoch: Mapped[int] = mapped_column(Key)
    """Raised by whoever puts an older state back, so that cursors of the time before are refused."""
    seq: Mapped[int] = mapped_column(Key)
    horizon: Mapped[int] = mapped_column(Key)
    """Tombstones up to this number are gone."""
    moderation: Mapped[int] = mapped_column(Key)
    """The moderation epoch: how many words moderators have said."""
    live: Mapped[int] = mapped_column(Key)
    """How many entries are no tombstones."""
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    """The state of the ``SetDigest`` over all entries that are no tombstones."""
    public_key: Mapped[str | None] = mapped_column(String(64))
    """Of the own catalogue: the key its heads are signed with, in hex. A process with another one signs none."""
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class EntryRow(Base):
    """One entry at its last change."""

    __tablename__ = "catalogue_entries"
    __table_args__ = (
        one_of("kind", EntryKind),
        Index("ix_catalogue_entries_catalogue_id_seq", "catalogue_id", "seq"),
    )

    catalogue_id: Mapped[int] = mapped_column(
        Key, ForeignKey("catalogues.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[EntryKind] = mapped_column(StoredEnum(EntryKind), primary_key=True)
    key: Mapped[str] = mapped_column(KeyText, primary_key=True)
    seq: Mapped[int] = mapped_column(Key)
    rev: Mapped[int] = mapped_column(Key)
    document: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    deleted: Mapped[bool] = mapped_column(Boolean)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)
