"""What search answers, and what a catalogue says of one skill."""

from __future__ import annotations

from datetime import datetime

from skillyard.api.schemas.values import View


class MirrorView(View):
    """How fresh a mirror is. ``as_of`` is the end of the last sync that succeeded; null: there was none yet."""

    remote: str
    state: str
    as_of: datetime | None
    tried_at: datetime | None
    error: str | None


class ListingView(View):
    """A skill as search shows it. ``rating`` is the average of ``ratings`` many; null where nobody rated it."""

    skill: str
    publisher: str
    name: str
    description: str
    version: str | None
    kind: str | None
    verdict: str | None
    deprecated: bool
    rating: float | None
    ratings: int
    installs: int
    calls: int
    updated_at: datetime
    categories: tuple[str, ...]
    topics: tuple[str, ...]
    ecosystems: tuple[str, ...]


class FacetValueView(View):
    value: str
    count: int


class FacetView(View):
    """How many matches have each value. ``stars`` counts what is rated so well or better."""

    name: str
    values: tuple[FacetValueView, ...]


class SearchView(View):
    """A page of matches.

    ``total`` and facets count all of them. ``cut``: more names begin with the text than were looked at. ``similar``:
    names that only resemble the text are among them. ``mirror`` is null for the own catalogue.
    """

    items: tuple[ListingView, ...]
    next_cursor: str | None
    total: int
    facets: tuple[FacetView, ...]
    cut: bool
    similar: bool
    mirror: MirrorView | None


class DeprecationView(View):
    reason: str
    successor: str | None


class StandingView(View):
    """What moderators said, taken together with what they said of the publisher and the skill."""

    state: str
    stops: bool
    reason: str


class VersionView(View):
    """An immutable version. ``stops``: what is installed of it must not run any more. ``lock`` and ``scanned_at`` are
    null where its marketplace resolves and scans nothing."""

    version: str
    bundle: str
    bundle_bytes: int
    files: int
    lock: str | None
    kind: str
    ecosystems: tuple[str, ...]
    packages: int
    verdict: str
    scanned_at: datetime | None
    published_at: datetime
    signed: bool
    moderation: StandingView


class SkillDetailView(View):
    """What its publisher says of a skill, what moderators made of it, and its figures. ``listing`` is null for what
    search does not show; ``latest`` where channel ``latest`` has no version here."""

    skill: str
    rev: int
    description: str
    license: str | None
    topics: tuple[str, ...]
    categories: tuple[str, ...]
    channels: dict[str, str]
    deprecated: DeprecationView | None
    body: str
    updated_at: datetime
    moderation: StandingView
    listing: ListingView | None
    latest: VersionView | None
    mirror: MirrorView | None


class RatingView(View):
    """One rater's word. ``origin`` is the instance that it was given at."""

    origin: str
    rater: str
    author: str
    stars: int
    review: str
    at: datetime
