"""The kind of a remote is the name of the plug-in that speaks to it, and no longer one of three."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BUILT_IN = "kind IN ('skillyard', 'well_known', 'claude')"


def upgrade() -> None:
    last = _last_id()
    with op.batch_alter_table("remotes", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("ck_remotes_kind"), type_="check")
        batch.alter_column("kind", existing_type=sa.String(32), type_=sa.String(64), existing_nullable=False)
    _go_on_from(last)


def downgrade() -> None:
    # Fails where there is a remote of another kind: it is to be removed first.
    last = _last_id()
    with op.batch_alter_table("remotes", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("kind", existing_type=sa.String(64), type_=sa.String(32), existing_nullable=False)
        batch.create_check_constraint(op.f("ck_remotes_kind"), _BUILT_IN)
    _go_on_from(last)


def _last_id() -> int | None:
    """The highest number that a remote ever had, where SQLite keeps it beside a table that is about to be copied."""
    if op.get_bind().dialect.name != "sqlite":
        return None
    return op.get_bind().execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'remotes'")).scalar()


def _go_on_from(last: int | None) -> None:
    if last is None:
        return
    connection = op.get_bind()
    connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name IN ('remotes', '_alembic_tmp_remotes')"))
    connection.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('remotes', :seq)"), {"seq": last})
