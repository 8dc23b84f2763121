"""Which advisory data installed versions were matched against, and small facts beside their large rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "advisory_snapshots",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("data_dates", sa.Text(), nullable=False),
        sa.Column("home_id", sa.String(36), nullable=False),
        sa.Column("registered_at", _TIME, nullable=False),
        sa.Column("claimed_by", sa.String(36), nullable=True),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_advisory_snapshots")),
    )
    op.create_index(op.f("ix_advisory_snapshots_fingerprint"), "advisory_snapshots", ["fingerprint"], unique=False)
    op.create_table(
        "version_marks",
        sa.Column("skill_version_id", _KEY, nullable=False, autoincrement=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("revision", _KEY, nullable=False),
        sa.Column("snapshot_id", _KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["skill_version_id"],
            ["skill_versions.id"],
            name=op.f("fk_version_marks_skill_version_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["advisory_snapshots.id"], name=op.f("fk_version_marks_snapshot_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_version_marks_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("skill_version_id", name=op.f("pk_version_marks")),
    )
    op.create_index(op.f("ix_version_marks_snapshot_id"), "version_marks", ["snapshot_id"], unique=False)
    op.create_index(op.f("ix_version_marks_workspace_id"), "version_marks", ["workspace_id"], unique=False)
    op.execute(
        "INSERT INTO version_marks (skill_version_id, workspace_id, revision) "
        "SELECT id, workspace_id, 1 FROM skill_versions"
    )


def downgrade() -> None:
    op.drop_table("version_marks")
    op.drop_table("advisory_snapshots")
