"""The digests of published bundles' archives are kept, and why an upload was dropped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_REASONS = {
    "same": "the remote says the same by now",
    "theirs": "the remote's side counts",
    "replaced": "a newer one took its place",
}
"""As they were written down until now."""


def upgrade() -> None:
    op.create_table(
        "hub_archives",
        sa.Column("bundle_digest", sa.String(71), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("bundle_digest", name=op.f("pk_hub_archives")),
    )
    with op.batch_alter_table("sync_uploads") as batch:
        batch.add_column(sa.Column("dropped", sa.String(32), nullable=True))
        batch.create_check_constraint(op.f("ck_sync_uploads_dropped"), "dropped IN ('same', 'theirs', 'replaced')")
    update = sa.text("UPDATE sync_uploads SET dropped = :reason WHERE state = 'dropped' AND error = :error")
    for reason, error in _REASONS.items():
        op.get_bind().execute(update, {"reason": reason, "error": error})


def downgrade() -> None:
    with op.batch_alter_table("sync_uploads") as batch:
        batch.drop_constraint(op.f("ck_sync_uploads_dropped"), type_="check")
        batch.drop_column("dropped")
    op.drop_table("hub_archives")
