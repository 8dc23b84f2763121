"""Heads: what a hub signs about the state of its catalogue, so that a follower notices what is withheld from it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from skillyard.errors import MachineError
from skillyard.governance import signing
from skillyard.governance.signing import SigningKey
from skillyard.marketplace_sync.catalogue.documents import moment
from skillyard.marketplace_sync.catalogue.entry import canonical
from skillyard.marketplace_sync.catalogue.envelope import HEAD_TYPE, sign
from skillyard.marketplace_sync.catalogue.store import Catalogue

KEY_NAME = "hub.ed25519"
FRESH_SECONDS = 5.0
"""How long a signature is given out again for the same state."""


class HubKeyError(MachineError):
    """The key that this hub signs its heads with is not the one that its catalogue belongs to, or cannot be used."""

    code = "hub_key"


@dataclass(frozen=True, slots=True)
class SignedHead:
    """The state of the own catalogue at one moment, and the envelope that says so."""

    feed_id: str
    epoch: int
    seq: int
    envelope: str


def load_key(home: Path) -> SigningKey:
    """The hub's key, made at the first start in this home. Blocks. Raises ``HubKeyError``."""
    return signing.load_or_make(home / "keys" / KEY_NAME, HubKeyError)


class HeadSigner:
    """Signs the states that it is shown, and remembers the last for a moment: pages come many a second."""

    def __init__(self, key: SigningKey, *, seconds: float) -> None:
        """``seconds`` is how long a head counts."""
        self.key = key
        self._lifetime = timedelta(seconds=seconds)
        self._kept: tuple[float, tuple[object, ...], SignedHead] | None = None

    def sign(self, catalogue: Catalogue, *, now: datetime) -> SignedHead:
        """The head of a catalogue as it was read."""
        state = (catalogue.feed_id, catalogue.epoch, catalogue.seq, catalogue.moderation, catalogue.live)
        known = (*state, catalogue.digest)
        clock = time.monotonic()
        if self._kept is not None and self._kept[0] > clock and self._kept[1] == known:
            return self._kept[2]
        issued = moment(now)
        payload = canonical(
            {
                "feed_id": catalogue.feed_id,
                "epoch": catalogue.epoch,
                "seq": catalogue.seq,
                "moderation": catalogue.moderation,
                "live": catalogue.live,
                "digest": catalogue.digest_hex,
                "issued_at": _text(issued),
                "expires_at": _text(issued + self._lifetime),
            }
        )
        envelope = sign(HEAD_TYPE, payload.encode(), self.key)
        head = SignedHead(catalogue.feed_id, catalogue.epoch, catalogue.seq, envelope)
        self._kept = (clock + FRESH_SECONDS, known, head)
        return head


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
