"""Reviews that were taken away stay away, and who holds a file is found in order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_KEY_TEXT = sa.String(300).with_variant(sa.String(300, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "hub_strikes",
        sa.Column("key", _KEY_TEXT, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_hub_strikes")),
    )
    op.create_index("ix_hub_files_sha256_version_key", "hub_files", ["sha256", "version_key"], unique=False)
    op.drop_index("ix_hub_files_sha256", table_name="hub_files")


def downgrade() -> None:
    op.create_index("ix_hub_files_sha256", "hub_files", ["sha256"], unique=False)
    op.drop_index("ix_hub_files_sha256_version_key", table_name="hub_files")
    op.drop_table("hub_strikes")
