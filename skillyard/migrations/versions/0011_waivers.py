"""Waivers: findings that a person lets be, for a reason and until a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_ABOUT_ONE_THING = (
    "(ecosystem IS NOT NULL AND name IS NOT NULL AND version IS NOT NULL AND advisory IS NOT NULL "
    "AND rule IS NULL AND file_sha256 IS NULL) OR "
    "(ecosystem IS NULL AND name IS NULL AND version IS NULL AND advisory IS NULL "
    "AND rule IS NOT NULL AND file_sha256 IS NOT NULL)"
)


def upgrade() -> None:
    op.create_table(
        "waivers",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("ecosystem", sa.String(32), nullable=True),
        sa.Column("name", sa.String(214), nullable=True),
        sa.Column("version", sa.String(256), nullable=True),
        sa.Column("advisory", sa.String(128), nullable=True),
        sa.Column("rule", sa.String(100), nullable=True),
        sa.Column("file_sha256", sa.String(64), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("owner_id", _KEY, nullable=False),
        sa.Column("created_by_id", _KEY, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_by_id", _KEY, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.CheckConstraint("ecosystem IN ('pypi', 'npm')", name=op.f("ck_waivers_ecosystem")),
        sa.CheckConstraint(_ABOUT_ONE_THING, name=op.f("ck_waivers_about_one_thing")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_waivers_for_a_reason")),
        sa.CheckConstraint(
            "(revoked_at IS NULL) = (revoked_by_id IS NULL)", name=op.f("ck_waivers_revoked_by_somebody")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_waivers_workspace_id"), ondelete="RESTRICT"
        ),
        *(
            sa.ForeignKeyConstraint([column], ["persons.id"], name=op.f(f"fk_waivers_{column}"), ondelete="RESTRICT")
            for column in ("owner_id", "created_by_id", "revoked_by_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waivers")),
    )
    op.create_index("ix_waivers_workspace_id_revoked_at", "waivers", ["workspace_id", "revoked_at"])
    for column in ("owner_id", "created_by_id", "revoked_by_id"):
        op.create_index(op.f(f"ix_waivers_{column}"), "waivers", [column])


def downgrade() -> None:
    op.drop_table("waivers")
