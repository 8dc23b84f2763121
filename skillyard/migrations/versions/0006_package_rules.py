"""Package rules of the whole instance, and requests for packages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_PENDING = sa.text("state = 'pending'")

_BANS_FOR_EVERY_WORKSPACE = """
INSERT INTO package_rules (
    workspace_id, ecosystem, name, specifier, state, min_maturity, expires_at, reason, hashes, created_at
)
SELECT workspaces.id, ecosystem, package_rules.name, specifier, package_rules.state, min_maturity, expires_at, reason,
    hashes, package_rules.created_at
FROM package_rules CROSS JOIN workspaces
WHERE package_rules.workspace_id IS NULL AND package_rules.state = 'banned' AND package_rules.revoked_at IS NULL
"""


def upgrade() -> None:
    with op.batch_alter_table("package_rules") as rules:
        rules.alter_column("workspace_id", existing_type=_KEY, nullable=True)
        rules.create_check_constraint(
            op.f("ck_package_rules_approved_in_a_workspace"), "workspace_id IS NOT NULL OR approval_id IS NULL"
        )
    _package_requests()


def downgrade() -> None:
    op.drop_table("package_requests")
    # An older version knows no global rules. Their bans go on in every workspace; their approvals end.
    op.execute(_BANS_FOR_EVERY_WORKSPACE)
    op.execute("DELETE FROM package_rules WHERE workspace_id IS NULL")
    with op.batch_alter_table("package_rules") as rules:
        rules.drop_constraint(op.f("ck_package_rules_approved_in_a_workspace"), type_="check")
        rules.alter_column("workspace_id", existing_type=_KEY, nullable=False)


def _package_requests() -> None:
    op.create_table(
        "package_requests",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("ecosystem", sa.String(32), nullable=False),
        sa.Column("name", sa.String(214), nullable=False),
        sa.Column("version", sa.String(256), nullable=False),
        sa.Column("hashes", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by_agent_id", _KEY, nullable=True),
        sa.Column("requested_by_person_id", _KEY, nullable=True),
        sa.Column("requesting_owner_id", _KEY, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("rule_id", _KEY, nullable=True),
        sa.Column("decided_by_id", _KEY, nullable=True),
        sa.Column("decided_at", _TIME, nullable=True),
        sa.Column("second_person", sa.Boolean(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("ecosystem IN ('pypi', 'npm')", name=op.f("ck_package_requests_ecosystem")),
        sa.CheckConstraint("state IN ('pending', 'approved', 'denied')", name=op.f("ck_package_requests_state")),
        sa.CheckConstraint(
            "(requested_by_agent_id IS NULL) <> (requested_by_person_id IS NULL)",
            name=op.f("ck_package_requests_one_requester"),
        ),
        sa.CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name=op.f("ck_package_requests_decided")),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{table}.id"], name=op.f(f"fk_package_requests_{column}"), ondelete="RESTRICT"
            )
            for column, table in (
                ("workspace_id", "workspaces"),
                ("requested_by_agent_id", "agents"),
                ("requested_by_person_id", "persons"),
                ("requesting_owner_id", "persons"),
                ("rule_id", "package_rules"),
                ("decided_by_id", "persons"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_package_requests")),
    )
    op.create_index(
        "ix_package_requests_workspace_id_state_id", "package_requests", ["workspace_id", "state", "id"], unique=False
    )
    op.create_index(
        "uq_package_requests_pending",
        "package_requests",
        ["workspace_id", "ecosystem", "name", "version"],
        unique=True,
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    for column in (
        "requested_by_agent_id",
        "requested_by_person_id",
        "requesting_owner_id",
        "rule_id",
        "decided_by_id",
    ):
        op.create_index(op.f(f"ix_package_requests_{column}"), "package_requests", [column], unique=False)
