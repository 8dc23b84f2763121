"""Tables of the runtime room: installed skills, where their pointers stand and stood, invocations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import ActorKind
from skillyard.runtime.states import InvocationState, RecordingState

_ACCEPTED = text("state = 'accepted'")
_SUPERVISED = text("supervised")


class SkillRow(Base):
    """An installed skill of a workspace. ``active_version_id`` is the pointer that upgrade and rollback move."""

    __tablename__ = "skills"
    __table_args__ = (UniqueConstraint("workspace_id", "publisher", "name"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    publisher: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    active_version_id: Mapped[int | None] = mapped_column(
        # The two tables refer to each other; where the engine can, this half is added once both exist.
        Key,
        ForeignKey("skill_versions.id", ondelete="RESTRICT", use_alter=True, name="fk_skills_active_version_id"),
        index=True,
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SkillVersionRow(Base):
    """One installed version: the digests that identify it, and the facts parsing, resolving and scanning gave."""

    __tablename__ = "skill_versions"
    __table_args__ = (
        UniqueConstraint("skill_id", "version"),
        one_of("state", SkillState),
        Index("ix_skill_versions_workspace_id_state", "workspace_id", "state"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    skill_id: Mapped[int] = mapped_column(Key, ForeignKey("skills.id", ondelete="RESTRICT"))
    version: Mapped[str] = mapped_column(String(128))
    bundle_digest: Mapped[str] = mapped_column(String(71), index=True)
    bundle_bytes: Mapped[int] = mapped_column(Key)
    """The sum of its files' sizes."""
    lock_digest: Mapped[str] = mapped_column(String(71), index=True)
    lock_json: Mapped[str] = mapped_column(Text)
    report_json: Mapped[str] = mapped_column(Text)
    skill_json: Mapped[str] = mapped_column(Text)
    state: Mapped[SkillState] = mapped_column(StoredEnum(SkillState))
    origin: Mapped[str] = mapped_column(Text)
    """Where it was fetched from, credentials removed."""
    origin_commit: Mapped[str | None] = mapped_column(String(64))
    """The pinned commit of a git origin."""
    installed_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    installed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AdvisorySnapshotRow(Base):
    """A state of the advisory data that installed versions are matched against; the newest row is the one in force.

    It belongs to no workspace, because advisories do not. One process at a time matches, under a claim that runs out.
    """

    __tablename__ = "advisory_snapshots"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), index=True)
    """Of the index, as ``IndexStatus.fingerprint``."""
    data_dates: Mapped[str] = mapped_column(Text)
    """JSON: ecosystem to the date of its data."""
    home_id: Mapped[str] = mapped_column(String(36))
    """The home whose index it is."""
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_by: Mapped[str | None] = mapped_column(String(36))
    """The lease of the process that matches now."""
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class VersionMarkRow(Base):
    """Small facts about a version, beside its row: whoever looks for changes need not read locks and reports."""

    __tablename__ = "version_marks"

    skill_version_id: Mapped[int] = mapped_column(
        Key, ForeignKey("skill_versions.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    revision: Mapped[int] = mapped_column(Key)
    """Raised whenever the skill, the locks or the report of the version are written."""
    snapshot_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("advisory_snapshots.id", ondelete="SET NULL"), index=True
    )
    """The newest advisory data of which the report of this revision says all there is to say; empty where nobody looked
    since the report was made."""


class BundleStopRow(Base):
    """A bundle that must not run, and who says so: a marketplace that revoked or quarantined it. As long as one stands
    nothing with this content is installed, and no quarantine of it is lifted."""

    __tablename__ = "bundle_stops"
    __table_args__ = (one_of("state", SkillState), Index("ix_bundle_stops_source_key", "source", "key"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="CASCADE"), index=True)
    """Where it counts; empty: in all workspaces."""
    bundle_digest: Mapped[str] = mapped_column(String(71), index=True)
    source: Mapped[str] = mapped_column(String(100))
    """``hub``, or which remote: each takes back its own word alone."""
    key: Mapped[str] = mapped_column(String(300))
    """What a remote's word is about: a publisher, a skill or a version. Empty for what the hub itself says."""
    state: Mapped[SkillState] = mapped_column(StoredEnum(SkillState))
    """``quarantined`` or ``revoked``."""
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class PointerMoveRow(Base):
    """One move of a skill's pointer: install, upgrade, rollback (both versions), removal (``to`` is empty)."""

    __tablename__ = "pointer_moves"
    __table_args__ = (one_of("actor_kind", ActorKind), Index("ix_pointer_moves_skill_id_id", "skill_id", "id"))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    skill_id: Mapped[int] = mapped_column(Key, ForeignKey("skills.id", ondelete="CASCADE"))
    from_version_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("skill_versions.id", ondelete="RESTRICT"), index=True
    )
    to_version_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("skill_versions.id", ondelete="RESTRICT"), index=True
    )
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor_kind: Mapped[ActorKind] = mapped_column(StoredEnum(ActorKind))
    actor_id: Mapped[int | None] = mapped_column(Key)


class InvocationRow(Base):
    """One admitted call. Written by ``runtime.admission`` alone, which uses the driver directly."""

    __tablename__ = "invocations"
    __table_args__ = (
        one_of("state", InvocationState),
        CheckConstraint("(person_id IS NULL) <> (agent_id IS NULL)", name="one_caller"),
        CheckConstraint("(state = 'accepted') = (ended_at IS NULL)", name="ended"),
        Index("ix_invocations_workspace_id_started_at_id", "workspace_id", "started_at", "id"),
        Index("ix_invocations_open_instance_id", "instance_id", sqlite_where=_ACCEPTED, postgresql_where=_ACCEPTED),
        Index(
            "ix_invocations_supervised_workspace_id_started_at_id",
            *("workspace_id", "started_at", "id"),
            sqlite_where=_SUPERVISED,
            postgresql_where=_SUPERVISED,
        ),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    agent_id: Mapped[int | None] = mapped_column(Key, ForeignKey("agents.id", ondelete="RESTRICT"), index=True)
    person_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    skill_version_id: Mapped[int] = mapped_column(Key, ForeignKey("skill_versions.id", ondelete="RESTRICT"), index=True)
    entry: Mapped[str] = mapped_column(Text)
    epoch: Mapped[int] = mapped_column(Key)
    instance_id: Mapped[str] = mapped_column(String(36))
    """The process that admitted it. Its lease is a file, see ``runtime.instance``; the row outlives it."""
    state: Mapped[InvocationState] = mapped_column(StoredEnum(InvocationState))
    reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    wall_seconds: Mapped[float | None] = mapped_column(Float)
    cpu_seconds: Mapped[float | None] = mapped_column(Float)
    peak_memory_bytes: Mapped[int | None] = mapped_column(Key)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When another process than the one that runs it was asked to end it; that one looks here now and then."""
    cancel_requested_by: Mapped[str | None] = mapped_column(String(64))
    """Who asked: ``person 3``, ``agent 5``."""
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    """Why, where whoever asked said so."""
    supervised: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether the call is recorded in full, because its agent was SUPERVISED when it was admitted."""


class RecordingRow(Base):
    """What a supervised call did, once it ended. The row outlives the parts: that they were there can still be told."""

    __tablename__ = "recordings"
    __table_args__ = (
        one_of("state", RecordingState),
        Index("ix_recordings_removed_at_expires_at", "removed_at", "expires_at"),
    )

    invocation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("invocations.id", ondelete="CASCADE"), primary_key=True
    )
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    state: Mapped[RecordingState] = mapped_column(StoredEnum(RecordingState))
    size: Mapped[int] = mapped_column(Key)
    """Bytes of the recording, unpacked."""
    parts: Mapped[int] = mapped_column(Key)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RecordingPartRow(Base):
    """A piece of a recording, packed with zlib. In the database, so that every server process can show it."""

    __tablename__ = "recording_parts"

    invocation_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("recordings.invocation_id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class InvocationFileRow(Base):
    """One file that a call left behind. Written with the call's end, by ``runtime.admission`` alone.

    The row outlives the file: what was there, and that it is gone, can still be told.
    """

    __tablename__ = "invocation_files"
    __table_args__ = (
        UniqueConstraint("invocation_id", "path"),
        Index("ix_invocation_files_removed_at_expires_at", "removed_at", "expires_at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    invocation_id: Mapped[str] = mapped_column(String(36), ForeignKey("invocations.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(String(1024))
    """In the call's folder below ``artefacts`` of the home."""
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(Key)
    media_type: Mapped[str] = mapped_column(String(128))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AgentPinRow(Base):
    """The version that calls of one agent to a skill go to, where they name none themselves."""

    __tablename__ = "agent_pins"

    agent_id: Mapped[int] = mapped_column(Key, ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True)
    skill_id: Mapped[int] = mapped_column(
        Key, ForeignKey("skills.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    skill_version_id: Mapped[int] = mapped_column(Key, ForeignKey("skill_versions.id", ondelete="RESTRICT"), index=True)
    pinned_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    pinned_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LeaseRow(Base):
    """One process that owns sandboxes and calls, for those who cannot see its lock (see ``runtime.leases``).

    It belongs to no workspace, because a process serves them all.
    """

    __tablename__ = "leases"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """The ``instance_id`` of its invocations and the lease label of its containers."""
    home_id: Mapped[str] = mapped_column(String(36))
    host: Mapped[str] = mapped_column(String(255))
    boot_id: Mapped[str | None] = mapped_column(String(64))
    """The kernel's identity since it started; empty where the platform has none."""
    pid: Mapped[int] = mapped_column(Key)
    version: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """By the clock of the process itself, for people to read; nothing is decided by it."""
    beats: Mapped[int] = mapped_column(Key)
    """Grows with every renewal: whether it changed is what others go by, whatever their clocks say."""
