"""Runs of jobs, and which job of which remote is paused or taken by a process now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.marketplace_sync.jobs.values import Job, RunState, RunTrigger


class JobRow(Base):
    """One job of one remote (or of the instance). Whoever holds the claim runs it; a claim that ran out is nobody's."""

    __tablename__ = "sync_jobs"
    __table_args__ = (one_of("job", Job), UniqueConstraint("job", "remote_id"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    remote_id: Mapped[int | None] = mapped_column(Key, ForeignKey("remotes.id", ondelete="CASCADE"), index=True)
    job: Mapped[Job] = mapped_column(StoredEnum(Job))
    paused: Mapped[bool] = mapped_column(Boolean)
    seconds: Mapped[float | None]
    """A period of its own; empty for the setting's."""
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    live_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody last asked by hand for the live channel to be opened again; every process looks."""


class RunRow(Base):
    """One run of a job, begun and ended, with what it counted."""

    __tablename__ = "sync_runs"
    __table_args__ = (
        one_of("state", RunState),
        one_of("trigger", RunTrigger),
        Index("ix_sync_runs_job_id_id", "job_id", "id"),
        Index("ix_sync_runs_state", "state"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    job_id: Mapped[int] = mapped_column(Key, ForeignKey("sync_jobs.id", ondelete="CASCADE"))
    trigger: Mapped[RunTrigger] = mapped_column(StoredEnum(RunTrigger))
    state: Mapped[RunState] = mapped_column(StoredEnum(RunState))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    counts_json: Mapped[str] = mapped_column(Text)
    """JSON object of whole numbers."""
    error: Mapped[str | None] = mapped_column(String(500))
    instance_id: Mapped[str] = mapped_column(String(36))
