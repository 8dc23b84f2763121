"""What listings are found by, in tables that are the same on both engines."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import orjson
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SEARCHED = sa.Text().with_variant(TSVECTOR(), "postgresql")
_KEY_TEXT = sa.String(300).with_variant(sa.String(300, collation="C"), "postgresql")


def upgrade() -> None:
    """What listings are found by is made from their entries when a server starts (``SearchIndex.mend``)."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE listing_names")
        op.execute("DROP TABLE listing_texts")
    op.drop_table("listing_words")
    op.create_table(
        "listing_postings",
        sa.Column("catalogue_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("term", _KEY_TEXT, nullable=False),
        sa.Column("block", _KEY, autoincrement=False, nullable=False),
        sa.Column("bits", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_listing_postings_catalogue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("catalogue_id", "term", "block", name=op.f("pk_listing_postings")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE listing_postings ALTER COLUMN bits SET STORAGE PLAIN")
    op.create_table(
        "listing_terms",
        sa.Column("listing_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["listing_id"], ["listings.id"], name=op.f("fk_listing_terms_listing_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("listing_id", name=op.f("pk_listing_terms")),
    )
    op.create_table(
        "listing_unsettled",
        sa.Column("listing_id", _KEY, autoincrement=False, nullable=False),
        sa.Column("catalogue_id", _KEY, nullable=False),
        sa.Column("posted", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalogue_id"], ["catalogues.id"], name=op.f("fk_listing_unsettled_catalogue_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("listing_id", name=op.f("pk_listing_unsettled")),
    )
    op.create_index(
        "ix_listing_unsettled_catalogue_id_listing_id",
        "listing_unsettled",
        ["catalogue_id", "listing_id"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("listing_unsettled")
    op.drop_table("listing_terms")
    op.drop_table("listing_postings")
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
    sqlite = op.get_bind().dialect.name == "sqlite"
    _fill(_INSERT if sqlite else _INSERT_VECTORS)
    if not sqlite:
        op.execute("CREATE INDEX ix_listing_words_head ON listing_words USING gin (head)")
        op.execute("CREATE INDEX ix_listing_words_body ON listing_words USING gin (body)")
        op.execute("CREATE INDEX ix_listing_words_name ON listing_words USING gin (name gin_trgm_ops)")
        return
    op.execute(
        "CREATE VIRTUAL TABLE listing_texts USING fts5(head, body, labels, content='listing_words', "
        "content_rowid='listing_id', tokenize='porter unicode61 remove_diacritics 2')"
    )
    op.execute(
        "CREATE VIRTUAL TABLE listing_names USING fts5(name, content='listing_words', content_rowid='listing_id', "
        "tokenize='trigram', detail='none')"
    )
    op.execute("INSERT INTO listing_texts (listing_texts) VALUES ('rebuild')")
    op.execute("INSERT INTO listing_names (listing_names) VALUES ('rebuild')")


def _fill(insert: sa.TextClause) -> None:
    """The words of all listings, as the release before this one writes them."""
    bind, after = op.get_bind(), 0
    while found := bind.execute(_LISTED, {"after": after}).all():
        bind.execute(insert, [_words(*row) for row in found])
        after = found[-1][0]


def _words(id_: int, key: str, labels: str, document: str) -> dict[str, object]:
    said = orjson.loads(document)
    publisher, _, name = key.partition("/")
    head = " ".join((name, publisher, *said.get("topics", ()), *said.get("categories", ())))
    pairs = [one.partition(":") for one in labels.split("|") if one]
    return {
        "listing_id": id_,
        "name": name,
        "head": _distinct(head),
        "body": _distinct(f"{said['description']} {said.get('body', '')}"),
        "labels": " ".join(
            "z" + hashlib.sha256(f"{facet}:{value}".encode()).hexdigest()[:15] for facet, _, value in pairs
        ),
    }


def _distinct(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text)
    folded = "".join(one for one in parts if not unicodedata.combining(one)).casefold()
    return " ".join(dict.fromkeys(one[:64] for one in re.findall(r"[^\W_]+", folded)))


_LISTED = sa.text(
    "SELECT listings.id, listings.key, listings.labels, entry.document FROM listings JOIN catalogue_entries AS entry "
    "ON entry.catalogue_id = listings.catalogue_id AND entry.kind = 'skill' AND entry.key = listings.key "
    "WHERE listings.id > :after AND listings.listed = TRUE AND entry.document IS NOT NULL "
    "ORDER BY listings.id LIMIT 1000"
)
_INSERT = sa.text(
    "INSERT INTO listing_words (listing_id, name, head, body, labels) "
    "VALUES (:listing_id, :name, :head, :body, :labels)"
)
_INSERT_VECTORS = sa.text(
    "INSERT INTO listing_words (listing_id, name, head, body, labels) VALUES (:listing_id, :name, "
    "to_tsvector('english', :head), to_tsvector('english', :head || ' ' || :body) || to_tsvector('simple', :labels), "
    ":labels)"
).bindparams(*(sa.bindparam(one, type_=sa.Text) for one in ("name", "head", "body", "labels")))
