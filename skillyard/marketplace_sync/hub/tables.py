"""What a hub keeps beside its catalogue and never gives away."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, UtcDateTime
from skillyard.marketplace_sync.catalogue.tables import KeyText


class NamespaceRow(Base):
    """A publisher's namespace and the workspace that took it. Its public side is the catalogue's entry."""

    __tablename__ = "hub_namespaces"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    created_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class InstanceTokenRow(Base):
    """A token that another instance follows or publishes with. Only the hash of its secret is kept."""

    __tablename__ = "hub_tokens"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    """Whose namespaces it may publish to."""
    name: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(100))
    """Of ``read``, ``publish``, ``rate``; separated by spaces."""
    created_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    replaced_by_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("hub_tokens.id", ondelete="SET NULL"), index=True
    )
    """The token that a rotation made; this one counts until its own end all the same."""
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    first_id: Mapped[int | None] = mapped_column(Key, ForeignKey("hub_tokens.id", ondelete="SET NULL"), index=True)
    """The first token of this line of rotations, whose pushes are one sender's; empty for that one itself."""
    origin: Mapped[str | None] = mapped_column(String(64), index=True)
    """The instance whose ratings and counts it brings, kept from the first that it brought."""


class HubVersionRow(Base):
    """What a hub knows of a published version beside its document: the report, who published it, its files."""

    __tablename__ = "hub_versions"

    key: Mapped[str] = mapped_column(KeyText, primary_key=True)
    """``publisher/name@version``; stays when the version is deleted, so that the number is not given again."""
    bundle_digest: Mapped[str] = mapped_column(String(71), index=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    # These three are large, and read of one version at a time where somebody asks for them.
    skill_json: Mapped[str] = mapped_column(Text, deferred=True)
    lock_json: Mapped[str] = mapped_column(Text, deferred=True)
    """What the document's ``lock`` is the digest of: all of it, where the document names the first packages only."""
    report_json: Mapped[str] = mapped_column(Text, deferred=True)
    published_by: Mapped[str] = mapped_column(String(100))
    """``person 3``, ``token 5``."""
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted: Mapped[bool] = mapped_column(Boolean)


class HubFileRow(Base):
    """A file of a published version. Its bytes are in the bundle of the home that took it."""

    __tablename__ = "hub_files"
    __table_args__ = (Index("ix_hub_files_sha256_version_key", "sha256", "version_key"),)

    version_key: Mapped[str] = mapped_column(
        KeyText, ForeignKey("hub_versions.key", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(Key)
    executable: Mapped[bool] = mapped_column(Boolean)


class ArchiveRow(Base):
    """The digest of the archive that a published bundle is packed into; it follows from the bundle's."""

    __tablename__ = "hub_archives"

    bundle_digest: Mapped[str] = mapped_column(String(71), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))


class StrikeRow(Base):
    """A review that an operator took away: under its key none is taken until that is lifted."""

    __tablename__ = "hub_strikes"

    key: Mapped[str] = mapped_column(KeyText, primary_key=True)
    """Of the rating: ``publisher/name#origin/rater``."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class PushedRow(Base):
    """What became of a pushed item, for whoever sends it again: by sender and idempotency key."""

    __tablename__ = "hub_pushes"
    __table_args__ = (UniqueConstraint("sender", "item"), Index("ix_hub_pushes_at", "at"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    sender: Mapped[str] = mapped_column(String(100))
    item: Mapped[str] = mapped_column(String(64))
    body_sha256: Mapped[str] = mapped_column(String(64))
    """Of the item: the same key with another body is refused."""
    result_json: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
