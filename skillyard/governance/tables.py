"""Tables of the governance room. Rows stop at its stores; every row names its workspace.

Skills and their versions belong to the runtime room above, so their keys appear here without a foreign key.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.governance.decision import AgentState, ApprovalState, Maturity, RuleState
from skillyard.governance.identity import Role
from skillyard.skills.skill import Ecosystem

_PENDING = text("state = 'pending'")


class WorkspaceRow(Base):
    """A tenant. Nothing deletes one: its audit chain must outlive it."""

    __tablename__ = "workspaces"

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PersonRow(Base):
    __tablename__ = "persons"
    __table_args__ = (UniqueConstraint("workspace_id", "name"), one_of("role", Role))

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[Role] = mapped_column(StoredEnum(Role))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AgentRow(Base):
    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name"),
        one_of("maturity", Maturity),
        one_of("state", AgentState),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    name: Mapped[str] = mapped_column(String(64))
    owner_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    maturity: Mapped[Maturity] = mapped_column(StoredEnum(Maturity))
    state: Mapped[AgentState] = mapped_column(StoredEnum(AgentState))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TokenRow(Base):
    """A bearer token of exactly one person or agent. Only its hash is kept."""

    __tablename__ = "tokens"
    __table_args__ = (CheckConstraint("(person_id IS NULL) <> (agent_id IS NULL)", name="one_holder"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    person_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="CASCADE"), index=True)
    agent_id: Mapped[int | None] = mapped_column(Key, ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the whole token text, hexadecimal."""
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApprovalRequestRow(Base):
    """What a Hold asked for, and what a person made of it. At most one is pending per requester and skill version."""

    __tablename__ = "approval_requests"
    __table_args__ = (
        one_of("state", ApprovalState),
        CheckConstraint("(requested_by_agent_id IS NULL) <> (requested_by_person_id IS NULL)", name="one_requester"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided"),
        Index("ix_approval_requests_workspace_id_state_id", "workspace_id", "state", "id"),
        Index(
            "uq_approval_requests_pending_agent",
            *("workspace_id", "requested_by_agent_id", "skill_version_id"),
            unique=True,
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "uq_approval_requests_pending_person",
            *("workspace_id", "requested_by_person_id", "skill_version_id"),
            unique=True,
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    skill_id: Mapped[int] = mapped_column(BigInteger)
    skill_version_id: Mapped[int] = mapped_column(BigInteger, index=True)
    skill: Mapped[str] = mapped_column(String(200))
    """``publisher/name@version`` as it was when asked: text for people, never looked up by."""
    lock_digest: Mapped[str] = mapped_column(String(71))
    requested_by_agent_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("agents.id", ondelete="RESTRICT"), index=True
    )
    requested_by_person_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True
    )
    requesting_owner_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    """The person the request counts as: the one who asked, or the owner of the agent that asked."""
    packages: Mapped[str] = mapped_column(Text)
    """JSON: what is new in the lock, with versions and hashes."""
    first_use: Mapped[bool] = mapped_column(Boolean)
    state: Mapped[ApprovalState] = mapped_column(StoredEnum(ApprovalState))
    decided_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    comment: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PackageRuleRow(Base):
    """(ecosystem, name, specifier) → approved or banned. Never deleted: ``revoked_at`` ends it."""

    __tablename__ = "package_rules"
    __table_args__ = (
        one_of("ecosystem", Ecosystem),
        one_of("state", RuleState),
        one_of("min_maturity", Maturity),
        CheckConstraint("state <> 'approved' OR min_maturity IS NOT NULL", name="approved_for_somebody"),
        CheckConstraint("state <> 'banned' OR (reason IS NOT NULL AND reason <> '')", name="banned_for_a_reason"),
        Index("ix_package_rules_workspace_id_ecosystem_name", "workspace_id", "ecosystem", "name"),
        Index("ix_package_rules_workspace_id_revoked_at", "workspace_id", "revoked_at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    ecosystem: Mapped[Ecosystem] = mapped_column(StoredEnum(Ecosystem))
    name: Mapped[str] = mapped_column(String(214))
    specifier: Mapped[str] = mapped_column(String(500))
    state: Mapped[RuleState] = mapped_column(StoredEnum(RuleState))
    min_maturity: Mapped[Maturity | None] = mapped_column(StoredEnum(Maturity))
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reason: Mapped[str | None] = mapped_column(Text)
    hashes: Mapped[str] = mapped_column(Text)
    """JSON: a sorted list of artefact hashes; empty for a rule that binds no artefacts."""
    approval_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("approval_requests.id", ondelete="RESTRICT"), index=True
    )
    created_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    """``None`` for a rule that no person made."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FirstUseRow(Base):
    """A recorded permission for an INTERN to use a code skill for the first time."""

    __tablename__ = "first_uses"

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    agent_id: Mapped[int] = mapped_column(
        Key, ForeignKey("agents.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    skill_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    approval_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("approval_requests.id", ondelete="RESTRICT"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRecordRow(Base):
    """One link of a workspace's hash chain, appended only. See ``governance.audit`` for what is hashed.

    ``at`` is kept as the very text that was hashed, so that an edit of any byte shows; it sorts by time.
    """

    __tablename__ = "audit_records"
    __table_args__ = ({"sqlite_with_rowid": False},)

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(27))
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(500))
    payload: Mapped[str] = mapped_column(Text)
    prev_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Base):
    """Where a workspace's chain ends. Locked by whoever appends; a chain that ends elsewhere was cut."""

    __tablename__ = "audit_heads"

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


class RulesEpochRow(Base):
    """The rules epoch: one row, made by the migration that made the table."""

    __tablename__ = "rules_epoch"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(BigInteger)
