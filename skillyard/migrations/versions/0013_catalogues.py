"""Catalogues, the index over them, and what a hub keeps beside its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from skillyard.database.errors import DatabaseError

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_SEARCHED = sa.Text().with_variant(TSVECTOR(), "postgresql")
_KEY_TEXT = sa.String(300).with_variant(sa.String(300, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "hub_pushes",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("sender", sa.String(100), nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("body_sha256", sa.String(64), nullable=False),
        sa.Column("result_json", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_pushes")),
        sa.UniqueConstraint("sender", "item", name=op.f("uq_hub_pushes_sender_item")),
    )
    op.create_index("ix_hub_pushes_at", "hub_pushes", ["at"], unique=False)
    op.create_table(
        "bundle_stops",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=True),
        sa.Column("bundle_digest", sa.String(71), nullable=False),
        sa.Column("source", sa.String(100), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.CheckConstraint(
            "state IN ('held', 'active', 'quarantined', 'revoked', 'removed')", name=op.f("ck_bundle_stops_state")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_bundle_stops_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bundle_stops")),
    )
    op.create_index(op.f("ix_bundle_stops_bundle_digest"), "bundle_stops", ["bundle_digest"], unique=False)
    op.create_index(op.f("ix_bundle_stops_workspace_id"), "bundle_stops", ["workspace_id"], unique=False)
    op.create_table(
        "catalogues",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=True),
        sa.Column("feed_id", sa.String(36), nullable=False),
        sa.Column("epoch", _KEY, nullable=False),
        sa.Column("seq", _KEY, nullable=False),
        sa.Column("horizon", _KEY, nullable=False),
        sa.Column("moderation", _KEY, nullable=False),
        sa.Column("live", _KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.String(64), nullable=True),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_catalogues_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalogues")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_catalogues_workspace_id"), "catalogues", ["workspace_id"], unique=False)
    op.create_table(
        "hub_versions",
        sa.Column("key", _KEY_TEXT, nullable=False),
        sa.Column("bundle_digest", sa.String(71), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("skill_json", sa.Text(), nullable=False),
        sa.Column("lock_json", sa.Text(), nullable=False),
        sa.Column("report_json", sa.Text(), nullable=False),
        sa.Column("published_by", sa.String(100), nullable=False),
        sa.Column("published_at", _TIME, nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_hub_versions_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_hub_versions")),
    )
    op.create_index(op.f("ix_hub_versions_bundle_digest"), "hub_versions", ["bundle_digest"], unique=False)
    op.create_index(op.f("ix_hub_versions_workspace_id"), "hub_versions", ["workspace_id"], unique=False)
    op.create_table(
        "catalogue_entries",
        sa.Column("catalogue_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", _KEY_TEXT, nullable=False),
        sa.Column("seq", _KEY, nullable=False),
        sa.Column("rev", _KEY, nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.CheckConstraint(
            "kind IN ('publisher', 'category', 'skill', 'version', 'moderation', 'rating', 'counts')",
            name=op.f("ck_catalogue_entries_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_catalogue_entries_catalogue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("catalogue_id", "kind", "key", name=op.f("pk_catalogue_entries")),
    )
    op.create_index("ix_catalogue_entries_catalogue_id_seq", "catalogue_entries", ["catalogue_id", "seq"], unique=False)
    op.create_table(
        "hub_files",
        sa.Column("version_key", _KEY_TEXT, nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", _KEY, nullable=False),
        sa.Column("executable", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_key"], ["hub_versions.key"], name=op.f("fk_hub_files_version_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_key", "path", name=op.f("pk_hub_files")),
    )
    op.create_index("ix_hub_files_sha256", "hub_files", ["sha256"], unique=False)
    op.create_table(
        "hub_namespaces",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("created_by_id", _KEY, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["persons.id"], name=op.f("fk_hub_namespaces_created_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_hub_namespaces_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hub_namespaces")),
    )
    op.create_index(op.f("ix_hub_namespaces_created_by_id"), "hub_namespaces", ["created_by_id"], unique=False)
    op.create_index(op.f("ix_hub_namespaces_workspace_id"), "hub_namespaces", ["workspace_id"], unique=False)
    op.create_table(
        "hub_tokens",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("workspace_id", _KEY, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(100), nullable=False),
        sa.Column("created_by_id", _KEY, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.Column("replaced_by_id", _KEY, nullable=True),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("first_id", _KEY, nullable=True),
        sa.Column("origin", sa.String(64), nullable=True),
        sa.ForeignKeyConstraint(
            ["first_id"], ["hub_tokens.id"], name=op.f("fk_hub_tokens_first_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["persons.id"], name=op.f("fk_hub_tokens_created_by_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["replaced_by_id"], ["hub_tokens.id"], name=op.f("fk_hub_tokens_replaced_by_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_hub_tokens_workspace_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hub_tokens")),
    )
    op.create_index(op.f("ix_hub_tokens_created_by_id"), "hub_tokens", ["created_by_id"], unique=False)
    op.create_index(op.f("ix_hub_tokens_first_id"), "hub_tokens", ["first_id"], unique=False)
    op.create_index(op.f("ix_hub_tokens_origin"), "hub_tokens", ["origin"], unique=False)
    op.create_index(op.f("ix_hub_tokens_replaced_by_id"), "hub_tokens", ["replaced_by_id"], unique=False)
    op.create_index(op.f("ix_hub_tokens_workspace_id"), "hub_tokens", ["workspace_id"], unique=False)
    op.create_table(
        "listings",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("catalogue_id", _KEY, nullable=False),
        sa.Column("key", _KEY_TEXT, nullable=False),
        sa.Column("publisher", sa.String(64), nullable=False),
        sa.Column("name", _KEY_TEXT, nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=True),
        sa.Column("verdict", sa.String(16), nullable=True),
        sa.Column("latest", sa.String(128), nullable=True),
        sa.Column("deprecated", sa.Boolean(), nullable=False),
        sa.Column("stars", _KEY, nullable=False),
        sa.Column("ratings", _KEY, nullable=False),
        sa.Column("average", sa.Float(), nullable=False),
        sa.Column("installs", _KEY, nullable=False),
        sa.Column("calls", _KEY, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_listings_catalogue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_listings")),
        sa.UniqueConstraint("catalogue_id", "key", name=op.f("uq_listings_catalogue_id_key")),
    )
    for sorted_by in ("average", "installs", "name", "updated_at"):
        op.create_index(
            f"ix_listings_catalogue_id_listed_{sorted_by}_id",
            "listings",
            ["catalogue_id", "listed", sorted_by, "id"],
            unique=False,
        )
    op.create_table(
        "listing_facets",
        sa.Column("catalogue_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("facet", sa.String(16), nullable=False),
        sa.Column("value", sa.String(64), nullable=False),
        sa.Column("count", _KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_listing_facets_catalogue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("catalogue_id", "facet", "value", name=op.f("pk_listing_facets")),
    )
    op.create_index(
        "ix_listing_facets_catalogue_id_facet_count", "listing_facets", ["catalogue_id", "facet", "count"], unique=False
    )
    op.create_table(
        "listing_words",
        sa.Column("listing_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("name", _KEY_TEXT, nullable=False),
        sa.Column("head", _SEARCHED, nullable=False),
        sa.Column("body", _SEARCHED, nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.id"], name=op.f("fk_listing_words_listing_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("listing_id", name=op.f("pk_listing_words")),
    )
    if op.get_bind().dialect.name == "postgresql":
        _need_trigrams()
        op.execute("CREATE INDEX ix_listing_words_head ON listing_words USING gin (head)")
        op.execute("CREATE INDEX ix_listing_words_body ON listing_words USING gin (body)")
        op.execute("CREATE INDEX ix_listing_words_name ON listing_words USING gin (name gin_trgm_ops)")
    else:
        op.execute(
            "CREATE VIRTUAL TABLE listing_texts USING fts5(head, body, labels, content='listing_words', "
            "content_rowid='listing_id', tokenize='porter unicode61 remove_diacritics 2')"
        )
        op.execute(
            "CREATE VIRTUAL TABLE listing_names USING fts5(name, content='listing_words', content_rowid='listing_id', "
            "tokenize='trigram', detail='none')"
        )


def _need_trigrams() -> None:
    """Trusted since PostgreSQL 13: who may create in the database may create it, where the server has it at all."""
    bind = op.get_bind()
    try:
        with bind.begin_nested():
            bind.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except sa.exc.DBAPIError as error:
        raise DatabaseError(
            "PostgreSQL's extension pg_trgm is needed and could not be created: install the server's contrib package "
            "(Debian: part of postgresql), give our role CREATE on the database, or have a superuser run "
            f"CREATE EXTENSION pg_trgm in it ({str(error.orig)[:200]})"
        ) from error


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE listing_names")
        op.execute("DROP TABLE listing_texts")
    op.drop_table("listing_words")
    op.drop_table("listing_facets")
    op.drop_table("listings")
    op.drop_table("hub_tokens")
    op.drop_table("hub_namespaces")
    op.drop_table("hub_files")
    op.drop_table("catalogue_entries")
    op.drop_table("hub_versions")
    op.drop_table("catalogues")
    op.drop_table("bundle_stops")
    op.drop_table("hub_pushes")
