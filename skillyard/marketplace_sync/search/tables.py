"""The index over catalogues: one row a skill, its labels beside it. The full text itself is in what each engine offers
for it, see ``store``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from skillyard.database import Base, Key, UtcDateTime
from skillyard.marketplace_sync.catalogue.tables import KeyText


class ListingRow(Base):
    """A skill as search shows it: put together from its entries, and made anew whenever one of them changes."""

    __tablename__ = "listings"
    __table_args__ = (
        UniqueConstraint("catalogue_id", "key"),
        Index("ix_listings_catalogue_id_listed_updated_at_id", "catalogue_id", "listed", "updated_at", "id"),
        Index("ix_listings_catalogue_id_listed_installs_id", "catalogue_id", "listed", "installs", "id"),
        Index("ix_listings_catalogue_id_listed_rating_id", "catalogue_id", "listed", "rating", "id"),
        Index("ix_listings_catalogue_id_listed_name", "catalogue_id", "listed", "name"),
    )

    id: Mapped[int] = mapped_column(Key, primary_key=True)
    catalogue_id: Mapped[int] = mapped_column(Key, ForeignKey("catalogues.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(KeyText)
    """``publisher/name``."""
    publisher: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(KeyText)
    description: Mapped[str] = mapped_column(Text)
    listed: Mapped[bool] = mapped_column(Boolean)
    """Whether search shows it: moderation says nothing against it and a version of it can be had."""
    kind: Mapped[str | None] = mapped_column(String(32))
    verdict: Mapped[str | None] = mapped_column(String(16))
    latest: Mapped[str | None] = mapped_column(String(128))
    """The version that channel ``latest`` points to."""
    deprecated: Mapped[bool] = mapped_column(Boolean)
    stars: Mapped[int] = mapped_column(Key)
    """The sum of its ratings."""
    ratings: Mapped[int] = mapped_column(Key)
    rating: Mapped[float | None] = mapped_column(Float)
    """Their average; empty where there is none."""
    installs: Mapped[int] = mapped_column(Key)
    calls: Mapped[int] = mapped_column(Key)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ListingLabelRow(Base):
    """A value of a listing by which lists are narrowed: ``category``, ``topic``, ``ecosystem``."""

    __tablename__ = "listing_labels"
    __table_args__ = (Index("ix_listing_labels_catalogue_id_facet_value", "catalogue_id", "facet", "value"),)

    listing_id: Mapped[int] = mapped_column(
        Key, ForeignKey("listings.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    facet: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[str] = mapped_column(String(64), primary_key=True)
    catalogue_id: Mapped[int] = mapped_column(Key, ForeignKey("catalogues.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
