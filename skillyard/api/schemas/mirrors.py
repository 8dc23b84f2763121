"""Mirrors of remotes: how fresh they are, what could not be taken, whose signatures are believed."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from skillyard.api.schemas.remotes import KeyText
from skillyard.api.schemas.values import Body, View
from skillyard.marketplace_sync.follower.values import MirrorPhase


class MirrorView(View):
    """What is known here of a remote's catalogue, and as of when."""

    remote: str
    phase: MirrorPhase | None = Field(
        description="`feed` once the whole catalogue was read; null before the first run."
    )
    feed_id: str
    epoch: int
    seq: int = Field(description="The number of the remote's feed up to which it was read.")
    head_seq: int | None = Field(description="The number of the last signed head that was believed.")
    live: int
    counts: dict[str, int] = Field(description="Live entries by kind.")
    without_document: int = Field(description="Entries that the filters keep out; only their hash is here.")
    set_aside: int
    words: int = Field(description="Moderators' words that stop something, also those that are not repeated any more.")
    as_of: datetime | None = Field(description="When the remote issued the head that the mirror was last read to.")
    checked_at: datetime | None = Field(description="When the mirror was last found equal to a signed head.")
    succeeded_at: datetime | None


class SetAsideView(View):
    """Something that came and could not be taken. `document` is as received, cut to a length."""

    id: int
    kind: str
    key: str
    seq: int
    reason: str
    document: str
    first_at: datetime
    last_at: datetime
    tries: int


class SignerView(View):
    """The key that a publisher's versions have to be signed with here; `accepted_by` is null for the first seen."""

    publisher: str
    key: str
    accepted_at: datetime
    accepted_by: int | None


class AcceptSignerRequest(Body):
    key: KeyText
