"""The index over catalogues: one row a skill, beside it what it is found by, and for each term who has it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DDL, Boolean, Float, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, UtcDateTime
from skillyard.marketplace_sync.catalogue.tables import KeyText


class ListingRow(Base):
    """A skill as search shows it: put together from its entries, and made anew whenever one of them changes.

    Ids begin with the catalogue's (``store.first_id``); the rest is the listing's number, by which sets of listings are
    kept.
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


class TermsRow(Base):
    """What a listing that search shows is found by now (``listings.found_by``)."""

    __tablename__ = "listing_terms"

    listing_id: Mapped[int] = mapped_column(
        Key, ForeignKey("listings.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    terms: Mapped[str] = mapped_column(Text)


class PostingRow(Base):
    """Which listings of a block of a catalogue's have a term (``bits``); and the rows of ``marks``."""

    __tablename__ = "listing_postings"

    catalogue_id: Mapped[int] = mapped_column(
        Key, ForeignKey("catalogues.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    term: Mapped[str] = mapped_column(KeyText, primary_key=True)
    block: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    bits: Mapped[bytes] = mapped_column(LargeBinary)


class UnsettledRow(Base):
    """A listing whose terms changed since postings were written. Search reads its terms themselves.

    A listing that is gone has a row here and no other one, until it is out of the postings too.
    """

    __tablename__ = "listing_unsettled"
    __table_args__ = (Index("ix_listing_unsettled_catalogue_id_listing_id", "catalogue_id", "listing_id"),)

    listing_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    catalogue_id: Mapped[int] = mapped_column(Key, ForeignKey("catalogues.id", ondelete="CASCADE"))
    posted: Mapped[str] = mapped_column(Text)
    """The terms under which postings have it."""


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


# Blocks are kept as they are and where they are: compressing bits costs more than it saves, moving them elsewhere too.
_INLINE = DDL("ALTER TABLE listing_postings ALTER COLUMN bits SET STORAGE PLAIN")  # type: ignore[no-untyped-call]
event.listen(PostingRow.__table__, "after_create", _INLINE.execute_if(dialect="postgresql"))
