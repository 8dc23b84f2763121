"""Tables of the governance room. Rows stop at its stores; every row names its workspace.

Skills and their versions belong to the runtime room above, so their keys appear here without a foreign key.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, StoredEnum, UtcDateTime, one_of
from skillyard.governance.decision import AgentState, ApprovalState, Maturity, RequestState, RuleState
from skillyard.governance.identity import Role, WorkspaceState
from skillyard.governance.quotas import CallSpan, Quota
from skillyard.governance.webhook import DeliveryState
from skillyard.skills.skill import Ecosystem

_PENDING = text("state = 'pending'")


class WorkspaceRow(Base):
    """A tenant. Nothing deletes one: its audit chain must outlive it."""

    __tablename__ = "workspaces"
    __table_args__ = (one_of("state", WorkspaceState),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[WorkspaceState] = mapped_column(StoredEnum(WorkspaceState), default=WorkspaceState.ACTIVE)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WorkspaceQuotaRow(Base):
    """A limit that a workspace has of its own. Where there is no row, there is none."""

    __tablename__ = "workspace_quotas"
    __table_args__ = (one_of("quota", Quota), CheckConstraint("most >= 0", name="most"))

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    quota: Mapped[Quota] = mapped_column(StoredEnum(Quota), primary_key=True)
    most: Mapped[int] = mapped_column(BigInteger)
    set_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CallCountRow(Base):
    """Calls of a workspace that were admitted in one minute or day. Kept by ``runtime.journal`` while there is a quota.

    Made when the quota is set, from the calls on record, so that the writer of admissions finds it there.
    """

    __tablename__ = "call_counts"
    __table_args__ = (one_of("span", CallSpan),)

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    span: Mapped[CallSpan] = mapped_column(StoredEnum(CallSpan), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    """Which minute or day since 1970; never goes back, also where a process's clock is behind."""
    calls: Mapped[int] = mapped_column(BigInteger)


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
    scopes: Mapped[str | None] = mapped_column(String(200))
    """Names of ``TokenScope`` in their order, separated by spaces; ``None`` for a token that has none."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class MaturityChangeRow(Base):
    """One promotion or demotion of an agent, with the evidence that was shown for it. Never changed."""

    __tablename__ = "maturity_changes"
    __table_args__ = (
        CheckConstraint("from_maturity <> to_maturity", name="changed"),
        CheckConstraint("reason <> ''", name="for_a_reason"),
        Index("ix_maturity_changes_workspace_id_agent_id_id", "workspace_id", "agent_id", "id"),
        one_of("from_maturity", Maturity),
        one_of("to_maturity", Maturity),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    agent_id: Mapped[int] = mapped_column(Key, ForeignKey("agents.id", ondelete="RESTRICT"), index=True)
    from_maturity: Mapped[Maturity] = mapped_column(StoredEnum(Maturity))
    to_maturity: Mapped[Maturity] = mapped_column(StoredEnum(Maturity))
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[str] = mapped_column(Text)
    """JSON: what the records of the time before it said."""
    forced: Mapped[bool] = mapped_column(Boolean)
    """Whether it was a promotion over more than one level, which has to be asked for."""
    changed_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ApprovalRequestRow(Base):
    """What a Hold asked for, and what a person made of it. At most one is pending per requester and skill version."""

    __tablename__ = "approval_requests"
    __table_args__ = (
        one_of("state", ApprovalState),
        one_of("min_maturity", Maturity),
        CheckConstraint("(requested_by_agent_id IS NULL) <> (requested_by_person_id IS NULL)", name="one_requester"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided"),
        Index("ix_approval_requests_workspace_id_state_id", "workspace_id", "state", "id"),
        Index("ix_approval_requests_state_created_at", "state", "created_at"),
        Index("ix_approval_requests_state_approved_until", "state", "approved_until"),
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
    min_maturity: Mapped[Maturity | None] = mapped_column(StoredEnum(Maturity))
    approved_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the approval that was given runs out; ``None`` for one without an end, and for what was not approved."""
    second_person: Mapped[bool | None] = mapped_column(Boolean)
    """Whether an approval came from somebody else than who asked; ``None`` for what was not approved."""
    split_from_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("approval_requests.id", ondelete="RESTRICT"), index=True
    )
    """The request of which this one holds the packages that were approved before the rest."""
    expiry_announced_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookRow(Base):
    """An address that approvers want to be told at. Removed ones stay for their deliveries, without their secret."""

    __tablename__ = "webhooks"
    __table_args__ = (CheckConstraint("removed_at IS NULL OR secret = ''", name="removed_without_secret"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), index=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(200))
    """As text: whoever signs needs it whole."""
    events: Mapped[str] = mapped_column(String(500))
    """JSON: a sorted list of events."""
    created_by_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookDeliveryRow(Base):
    """The outbox: one message to one webhook, written in the transaction of the event it tells of."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("state", DeliveryState),
        CheckConstraint("(state = 'waiting') = (ended_at IS NULL)", name="ended"),
        Index("ix_webhook_deliveries_workspace_id_webhook_id_id", "workspace_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_state_ended_at", "state", "ended_at"),
        Index(
            "ix_webhook_deliveries_waiting_next_attempt_at",
            "next_attempt_at",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    webhook_id: Mapped[int] = mapped_column(Key, ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[str] = mapped_column(String(64), unique=True)
    event: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[DeliveryState] = mapped_column(StoredEnum(DeliveryState))
    attempts: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    counted_from: Mapped[datetime] = mapped_column(UtcDateTime)
    """Since when its age counts: it was made then, or retried by hand."""
    claimed_by: Mapped[str | None] = mapped_column(String(64))
    """The lease of the process that sends it now."""
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str | None] = mapped_column(String(500))


class PackageRuleRow(Base):
    """(ecosystem, name, specifier) → approved or banned. Never deleted: ``revoked_at`` ends it.

    A rule without a workspace is global: it binds all of them, and no approval request made it.
    """

    __tablename__ = "package_rules"
    __table_args__ = (
        one_of("ecosystem", Ecosystem),
        one_of("state", RuleState),
        one_of("min_maturity", Maturity),
        CheckConstraint("state <> 'approved' OR min_maturity IS NOT NULL", name="approved_for_somebody"),
        CheckConstraint("state <> 'banned' OR (reason IS NOT NULL AND reason <> '')", name="banned_for_a_reason"),
        CheckConstraint("workspace_id IS NOT NULL OR approval_id IS NULL", name="approved_in_a_workspace"),
        Index("ix_package_rules_workspace_id_ecosystem_name", "workspace_id", "ecosystem", "name"),
        Index("ix_package_rules_workspace_id_revoked_at", "workspace_id", "revoked_at"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int | None] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
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


class PackageRequestRow(Base):
    """Somebody asks for a package, with no skill in it. At most one is pending per package and version."""

    __tablename__ = "package_requests"
    __table_args__ = (
        one_of("ecosystem", Ecosystem),
        one_of("state", RequestState),
        CheckConstraint("(requested_by_agent_id IS NULL) <> (requested_by_person_id IS NULL)", name="one_requester"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided"),
        Index("ix_package_requests_workspace_id_state_id", "workspace_id", "state", "id"),
        Index(
            "uq_package_requests_pending",
            *("workspace_id", "ecosystem", "name", "version"),
            unique=True,
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"))
    ecosystem: Mapped[Ecosystem] = mapped_column(StoredEnum(Ecosystem))
    name: Mapped[str] = mapped_column(String(214))
    version: Mapped[str] = mapped_column(String(256))
    """One exact version; empty where any would do."""
    hashes: Mapped[str] = mapped_column(Text)
    """JSON: a sorted list of the files that an approval would bind; empty for any."""
    reason: Mapped[str] = mapped_column(Text)
    requested_by_agent_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("agents.id", ondelete="RESTRICT"), index=True
    )
    requested_by_person_id: Mapped[int | None] = mapped_column(
        Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True
    )
    requesting_owner_id: Mapped[int] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    """The person the request counts as: the one who asked, or the owner of the agent that asked."""
    state: Mapped[RequestState] = mapped_column(StoredEnum(RequestState))
    rule_id: Mapped[int | None] = mapped_column(Key, ForeignKey("package_rules.id", ondelete="RESTRICT"), index=True)
    """The approval that answered it."""
    decided_by_id: Mapped[int | None] = mapped_column(Key, ForeignKey("persons.id", ondelete="RESTRICT"), index=True)
    decided_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    second_person: Mapped[bool | None] = mapped_column(Boolean)
    """Whether the yes came from somebody else than who asked; ``None`` for what was not approved."""
    comment: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


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


class AuditKeyRow(Base):
    """A public key that heads are signed with. An instance's, not a workspace's; never deleted.

    Times are the texts that were signed. A key that took over from another names it, and both signed that.
    """

    __tablename__ = "audit_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The first 128 bits of the public key's SHA-256, hexadecimal."""
    public_key: Mapped[str] = mapped_column(String(64))
    added_at: Mapped[str] = mapped_column(String(27))
    retired_at: Mapped[str | None] = mapped_column(String(27))
    previous_id: Mapped[str | None] = mapped_column(
        String(32), ForeignKey("audit_keys.id", ondelete="RESTRICT"), unique=True
    )
    signature_of_previous: Mapped[str | None] = mapped_column(String(128))
    own_signature: Mapped[str | None] = mapped_column(String(128))


class AuditCheckpointRow(Base):
    """A signed head: this record was the chain's last one at that time, says the key."""

    __tablename__ = "audit_checkpoints"
    __table_args__ = ({"sqlite_with_rowid": False},)

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(
        String(32), ForeignKey("audit_keys.id", ondelete="RESTRICT"), primary_key=True, index=True
    )
    hash: Mapped[str] = mapped_column(String(64))
    at: Mapped[str] = mapped_column(String(27))
    signature: Mapped[str] = mapped_column(String(128))


class AuditSegmentRow(Base):
    """A closed part of a chain that was moved from the database into a file. All of it is signed."""

    __tablename__ = "audit_segments"

    workspace_id: Mapped[int] = mapped_column(Key, ForeignKey("workspaces.id", ondelete="RESTRICT"), primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    prev_hash: Mapped[str] = mapped_column(String(64))
    last_hash: Mapped[str] = mapped_column(String(64))
    file: Mapped[str] = mapped_column(String(200))
    """Its name within the workspace's archive folder."""
    file_bytes: Mapped[int] = mapped_column(BigInteger)
    file_sha256: Mapped[str] = mapped_column(String(64))
    archived_at: Mapped[str] = mapped_column(String(27))
    key_id: Mapped[str] = mapped_column(String(32), ForeignKey("audit_keys.id", ondelete="RESTRICT"), index=True)
    signature: Mapped[str] = mapped_column(String(128))


class RulesEpochRow(Base):
    """The rules epoch: one row, made by the migration that made the table."""

    __tablename__ = "rules_epoch"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(BigInteger)
