"""Remotes, what goes up to them, conflicts with them, and the jobs that keep up with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "remotes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("catalogue_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("token", sa.String(512), nullable=True),
        sa.Column("filters_json", sa.Text(), nullable=False),
        sa.Column("strategy", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("live_wanted", sa.Boolean(), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=True),
        sa.Column("offered_key", sa.String(64), nullable=True),
        sa.Column("head_json", sa.Text(), nullable=True),
        sa.Column("resync", sa.Boolean(), nullable=False),
        sa.Column("tried_at", _TIME, nullable=True),
        sa.Column("succeeded_at", _TIME, nullable=True),
        sa.Column("failures", _KEY, nullable=False),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("created_by_id", _KEY, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.CheckConstraint("kind IN ('skillyard', 'well_known', 'claude')", name=op.f("ck_remotes_kind")),
        sa.CheckConstraint("state IN ('enabled', 'disabled', 'distrusted')", name=op.f("ck_remotes_state")),
        sa.CheckConstraint(
            "strategy IN ('remote_wins', 'local_wins', 'merge', 'manual')", name=op.f("ck_remotes_strategy")
        ),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_remotes_catalogue_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["persons.id"], name=op.f("fk_remotes_created_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_remotes_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remotes")),
        sa.UniqueConstraint("catalogue_id", name=op.f("uq_remotes_catalogue_id")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_remotes_workspace_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_remotes_created_by_id"), "remotes", ["created_by_id"], unique=False)
    op.create_table(
        "remote_set_aside",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("remote_id", _KEY, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("seq", _KEY, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("first_at", _TIME, nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("tries", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_remote_set_aside_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_remote_set_aside_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remote_set_aside")),
        sa.UniqueConstraint("remote_id", "kind", "key", name=op.f("uq_remote_set_aside_remote_id_kind_key")),
    )
    op.create_index("ix_remote_set_aside_workspace_id_id", "remote_set_aside", ["workspace_id", "id"], unique=False)
    op.create_table(
        "remote_signers",
        sa.Column("remote_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("publisher", sa.String(64), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("accepted_at", _TIME, nullable=False),
        sa.Column("accepted_by_id", _KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["accepted_by_id"], ["persons.id"], name=op.f("fk_remote_signers_accepted_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_remote_signers_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_remote_signers_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("remote_id", "publisher", name=op.f("pk_remote_signers")),
    )
    op.create_index(op.f("ix_remote_signers_accepted_by_id"), "remote_signers", ["accepted_by_id"], unique=False)
    op.create_index(op.f("ix_remote_signers_workspace_id"), "remote_signers", ["workspace_id"], unique=False)
    op.create_table(
        "remote_mirrors",
        sa.Column("remote_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("cursor", sa.String(1000), nullable=True),
        sa.Column("filters_json", sa.Text(), nullable=False),
        sa.Column("feed_id", sa.String(36), nullable=True),
        sa.Column("epoch", _KEY, nullable=True),
        sa.Column("seq", _KEY, nullable=True),
        sa.Column("moderation", _KEY, nullable=True),
        sa.Column("issued_at", _TIME, nullable=True),
        sa.Column("checked_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "phase IN ('marking', 'snapshot', 'sweeping', 'feed')", name=op.f("ck_remote_mirrors_phase")
        ),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_remote_mirrors_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_remote_mirrors_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("remote_id", name=op.f("pk_remote_mirrors")),
    )
    op.create_index(op.f("ix_remote_mirrors_workspace_id"), "remote_mirrors", ["workspace_id"], unique=False)
    op.create_table(
        "remote_words",
        sa.Column("remote_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("epoch", _KEY, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('visible', 'yanked', 'held', 'quarantined', 'revoked', 'deleted')",
            name=op.f("ck_remote_words_state"),
        ),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_remote_words_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_remote_words_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("remote_id", "key", name=op.f("pk_remote_words")),
    )
    op.create_index("ix_remote_words_workspace_id", "remote_words", ["workspace_id"], unique=False)
    op.create_table(
        "sync_jobs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=True),
        sa.Column("remote_id", _KEY, nullable=True),
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("next_at", _TIME, nullable=True),
        sa.Column("claimed_by", sa.String(36), nullable=True),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.Column("live_asked_at", _TIME, nullable=True),
        sa.CheckConstraint("job IN ('catalogue', 'uploads', 'advisories')", name=op.f("ck_sync_jobs_job")),
        sa.ForeignKeyConstraint(["remote_id"], ["remotes.id"], name=op.f("fk_sync_jobs_remote_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sync_jobs_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_jobs")),
        sa.UniqueConstraint("job", "remote_id", name=op.f("uq_sync_jobs_job_remote_id")),
    )
    op.create_index(op.f("ix_sync_jobs_remote_id"), "sync_jobs", ["remote_id"], unique=False)
    op.create_index(op.f("ix_sync_jobs_workspace_id"), "sync_jobs", ["workspace_id"], unique=False)
    op.create_table(
        "sync_uploads",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("remote_id", _KEY, nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("base_rev", _KEY, nullable=True),
        sa.Column("base_json", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("manifest_json", sa.Text(), nullable=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("attempts", _KEY, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("counted_from", _TIME, nullable=False),
        sa.Column("claimed_by", sa.String(36), nullable=True),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("created_by", sa.String(100), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "kind IN ('version', 'skill', 'rating', 'counts', 'yank')", name=op.f("ck_sync_uploads_kind")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'conflict', 'dead', 'sent', 'dropped')", name=op.f("ck_sync_uploads_state")
        ),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_sync_uploads_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sync_uploads_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_uploads")),
        sa.UniqueConstraint("item", name=op.f("uq_sync_uploads_item")),
    )
    op.create_index("ix_sync_uploads_remote_id_kind_key", "sync_uploads", ["remote_id", "kind", "key"], unique=False)
    op.create_index(
        "ix_sync_uploads_remote_id_state_next_at", "sync_uploads", ["remote_id", "state", "next_at"], unique=False
    )
    op.create_index("ix_sync_uploads_workspace_id_id", "sync_uploads", ["workspace_id", "id"], unique=False)
    op.create_table(
        "sync_conflicts",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("remote_id", _KEY, nullable=False),
        sa.Column("upload_id", _KEY, nullable=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("base_json", sa.Text(), nullable=True),
        sa.Column("local_json", sa.Text(), nullable=False),
        sa.Column("remote_json", sa.Text(), nullable=False),
        sa.Column("remote_rev", _KEY, nullable=False),
        sa.Column("result_json", sa.Text(), nullable=True),
        sa.Column("strategy", sa.String(32), nullable=True),
        sa.Column("resolved_by", sa.String(100), nullable=True),
        sa.Column("detected_at", _TIME, nullable=False),
        sa.Column("resolved_at", _TIME, nullable=True),
        sa.CheckConstraint(
            "kind IN ('version', 'content', 'dependency', 'metadata')", name=op.f("ck_sync_conflicts_kind")
        ),
        sa.CheckConstraint("state IN ('open', 'resolved')", name=op.f("ck_sync_conflicts_state")),
        sa.CheckConstraint(
            "strategy IN ('remote_wins', 'local_wins', 'merge', 'manual')", name=op.f("ck_sync_conflicts_strategy")
        ),
        sa.CheckConstraint("severity IN (1, 2, 3, 4)", name=op.f("ck_sync_conflicts_severity")),
        sa.ForeignKeyConstraint(
            ["remote_id"], ["remotes.id"], name=op.f("fk_sync_conflicts_remote_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["sync_uploads.id"], name=op.f("fk_sync_conflicts_upload_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sync_conflicts_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_conflicts")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_sync_conflicts_fingerprint")),
    )
    op.create_index(op.f("ix_sync_conflicts_remote_id"), "sync_conflicts", ["remote_id"], unique=False)
    op.create_index(op.f("ix_sync_conflicts_upload_id"), "sync_conflicts", ["upload_id"], unique=False)
    op.create_index(
        "ix_sync_conflicts_workspace_id_state_id", "sync_conflicts", ["workspace_id", "state", "id"], unique=False
    )
    op.create_table(
        "sync_runs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=True),
        sa.Column("job_id", _KEY, nullable=False),
        sa.Column("trigger", sa.String(32), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("counts_json", sa.Text(), nullable=False),
        sa.Column("error", sa.String(500), nullable=True),
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.CheckConstraint("state IN ('running', 'succeeded', 'failed', 'lost')", name=op.f("ck_sync_runs_state")),
        sa.CheckConstraint("trigger IN ('schedule', 'live', 'manual')", name=op.f("ck_sync_runs_trigger")),
        sa.ForeignKeyConstraint(["job_id"], ["sync_jobs.id"], name=op.f("fk_sync_runs_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_sync_runs_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_runs")),
    )
    op.create_index("ix_sync_runs_job_id_id", "sync_runs", ["job_id", "id"], unique=False)
    op.create_index("ix_sync_runs_state", "sync_runs", ["state"], unique=False)
    op.create_index(op.f("ix_sync_runs_workspace_id"), "sync_runs", ["workspace_id"], unique=False)


def downgrade() -> None:
    op.drop_table("sync_runs")
    op.drop_table("sync_conflicts")
    op.drop_table("sync_uploads")
    op.drop_table("sync_jobs")
    op.drop_table("remote_words")
    op.drop_table("remote_mirrors")
    op.drop_table("remote_signers")
    op.drop_table("remote_set_aside")
    op.drop_table("remotes")
