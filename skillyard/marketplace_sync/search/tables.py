"""The index over catalogues: one row a skill, beside it what is looked for in it. The full text itself is in what each
engine offers for it: FTS5 tables over these rows on SQLite, ``tsvector`` and trigram indexes on PostgreSQL."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DDL, Boolean, Float, ForeignKey, Index, String, Text, UniqueConstraint, event
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, UtcDateTime
from skillyard.marketplace_sync.catalogue.tables import KeyText

_Searched = Text().with_variant(TSVECTOR(), "postgresql")


class ListingRow(Base):
    """A skill as search shows it: put together from its entries, and made anew whenever one of them changes.

    Ids begin with the catalogue's (``store.first_id``), so that those of one catalogue are a range.
    """

    __tablename__ = "listings"
    __table_args__ = (
        UniqueConstraint("catalogue_id", "key"),
        Index("ix_listings_catalogue_id_listed_updated_at_id", "catalogue_id", "listed", "updated_at", "id"),
        Index("ix_listings_catalogue_id_listed_installs_id", "catalogue_id", "listed", "installs", "id"),
        Index("ix_listings_catalogue_id_listed_average_id", "catalogue_id", "listed", "average", "id"),
        Index("ix_listings_catalogue_id_listed_name_id", "catalogue_id", "listed", "name", "id"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    catalogue_id: Mapped[int] = mapped_column(Key, ForeignKey("catalogues.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(KeyText)
    """``publisher/name``."""
    publisher: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(KeyText)
    listed: Mapped[bool] = mapped_column(Boolean)
    """Whether search shows it: moderation says nothing against it and a version of it can be had."""
    labels: Mapped[str] = mapped_column(Text)
    """By what lists are narrowed, as ``|category:data|kind:python|``; ``stars`` for every number reached."""
    kind: Mapped[str | None] = mapped_column(String(32))
    verdict: Mapped[str | None] = mapped_column(String(16))
    latest: Mapped[str | None] = mapped_column(String(128))
    """The version that channel ``latest`` points to."""
    deprecated: Mapped[bool] = mapped_column(Boolean)
    stars: Mapped[int] = mapped_column(Key)
    """The sum of its ratings."""
    ratings: Mapped[int] = mapped_column(Key)
    average: Mapped[float] = mapped_column(Float)
    """By which lists are sorted: their average, or -1 where there is none, which is nobody's business but the
    index'."""
    installs: Mapped[int] = mapped_column(Key)
    calls: Mapped[int] = mapped_column(Key)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    description: Mapped[str] = mapped_column(Text)


class ListingWordsRow(Base):
    """What is looked for in a listing that search shows: words on SQLite, which its FTS5 tables index; their vectors
    on PostgreSQL, where ``body`` holds those of ``head`` and the labels too."""

    __tablename__ = "listing_words"

    listing_id: Mapped[int] = mapped_column(
        Key, ForeignKey("listings.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(KeyText)
    head: Mapped[str] = mapped_column(_Searched)
    """Name, publisher, topics, categories."""
    body: Mapped[str] = mapped_column(_Searched)
    """Description and the beginning of SKILL.md."""
    labels: Mapped[str] = mapped_column(Text)


class ListingFacetRow(Base):
    """How many listings that search shows have a value, over a whole catalogue; kept as they change."""

    __tablename__ = "listing_facets"
    __table_args__ = (Index("ix_listing_facets_catalogue_id_facet_count", "catalogue_id", "facet", "count"),)

    catalogue_id: Mapped[int] = mapped_column(
        Key, ForeignKey("catalogues.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    facet: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(Key)


_TEXTS = (
    "CREATE VIRTUAL TABLE listing_texts USING fts5(head, body, labels, content='listing_words', "
    "content_rowid='listing_id', tokenize='porter unicode61 remove_diacritics 2')"
)
_NAMES = (
    "CREATE VIRTUAL TABLE listing_names USING fts5(name, content='listing_words', content_rowid='listing_id', "
    "tokenize='trigram', detail='none')"
)
_VECTORS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_listing_words_head ON listing_words USING gin (head)",
    "CREATE INDEX ix_listing_words_body ON listing_words USING gin (body)",
    "CREATE INDEX ix_listing_words_name ON listing_words USING gin (name gin_trgm_ops)",
)
for _engine, _statement in (("sqlite", _TEXTS), ("sqlite", _NAMES), *(("postgresql", one) for one in _VECTORS)):
    # What only one engine has, and no model of SQLAlchemy's says; the migration makes the same.
    _made = DDL(_statement).execute_if(dialect=_engine)  # type: ignore[no-untyped-call]
    event.listen(ListingWordsRow.__table__, "after_create", _made)
