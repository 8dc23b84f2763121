"""Signed heads and archived segments of the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit_keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=False),
        sa.Column("added_at", sa.String(27), nullable=False),
        sa.Column("retired_at", sa.String(27), nullable=True),
        sa.Column("previous_id", sa.String(32), nullable=True),
        sa.Column("signature_of_previous", sa.String(128), nullable=True),
        sa.Column("own_signature", sa.String(128), nullable=True),
        sa.ForeignKeyConstraint(
            ["previous_id"], ["audit_keys.id"], name=op.f("fk_audit_keys_previous_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_keys")),
        sa.UniqueConstraint("previous_id", name=op.f("uq_audit_keys_previous_id")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["audit_keys.id"], name=op.f("fk_audit_checkpoints_key_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_checkpoints_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "seq", "key_id", name=op.f("pk_audit_checkpoints")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_audit_checkpoints_key_id"), "audit_checkpoints", ["key_id"], unique=False)
    op.create_table(
        "audit_segments",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("first_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("prev_hash", sa.String(64), nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("file", sa.String(200), nullable=False),
        sa.Column("file_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.String(64), nullable=False),
        sa.Column("archived_at", sa.String(27), nullable=False),
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("signature", sa.String(128), nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["audit_keys.id"], name=op.f("fk_audit_segments_key_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_segments_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "first_seq", name=op.f("pk_audit_segments")),
    )
    op.create_index(op.f("ix_audit_segments_key_id"), "audit_segments", ["key_id"], unique=False)


def downgrade() -> None:
    op.drop_table("audit_segments")
    op.drop_table("audit_checkpoints")
    op.drop_table("audit_keys")
