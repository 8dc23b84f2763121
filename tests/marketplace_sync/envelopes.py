"""Signed envelopes as whoever trusts one key opens them."""

from __future__ import annotations

from skillyard.governance.signing import PublicKey
from skillyard.marketplace_sync.catalogue.envelope import parse_envelope


def opened(text: str, payload_type: str, key: PublicKey) -> bytes | None:
    """The payload; ``None`` where it is not signed by this key."""
    envelope = parse_envelope(text, payload_type)
    return None if envelope.verified_by((key,)) is None else envelope.payload
