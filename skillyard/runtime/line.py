"""The line of calls that wait for a sandbox: first come, first served at each place, and fair between workspaces.

Fair means: what becomes free goes to the waiting workspace that has the least in use, and among equals to the one
that was served longest ago. A workspace that has nothing yet is so passed over at most once by each other one that
has nothing either, however many calls anybody sends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import count

from skillyard.runtime.capacity import Share
from skillyard.runtime.slots import Claim, Idle, Party, Slot


class Line:
    """Keeps what waits, and how much of it nothing is started for."""

    def __init__(self, total: Share) -> None:
        self._total = total
        self._hungry: dict[Party, None] = {}
        self._turns = count(1)

    def __bool__(self) -> bool:
        return bool(self._hungry)

    def join(self, claim: Claim) -> None:
        slot = claim.slot
        claim.turn = next(self._turns)
        slot.waiting.append(claim)
        slot.party.hungry[slot] = None
        self._hungry[slot.party] = None
        self.recount(slot)

    def leave(self, claim: Claim) -> None:
        """Nothing happens for a call that does not wait any more."""
        if claim in claim.slot.waiting:
            claim.slot.waiting.remove(claim)
            self.recount(claim.slot)

    def pop(self, slot: Slot) -> Claim | None:
        """The call that waits longest at a slot; ``None`` where none waits."""
        found = None
        while slot.waiting and found is None:
            claim = slot.waiting.popleft()
            if claim.waiter is not None and not claim.waiter.done():
                found = claim
        self.recount(slot)
        return found

    def fail(self, slot: Slot, error: Exception) -> None:
        """Tell every call that waits at a slot that there is nothing to wait for."""
        while (claim := self.pop(slot)) is not None:
            assert claim.waiter is not None, "what is popped has a waiter"  # noqa: S101 - invariant
            claim.waiter.set_exception(error)

    def recount(self, slot: Slot) -> None:
        """After anything that changed how many wait at a slot, or are started for it."""
        queued = max(0, len(slot.waiting) - len(slot.starts))
        for share in (slot.room.workspace, self._total):
            share.queued += queued - slot.queued
        slot.queued = queued
        if not slot.waiting:
            slot.party.hungry.pop(slot, None)
            if not slot.party.hungry:
                self._hungry.pop(slot.party, None)

    def next(self, passed: Collection[Party]) -> Party | None:
        """The workspace whose turn it is, of those that wait and were not passed over already."""
        return min(
            (party for party in self._hungry if party not in passed),
            key=lambda party: (party.share.in_use, party.turn),
            default=None,
        )

    def served(self, party: Party) -> None:
        party.turn = next(self._turns)


def in_turn(party: Party) -> list[Slot]:
    """The places of a workspace that calls wait at, the longest wait first."""
    return sorted(party.hungry, key=lambda slot: slot.waiting[0].turn)


def longest_unused(slots: Iterable[Slot]) -> tuple[Slot, Idle] | None:
    """The idle sandbox that was used least lately; ``None`` where none is idle."""
    idle = [(slot.idle[0].since, index, slot) for index, slot in enumerate(slots) if slot.idle]
    if not idle:
        return None
    slot = min(idle)[2]
    return slot, slot.idle[0]


def least_recently_used(slots: Iterable[Slot], wanting: Slot) -> tuple[Slot, Idle] | None:
    """The idle sandbox that goes where ``wanting`` needs its room; ``None`` where none may be taken."""
    ready = [(slot.idle[0].since, index, slot) for index, slot in enumerate(slots) if slot.idle and slot is not wanting]
    for _, _, slot in sorted(ready):
        if _gives_way(slot, wanting):
            return slot, slot.idle[0]
    return None


def _gives_way(holder: Slot, wanting: Slot) -> bool:
    """Whether a sandbox that stands ready is taken from those who hold it.

    Always, where nobody waits for it. Where its own calls wait, handing its room on costs a start each time: it is
    done for a place or workspace that has nothing at all, and until workspaces have about the same.
    """
    if not holder.waiting or not holder.may_call:
        return True
    if holder.party is wanting.party:
        return not wanting.living and wanting.waiting[0].turn < holder.waiting[0].turn
    theirs = wanting.party.share.in_use
    return theirs == 0 or theirs < holder.party.share.in_use
