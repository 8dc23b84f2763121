"""Agents and supervision: scopes of tokens, changes of maturity, recordings of supervised calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("tokens", sa.Column("scopes", sa.String(200), nullable=True))
    op.add_column("invocations", sa.Column("cancel_reason", sa.Text(), nullable=True))
    op.add_column("invocations", sa.Column("supervised", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        op.f("ix_invocations_supervised_workspace_id_started_at_id"),
        "invocations",
        ["workspace_id", "started_at", "id"],
        sqlite_where=sa.text("supervised"),
        postgresql_where=sa.text("supervised"),
    )
    _maturity_changes()
    _recordings()


def downgrade() -> None:
    op.drop_table("recording_parts")
    op.drop_table("recordings")
    op.drop_table("maturity_changes")
    op.drop_index(op.f("ix_invocations_supervised_workspace_id_started_at_id"), "invocations")
    op.drop_column("invocations", "supervised")
    op.drop_column("invocations", "cancel_reason")
    op.drop_column("tokens", "scopes")


def _maturity_changes() -> None:
    op.create_table(
        "maturity_changes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("agent_id", _KEY, nullable=False),
        sa.Column("from_maturity", sa.SmallInteger(), nullable=False),
        sa.Column("to_maturity", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("changed_by_id", _KEY, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.CheckConstraint("from_maturity <> to_maturity", name=op.f("ck_maturity_changes_changed")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_maturity_changes_for_a_reason")),
        sa.CheckConstraint("from_maturity IN (0, 1, 2, 3)", name=op.f("ck_maturity_changes_from_maturity")),
        sa.CheckConstraint("to_maturity IN (0, 1, 2, 3)", name=op.f("ck_maturity_changes_to_maturity")),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_maturity_changes_agent_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["changed_by_id"], ["persons.id"], name=op.f("fk_maturity_changes_changed_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_maturity_changes_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maturity_changes")),
    )
    op.create_index(op.f("ix_maturity_changes_agent_id"), "maturity_changes", ["agent_id"])
    op.create_index(op.f("ix_maturity_changes_changed_by_id"), "maturity_changes", ["changed_by_id"])
    op.create_index(
        op.f("ix_maturity_changes_workspace_id_agent_id_id"), "maturity_changes", ["workspace_id", "agent_id", "id"]
    )


def _recordings() -> None:
    op.create_table(
        "recordings",
        sa.Column("invocation_id", sa.String(36), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("size", _KEY, nullable=False),
        sa.Column("parts", _KEY, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("removed_at", _TIME, nullable=True),
        sa.CheckConstraint("state IN ('complete', 'truncated', 'cut')", name=op.f("ck_recordings_state")),
        sa.ForeignKeyConstraint(
            ["invocation_id"], ["invocations.id"], name=op.f("fk_recordings_invocation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_recordings_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("invocation_id", name=op.f("pk_recordings")),
    )
    op.create_index(op.f("ix_recordings_removed_at_expires_at"), "recordings", ["removed_at", "expires_at"])
    op.create_index(op.f("ix_recordings_workspace_id"), "recordings", ["workspace_id"])
    op.create_table(
        "recording_parts",
        sa.Column("invocation_id", sa.String(36), nullable=False),
        sa.Column("number", _KEY, autoincrement=False, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["recordings.invocation_id"],
            name=op.f("fk_recording_parts_invocation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_recording_parts_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("invocation_id", "number", name=op.f("pk_recording_parts")),
    )
    op.create_index(op.f("ix_recording_parts_workspace_id"), "recording_parts", ["workspace_id"])
