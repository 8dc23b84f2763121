"""What is set aside keeps where its page began: a row with a false number is found there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # What is there already is looked for from the beginning.
    op.add_column("remote_set_aside", sa.Column("after", _KEY, server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("remote_set_aside", "after")
