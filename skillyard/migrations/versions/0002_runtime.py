"""Runtime: installed skills and their versions, pointer moves, invocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _skills()
    _skill_versions()
    _pointer_moves()
    _invocations()
    if op.get_bind().dialect.supports_alter:
        # SQLite made this half of the circle with the table; it cannot add one later, and does not mind the order.
        op.create_foreign_key(
            "fk_skills_active_version_id",
            "skills",
            "skill_versions",
            ["active_version_id"],
            ["id"],
            ondelete="RESTRICT",
        )


def downgrade() -> None:
    if op.get_bind().dialect.supports_alter:
        op.drop_constraint("fk_skills_active_version_id", "skills", type_="foreignkey")
    op.drop_table("invocations")
    op.drop_table("pointer_moves")
    op.drop_table("skill_versions")
    op.drop_table("skills")


def _skills() -> None:
    op.create_table(
        "skills",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("publisher", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("active_version_id", _KEY, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["active_version_id"],
            ["skill_versions.id"],
            name="fk_skills_active_version_id",
            ondelete="RESTRICT",
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_skills_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skills")),
        sa.UniqueConstraint("workspace_id", "publisher", "name", name=op.f("uq_skills_workspace_id_publisher_name")),
    )
    op.create_index(op.f("ix_skills_active_version_id"), "skills", ["active_version_id"], unique=False)


def _skill_versions() -> None:
    op.create_table(
        "skill_versions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("skill_id", _KEY, nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("bundle_digest", sa.String(71), nullable=False),
        sa.Column("lock_digest", sa.String(71), nullable=False),
        sa.Column("lock_json", sa.Text(), nullable=False),
        sa.Column("report_json", sa.Text(), nullable=False),
        sa.Column("skill_json", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("origin_commit", sa.String(64), nullable=True),
        sa.Column("installed_by_id", _KEY, nullable=True),
        sa.Column("installed_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('held', 'active', 'quarantined', 'revoked', 'removed')", name=op.f("ck_skill_versions_state")
        ),
        sa.ForeignKeyConstraint(
            ["installed_by_id"], ["persons.id"], name=op.f("fk_skill_versions_installed_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["skill_id"], ["skills.id"], name=op.f("fk_skill_versions_skill_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_skill_versions_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skill_versions")),
        sa.UniqueConstraint("skill_id", "version", name=op.f("uq_skill_versions_skill_id_version")),
    )
    op.create_index(op.f("ix_skill_versions_bundle_digest"), "skill_versions", ["bundle_digest"], unique=False)
    op.create_index(op.f("ix_skill_versions_installed_by_id"), "skill_versions", ["installed_by_id"], unique=False)
    op.create_index(op.f("ix_skill_versions_lock_digest"), "skill_versions", ["lock_digest"], unique=False)
    op.create_index(
        op.f("ix_skill_versions_workspace_id_state"), "skill_versions", ["workspace_id", "state"], unique=False
    )


def _pointer_moves() -> None:
    op.create_table(
        "pointer_moves",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("skill_id", _KEY, nullable=False),
        sa.Column("from_version_id", _KEY, nullable=True),
        sa.Column("to_version_id", _KEY, nullable=True),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor_kind", sa.String(32), nullable=False),
        sa.Column("actor_id", _KEY, nullable=True),
        sa.CheckConstraint("actor_kind IN ('person', 'agent', 'system')", name=op.f("ck_pointer_moves_actor_kind")),
        sa.ForeignKeyConstraint(
            ["from_version_id"],
            ["skill_versions.id"],
            name=op.f("fk_pointer_moves_from_version_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["skill_id"], ["skills.id"], name=op.f("fk_pointer_moves_skill_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["to_version_id"], ["skill_versions.id"], name=op.f("fk_pointer_moves_to_version_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_pointer_moves_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pointer_moves")),
    )
    op.create_index(op.f("ix_pointer_moves_from_version_id"), "pointer_moves", ["from_version_id"], unique=False)
    op.create_index(op.f("ix_pointer_moves_skill_id_id"), "pointer_moves", ["skill_id", "id"], unique=False)
    op.create_index(op.f("ix_pointer_moves_to_version_id"), "pointer_moves", ["to_version_id"], unique=False)
    op.create_index(op.f("ix_pointer_moves_workspace_id"), "pointer_moves", ["workspace_id"], unique=False)


def _invocations() -> None:
    op.create_table(
        "invocations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("agent_id", _KEY, nullable=True),
        sa.Column("person_id", _KEY, nullable=True),
        sa.Column("skill_version_id", _KEY, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("epoch", _KEY, nullable=False),
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=True),
        sa.Column("wall_seconds", sa.Float(), nullable=True),
        sa.Column("cpu_seconds", sa.Float(), nullable=True),
        sa.Column("peak_memory_bytes", _KEY, nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.CheckConstraint("(state = 'accepted') = (ended_at IS NULL)", name=op.f("ck_invocations_ended")),
        sa.CheckConstraint(
            "state IN ('accepted', 'succeeded', 'failed', 'timed_out', 'out_of_memory', 'process_limit', "
            "'output_limit', 'disk_full', 'cancelled', 'killed', 'lost', 'refused')",
            name=op.f("ck_invocations_state"),
        ),
        sa.CheckConstraint("(person_id IS NULL) <> (agent_id IS NULL)", name=op.f("ck_invocations_one_caller")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_invocations_agent_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.id"], name=op.f("fk_invocations_person_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["skill_version_id"],
            ["skill_versions.id"],
            name=op.f("fk_invocations_skill_version_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_invocations_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invocations")),
    )
    op.create_index(op.f("ix_invocations_agent_id"), "invocations", ["agent_id"], unique=False)
    op.create_index(
        op.f("ix_invocations_open_instance_id"),
        "invocations",
        ["instance_id"],
        unique=False,
        sqlite_where=sa.text("state = 'accepted'"),
        postgresql_where=sa.text("state = 'accepted'"),
    )
    op.create_index(op.f("ix_invocations_person_id"), "invocations", ["person_id"], unique=False)
    op.create_index(op.f("ix_invocations_skill_version_id"), "invocations", ["skill_version_id"], unique=False)
    op.create_index(
        op.f("ix_invocations_workspace_id_started_at_id"),
        "invocations",
        ["workspace_id", "started_at", "id"],
        unique=False,
    )
