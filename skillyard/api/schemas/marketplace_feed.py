"""What a follower reads. The pages themselves are written without these models, which only describe them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from skillyard.api.schemas.values import Body, View


class MarketplaceView(View):
    """Who a marketplace is. ``public_key`` is 32 bytes in hex: what its heads are signed with (Ed25519)."""

    protocol: str
    feed_id: str
    name: str
    public_key: str
    features: tuple[str, ...]


class SignatureView(View):
    keyid: str
    sig: str


class EnvelopeView(View):
    """A DSSE envelope. ``payload`` is base64 of what is signed together with ``payloadType``."""

    payloadType: str  # noqa: N815 - the name that DSSE gives it
    payload: str
    signatures: tuple[SignatureView, ...]


class EntryView(View):
    """One entry at its last change. ``document`` is JSON as text, byte for byte what ``sha256`` is over with the rest;
    null for a tombstone."""

    kind: str
    key: str
    seq: int
    rev: int
    sha256: str
    deleted: bool
    changed_at: datetime
    document: str | None


class FeedPageView(View):
    """A page of a feed or a snapshot, and the signed head of the same moment."""

    entries: tuple[EntryView, ...]
    cursor: str
    more: bool
    head: EnvelopeView


class PutBackRequest(Body):
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class PutBackView(View):
    """Where the feed stands now. Cursors of another epoch are gone."""

    epoch: int
    seq: int
