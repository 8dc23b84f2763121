"""Invocations: the files that calls leave, and requests to cancel a call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "invocation_files",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("invocation_id", sa.String(36), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", _KEY, nullable=False),
        sa.Column("media_type", sa.String(128), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("removed_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["invocation_id"], ["invocations.id"], name=op.f("fk_invocation_files_invocation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_invocation_files_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invocation_files")),
        sa.UniqueConstraint("invocation_id", "path", name=op.f("uq_invocation_files_invocation_id_path")),
    )
    op.create_index(
        op.f("ix_invocation_files_removed_at_expires_at"),
        "invocation_files",
        ["removed_at", "expires_at"],
        unique=False,
    )
    op.create_index(op.f("ix_invocation_files_workspace_id"), "invocation_files", ["workspace_id"], unique=False)
    op.add_column("invocations", sa.Column("cancel_requested_at", _TIME, nullable=True))
    op.add_column("invocations", sa.Column("cancel_requested_by", sa.String(64), nullable=True))


def downgrade() -> None:
    op.drop_column("invocations", "cancel_requested_by")
    op.drop_column("invocations", "cancel_requested_at")
    op.drop_table("invocation_files")
