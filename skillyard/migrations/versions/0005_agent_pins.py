"""Pins: the version of a skill that calls of one agent go to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "agent_pins",
        sa.Column("agent_id", _KEY, nullable=False),
        sa.Column("skill_id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("skill_version_id", _KEY, nullable=False),
        sa.Column("pinned_by_id", _KEY, nullable=False),
        sa.Column("pinned_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_pins_agent_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["pinned_by_id"], ["persons.id"], name=op.f("fk_agent_pins_pinned_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(["skill_id"], ["skills.id"], name=op.f("fk_agent_pins_skill_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["skill_version_id"],
            ["skill_versions.id"],
            name=op.f("fk_agent_pins_skill_version_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_agent_pins_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("agent_id", "skill_id", name=op.f("pk_agent_pins")),
    )
    op.create_index(op.f("ix_agent_pins_pinned_by_id"), "agent_pins", ["pinned_by_id"], unique=False)
    op.create_index(op.f("ix_agent_pins_skill_id"), "agent_pins", ["skill_id"], unique=False)
    op.create_index(op.f("ix_agent_pins_skill_version_id"), "agent_pins", ["skill_version_id"], unique=False)
    op.create_index(op.f("ix_agent_pins_workspace_id"), "agent_pins", ["workspace_id"], unique=False)


def downgrade() -> None:
    op.drop_table("agent_pins")
