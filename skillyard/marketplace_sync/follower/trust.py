"""Whether a head is one that may follow what was believed before. Pure.

A feed that goes back was put back (rollback), one whose head is out of date is kept from us (freeze), another feed
under the same address is a mix-up. Each is an error that people see.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from skillyard.marketplace_sync.errors import FeedTrustError
from skillyard.marketplace_sync.follower.values import Believed
from skillyard.marketplace_sync.remotes.remote import Head

SKEW = timedelta(minutes=5)
"""How far the clocks of two machines may be apart."""


def check_fresh(head: Head, *, now: datetime) -> None:
    """Raises ``FeedTrustError`` for a head that is out of date. That may heal by itself: it contradicts nothing."""
    if head.expires_at < now - SKEW:
        raise FeedTrustError(
            f"its head expired at {head.expires_at.isoformat()} (freeze): nothing newer is let through, "
            "or the clock of one of the two machines is wrong"
        )


def goes_on(head: Head, believed: Believed | None, *, pinned: str | None) -> bool:
    """Whether the feed goes on from what was believed; false where its operator put another state in its place and
    said so by a higher epoch, so that everything has to be read again.

    Raises ``FeedTrustError`` for a head that contradicts what was believed.
    """
    if pinned is not None and head.public_key != pinned:
        raise FeedTrustError(
            f"its head is signed by another key ({head.public_key[:16]}…) than the one that is pinned",
            offered_key=head.public_key,
        )
    if believed is None:
        return True
    if head.feed_id != believed.feed_id:
        raise FeedTrustError(f"another feed ({head.feed_id}) answers in the place of {believed.feed_id} (mix-up)")
    if head.epoch != believed.epoch:
        if head.epoch < believed.epoch:
            raise FeedTrustError(f"its epoch went back from {believed.epoch} to {head.epoch} (rollback)")
        return False
    if head.seq < believed.seq:
        raise FeedTrustError(f"its feed went back from {believed.seq} to {head.seq} (rollback)")
    if head.moderation < believed.moderation:
        raise FeedTrustError(
            f"what its moderators said went back from {believed.moderation} to {head.moderation} (rollback)"
        )
    return True


def believed_of(head: Head) -> Believed:
    return Believed(head.feed_id, head.epoch, head.seq, head.moderation, head.issued_at)
