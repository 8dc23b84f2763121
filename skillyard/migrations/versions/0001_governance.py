"""Governance: workspaces, persons, agents, tokens, package rules, approvals, the audit chain, the rules epoch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _workspaces()
    _persons()
    _agents()
    _tokens()
    _approval_requests()
    _package_rules()
    _first_uses()
    _audit_records()
    _audit_heads()
    _rules_epoch()
    op.execute("INSERT INTO rules_epoch (id, epoch) VALUES (1, 1)")


def downgrade() -> None:
    op.drop_table("rules_epoch")
    op.drop_table("audit_heads")
    op.drop_table("audit_records")
    op.drop_table("first_uses")
    op.drop_table("package_rules")
    op.drop_table("approval_requests")
    op.drop_table("tokens")
    op.drop_table("agents")
    op.drop_table("persons")
    op.drop_table("workspaces")


def _workspaces() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
        sa.UniqueConstraint("name", name=op.f("uq_workspaces_name")),
    )


def _persons() -> None:
    op.create_table(
        "persons",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'member')", name=op.f("ck_persons_role")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_persons_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_persons_workspace_id_name")),
    )


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("maturity", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_agents_state")),
        sa.CheckConstraint("maturity IN (0, 1, 2, 3)", name=op.f("ck_agents_maturity")),
        sa.ForeignKeyConstraint(["owner_id"], ["persons.id"], name=op.f("fk_agents_owner_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_agents_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_agents_workspace_id_name")),
    )
    op.create_index(op.f("ix_agents_owner_id"), "agents", ["owner_id"], unique=False)


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("person_id", _KEY, nullable=True),
        sa.Column("agent_id", _KEY, nullable=True),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.CheckConstraint("(person_id IS NULL) <> (agent_id IS NULL)", name=op.f("ck_tokens_one_holder")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_tokens_agent_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_tokens_person_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_tokens_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_tokens_token_hash")),
    )
    op.create_index(op.f("ix_tokens_agent_id"), "tokens", ["agent_id"], unique=False)
    op.create_index(op.f("ix_tokens_person_id"), "tokens", ["person_id"], unique=False)
    op.create_index(op.f("ix_tokens_workspace_id"), "tokens", ["workspace_id"], unique=False)


def _approval_requests() -> None:
    op.create_table(
        "approval_requests",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("skill_id", sa.BigInteger(), nullable=False),
        sa.Column("skill_version_id", sa.BigInteger(), nullable=False),
        sa.Column("skill", sa.String(200), nullable=False),
        sa.Column("lock_digest", sa.String(71), nullable=False),
        sa.Column("requested_by_agent_id", _KEY, nullable=True),
        sa.Column("requested_by_person_id", _KEY, nullable=True),
        sa.Column("requesting_owner_id", _KEY, nullable=False),
        sa.Column("packages", sa.Text(), nullable=False),
        sa.Column("first_use", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("decided_by_id", _KEY, nullable=True),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name=op.f("ck_approval_requests_decided")),
        sa.CheckConstraint(
            "state IN ('pending', 'approved', 'denied', 'revoked')", name=op.f("ck_approval_requests_state")
        ),
        sa.CheckConstraint(
            "(requested_by_agent_id IS NULL) <> (requested_by_person_id IS NULL)",
            name=op.f("ck_approval_requests_one_requester"),
        ),
        sa.ForeignKeyConstraint(
            ["decided_by_id"], ["persons.id"], name=op.f("fk_approval_requests_decided_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["requested_by_agent_id"],
            ["agents.id"],
            name=op.f("fk_approval_requests_requested_by_agent_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["requested_by_person_id"],
            ["persons.id"],
            name=op.f("fk_approval_requests_requested_by_person_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["requesting_owner_id"],
            ["persons.id"],
            name=op.f("fk_approval_requests_requesting_owner_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_approval_requests_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_requests")),
    )
    op.create_index(op.f("ix_approval_requests_decided_by_id"), "approval_requests", ["decided_by_id"], unique=False)
    op.create_index(
        op.f("ix_approval_requests_requested_by_agent_id"), "approval_requests", ["requested_by_agent_id"], unique=False
    )
    op.create_index(
        op.f("ix_approval_requests_requested_by_person_id"),
        "approval_requests",
        ["requested_by_person_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_approval_requests_requesting_owner_id"), "approval_requests", ["requesting_owner_id"], unique=False
    )
    op.create_index(
        op.f("ix_approval_requests_skill_version_id"), "approval_requests", ["skill_version_id"], unique=False
    )
    op.create_index(
        op.f("ix_approval_requests_workspace_id_state_id"),
        "approval_requests",
        ["workspace_id", "state", "id"],
        unique=False,
    )
    op.create_index(
        op.f("uq_approval_requests_pending_agent"),
        "approval_requests",
        ["workspace_id", "requested_by_agent_id", "skill_version_id"],
        unique=True,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        op.f("uq_approval_requests_pending_person"),
        "approval_requests",
        ["workspace_id", "requested_by_person_id", "skill_version_id"],
        unique=True,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )


def _package_rules() -> None:
    op.create_table(
        "package_rules",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("ecosystem", sa.String(32), nullable=False),
        sa.Column("name", sa.String(214), nullable=False),
        sa.Column("specifier", sa.String(500), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("min_maturity", sa.SmallInteger(), nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("hashes", sa.Text(), nullable=False),
        sa.Column("approval_id", _KEY, nullable=True),
        sa.Column("created_by_id", _KEY, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.CheckConstraint("ecosystem IN ('pypi', 'npm')", name=op.f("ck_package_rules_ecosystem")),
        sa.CheckConstraint(
            "state <> 'approved' OR min_maturity IS NOT NULL", name=op.f("ck_package_rules_approved_for_somebody")
        ),
        sa.CheckConstraint(
            "state <> 'banned' OR (reason IS NOT NULL AND reason <> '')",
            name=op.f("ck_package_rules_banned_for_a_reason"),
        ),
        sa.CheckConstraint("state IN ('approved', 'banned')", name=op.f("ck_package_rules_state")),
        sa.CheckConstraint("min_maturity IN (0, 1, 2, 3)", name=op.f("ck_package_rules_min_maturity")),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval_requests.id"], name=op.f("fk_package_rules_approval_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["persons.id"], name=op.f("fk_package_rules_created_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_package_rules_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package_rules")),
    )
    op.create_index(op.f("ix_package_rules_approval_id"), "package_rules", ["approval_id"], unique=False)
    op.create_index(op.f("ix_package_rules_created_by_id"), "package_rules", ["created_by_id"], unique=False)
    op.create_index(
        op.f("ix_package_rules_workspace_id_ecosystem_name"),
        "package_rules",
        ["workspace_id", "ecosystem", "name"],
        unique=False,
    )
    op.create_index(
        op.f("ix_package_rules_workspace_id_revoked_at"), "package_rules", ["workspace_id", "revoked_at"], unique=False
    )


def _first_uses() -> None:
    op.create_table(
        "first_uses",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("agent_id", _KEY, nullable=False),
        sa.Column("skill_id", sa.BigInteger(), nullable=False),
        sa.Column("approval_id", _KEY, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_first_uses_agent_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval_requests.id"], name=op.f("fk_first_uses_approval_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_first_uses_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "agent_id", "skill_id", name=op.f("pk_first_uses")),
    )
    op.create_index(op.f("ix_first_uses_agent_id"), "first_uses", ["agent_id"], unique=False)
    op.create_index(op.f("ix_first_uses_approval_id"), "first_uses", ["approval_id"], unique=False)


def _audit_records() -> None:
    op.create_table(
        "audit_records",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.BigInteger(), nullable=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(500), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_records_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "seq", name=op.f("pk_audit_records")),
        sqlite_with_rowid=False,
    )


def _audit_heads() -> None:
    op.create_table(
        "audit_heads",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_heads_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_audit_heads")),
    )


def _rules_epoch() -> None:
    op.create_table(
        "rules_epoch",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_rules_epoch_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules_epoch")),
    )
