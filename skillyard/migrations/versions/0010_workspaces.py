"""Operators, the state and quotas of workspaces, and what a bundle takes on disk."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_WORKSPACE_STATES = "state IN ('active', 'suspended')"


def upgrade() -> None:
    _allow_roles("role IN ('admin', 'member', 'operator')")
    # Somebody has to be the first operator: whoever was the first admin of the first workspace.
    op.execute(
        "UPDATE persons SET role = 'operator' WHERE id = (SELECT min(persons.id) FROM persons "
        "JOIN workspaces ON workspaces.id = persons.workspace_id "
        "WHERE workspaces.name = 'default' AND persons.role = 'admin')"
    )
    _add_state()
    _add_quotas()
    _add_bundle_bytes()


def downgrade() -> None:
    with op.batch_alter_table("skill_versions") as versions:
        versions.drop_column("bundle_bytes")
    op.drop_table("call_counts")
    op.drop_table("workspace_quotas")
    with op.batch_alter_table("workspaces") as workspaces:
        workspaces.drop_constraint(op.f("ck_workspaces_state"), type_="check")
        workspaces.drop_column("state")
    op.execute("UPDATE persons SET role = 'admin' WHERE role = 'operator'")
    _allow_roles("role IN ('admin', 'member')")


def _allow_roles(check: str) -> None:
    with op.batch_alter_table("persons") as persons:
        persons.drop_constraint(op.f("ck_persons_role"), type_="check")
        persons.create_check_constraint(op.f("ck_persons_role"), check)


def _add_state() -> None:
    with op.batch_alter_table("workspaces") as workspaces:
        workspaces.add_column(sa.Column("state", sa.String(32), nullable=True))
    op.execute("UPDATE workspaces SET state = 'active'")
    with op.batch_alter_table("workspaces") as workspaces:
        workspaces.alter_column("state", existing_type=sa.String(32), nullable=False)
        workspaces.create_check_constraint(op.f("ck_workspaces_state"), _WORKSPACE_STATES)


def _add_quotas() -> None:
    quotas = (
        "quota IN ('calls_per_minute', 'calls_per_day', 'concurrent_calls', 'sandboxes', 'sandbox_memory_bytes', "
        "'storage_bytes', 'agents', 'skills')"
    )
    op.create_table(
        "workspace_quotas",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("quota", sa.String(32), nullable=False),
        sa.Column("most", sa.BigInteger(), nullable=False),
        sa.Column("set_at", _TIME, nullable=False),
        sa.CheckConstraint(quotas, name=op.f("ck_workspace_quotas_quota")),
        sa.CheckConstraint("most >= 0", name=op.f("ck_workspace_quotas_most")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_workspace_quotas_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "quota", name=op.f("pk_workspace_quotas")),
    )
    op.create_table(
        "call_counts",
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("span", sa.String(32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("span IN ('minute', 'day')", name=op.f("ck_call_counts_span")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_call_counts_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "span", name=op.f("pk_call_counts")),
    )


def _add_bundle_bytes() -> None:
    with op.batch_alter_table("skill_versions") as versions:
        versions.add_column(sa.Column("bundle_bytes", _KEY, nullable=True))
    rows = sa.table(
        "skill_versions", sa.column("id", _KEY), sa.column("skill_json", sa.Text()), sa.column("bundle_bytes", _KEY)
    )
    connection = op.get_bind()
    for key in connection.scalars(sa.select(rows.c.id)).all():
        text = connection.scalars(sa.select(rows.c.skill_json).where(rows.c.id == key)).one()
        size = json.loads(text)["bundle"]["size"]
        connection.execute(sa.update(rows).where(rows.c.id == key).values(bundle_bytes=size))
    with op.batch_alter_table("skill_versions") as versions:
        versions.alter_column("bundle_bytes", existing_type=_KEY, nullable=False)
