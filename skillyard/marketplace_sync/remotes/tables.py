"""Remotes of a workspace."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.remotes.remote import RemoteKind, RemoteState


class RemoteRow(Base):
    """A marketplace that a workspace follows, and what is known of the way to it."""

    __tablename__ = "remotes"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        one_of("state", RemoteState),
        one_of("strategy", Strategy),
        # A run that began before its remote was removed must never meet another under the same number.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    catalogue_id: Mapped[int] = mapped_column(Key, ForeignKey("catalogues.id", ondelete="RESTRICT"), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    kind: Mapped[RemoteKind] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(String(2000))
    """Without credentials."""
    token: Mapped[str | None] = mapped_column(String(512))
    """What we show the remote; it never leaves but in the header of a request to it."""
    filters_json: Mapped[str] = mapped_column(Text)
    strategy: Mapped[Strategy] = mapped_column(StoredEnum(Strategy))
    state: Mapped[RemoteState] = mapped_column(StoredEnum(RemoteState))
    live_wanted: Mapped[bool] = mapped_column(Boolean)
    """Whether a live channel is kept to it."""
    public_key: Mapped[str | None] = mapped_column(String(64))
    """The key its heads are signed with: pinned at first sight, changed by an operator alone."""
    offered_key: Mapped[str | None] = mapped_column(String(64))
    """Another key that a head came with; refused until it is accepted."""
    head_json: Mapped[str | None] = mapped_column(Text)
    """The last head that was believed, in its envelope."""
    resync: Mapped[bool] = mapped_column(Boolean)
    """Whether the next run begins with a snapshot."""
    tried_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    succeeded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(Key)
    """Runs that failed since the last that did not."""
    error: Mapped[str | None] = mapped_column(String(500))
    created_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignerRow(Base):
    """A publisher's key that a workspace believes, for one remote: trusted at first use, changed by an operator."""

    __tablename__ = "remote_signers"

    remote_id: Mapped[int] = mapped_column(
        Key, ForeignKey("remotes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    publisher: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    key: Mapped[str] = mapped_column(String(64))
    accepted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    accepted_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    """Who accepted a change; empty for the first use."""


class SetAsideRow(Base):
    """What came from a remote and could not be taken, with the reason. Tried again with every run."""

    __tablename__ = "remote_set_aside"
    __table_args__ = (
        UniqueConstraint("remote_id", "kind", "key"),
        Index("ix_remote_set_aside_workspace_id_id", "workspace_id", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    remote_id: Mapped[int] = mapped_column(Key, ForeignKey("remotes.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(40))
    key: Mapped[str] = mapped_column(String(300))
    seq: Mapped[int] = mapped_column(Key)
    """As it says of itself, so it may be false."""
    after: Mapped[int] = mapped_column(Key, server_default="0")
    """The number that the page it came on began behind: where it can be asked for, whatever its own number is."""
    reason: Mapped[str] = mapped_column(String(500))
    document: Mapped[str] = mapped_column(Text)
    """As received, cut to a length; for people to look at."""
    member: Mapped[bytes | None] = mapped_column(LargeBinary)
    """What the head's digest counts it as, by what it says of itself."""
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    tries: Mapped[int] = mapped_column(Key)
