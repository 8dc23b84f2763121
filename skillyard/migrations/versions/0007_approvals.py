"""Approvals: more ends than yes and no, what was given, and webhooks that tell of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)

_STATES = "state IN ('pending', 'approved', 'denied', 'revoked', 'expired', 'withdrawn')"
_STATES_BEFORE = "state IN ('pending', 'approved', 'denied', 'revoked')"


def upgrade() -> None:
    with op.batch_alter_table("approval_requests") as requests:
        requests.add_column(sa.Column("min_maturity", sa.SmallInteger(), nullable=True))
        requests.add_column(sa.Column("approved_until", _TIME, nullable=True))
        requests.add_column(sa.Column("second_person", sa.Boolean(), nullable=True))
        requests.add_column(sa.Column("split_from_id", _KEY, nullable=True))
        requests.add_column(sa.Column("expiry_announced_at", _TIME, nullable=True))
        requests.create_foreign_key(
            op.f("fk_approval_requests_split_from_id"),
            "approval_requests",
            ["split_from_id"],
            ["id"],
            ondelete="RESTRICT",
        )
        requests.drop_constraint(op.f("ck_approval_requests_state"), type_="check")
        requests.create_check_constraint(op.f("ck_approval_requests_state"), _STATES)
        requests.create_check_constraint(op.f("ck_approval_requests_min_maturity"), "min_maturity IN (0, 1, 2, 3)")
    op.create_index(op.f("ix_approval_requests_split_from_id"), "approval_requests", ["split_from_id"], unique=False)
    op.create_index("ix_approval_requests_state_created_at", "approval_requests", ["state", "created_at"])
    op.create_index("ix_approval_requests_state_approved_until", "approval_requests", ["state", "approved_until"])
    _fill_in()
    _webhooks()
    _webhook_deliveries()


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
    # An older version knows neither state; both are ends without an approval, and so is a denial by nobody.
    op.execute("UPDATE approval_requests SET state = 'denied' WHERE state IN ('expired', 'withdrawn')")
    op.drop_index("ix_approval_requests_state_approved_until", "approval_requests")
    op.drop_index("ix_approval_requests_state_created_at", "approval_requests")
    op.drop_index(op.f("ix_approval_requests_split_from_id"), "approval_requests")
    with op.batch_alter_table("approval_requests") as requests:
        requests.drop_constraint(op.f("ck_approval_requests_min_maturity"), type_="check")
        requests.drop_constraint(op.f("ck_approval_requests_state"), type_="check")
        requests.create_check_constraint(op.f("ck_approval_requests_state"), _STATES_BEFORE)
        requests.drop_constraint(op.f("fk_approval_requests_split_from_id"), type_="foreignkey")
        for column in ("expiry_announced_at", "split_from_id", "second_person", "approved_until", "min_maturity"):
            requests.drop_column(column)


def _fill_in() -> None:
    """What is known of approvals from before: their rules say until when and for whom. Of the second person only the
    audit log knows, so that the column stays empty for them."""
    op.execute("UPDATE approval_requests SET state = 'withdrawn' WHERE state = 'denied' AND decided_by_id IS NULL")
    for column, value in (("approved_until", "min(expires_at)"), ("min_maturity", "min(min_maturity)")):
        op.execute(
            f"UPDATE approval_requests SET {column} = (SELECT {value} FROM package_rules "  # noqa: S608 - both are ours
            "WHERE package_rules.approval_id = approval_requests.id) WHERE state IN ('approved', 'revoked')"
        )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("secret", sa.String(200), nullable=False),
        sa.Column("events", sa.String(500), nullable=False),
        sa.Column("created_by_id", _KEY, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("removed_at", _TIME, nullable=True),
        sa.CheckConstraint("removed_at IS NULL OR secret = ''", name=op.f("ck_webhooks_removed_without_secret")),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["persons.id"], name=op.f("fk_webhooks_created_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_webhooks_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_created_by_id"), "webhooks", ["created_by_id"], unique=False)
    op.create_index(op.f("ix_webhooks_workspace_id"), "webhooks", ["workspace_id"], unique=False)


def _webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("webhook_id", _KEY, nullable=False),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("next_attempt_at", _TIME, nullable=False),
        sa.Column("counted_from", _TIME, nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=True),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(500), nullable=True),
        sa.CheckConstraint("(state = 'waiting') = (ended_at IS NULL)", name=op.f("ck_webhook_deliveries_ended")),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_state")),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_webhook_deliveries_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("message_id", name=op.f("uq_webhook_deliveries_message_id")),
    )
    table = "webhook_deliveries"
    waiting = sa.text("state = 'waiting'")
    op.create_index(op.f("ix_webhook_deliveries_webhook_id"), table, ["webhook_id"], unique=False)
    op.create_index(
        "ix_webhook_deliveries_workspace_id_webhook_id_id", table, ["workspace_id", "webhook_id", "id"], unique=False
    )
    op.create_index("ix_webhook_deliveries_state_ended_at", table, ["state", "ended_at"], unique=False)
    op.create_index(
        "ix_webhook_deliveries_waiting_next_attempt_at",
        table,
        ["next_attempt_at"],
        unique=False,
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
