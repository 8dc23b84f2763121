"""The table of waivers, beside its store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.skills.skill import Ecosystem


class WaiverRow(Base):
    """A person lets one finding be: of an advisory in a package version, or of a rule in a file. Never deleted:
    ``revoked_at`` ends it."""

    __tablename__ = "waivers"
    __table_args__ = (
        one_of("ecosystem", Ecosystem),
        CheckConstraint(
            "(ecosystem IS NOT NULL AND name IS NOT NULL AND version IS NOT NULL AND advisory IS NOT NULL "
            "AND rule IS NULL AND file_sha256 IS NULL) OR "
            "(ecosystem IS NULL AND name IS NULL AND version IS NULL AND advisory IS NULL "
            "AND rule IS NOT NULL AND file_sha256 IS NOT NULL)",
            name="about_one_thing",
        ),
        CheckConstraint("reason <> ''", name="for_a_reason"),
        CheckConstraint("(revoked_at IS NULL) = (revoked_by_id IS NULL)", name="revoked_by_somebody"),
        Index("ix_waivers_workspace_id_revoked_at", "workspace_id", "revoked_at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    ecosystem: Mapped[Ecosystem | None] = mapped_column(StoredEnum(Ecosystem))
    name: Mapped[str | None] = mapped_column(String(214))
    version: Mapped[str | None] = mapped_column(String(256))
    advisory: Mapped[str | None] = mapped_column(String(128))
    rule: Mapped[str | None] = mapped_column(String(100))
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    owner_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    """Who answers for it; not always who wrote it."""
    created_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
