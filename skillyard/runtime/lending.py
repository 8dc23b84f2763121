"""Who gets which sandbox: taking one, waiting for one, giving one back, and serving those who wait.

The way of a call that finds a sandbox ready is short and waits for nothing. All else happens only where calls wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from skillyard.governance.quotas import Quota, QuotaExceededError
from skillyard.runtime.capacity import Share
from skillyard.runtime.errors import QueueFullError, QueueTimeoutError, RuntimeRefusalError, SandboxTooLargeError
from skillyard.runtime.ledger import Ledger
from skillyard.runtime.line import Line, in_turn, least_recently_used, longest_unused
from skillyard.runtime.slots import Claim, Idle, Party, Slot, StartSandbox
from skillyard.runtime.stock import Stock
from skillyard.sandbox.sandbox import RunningSandbox

_log = structlog.get_logger("skillyard.pool")


class Lender:
    """Lends the sandboxes of a stock. ``used`` hears of every slot whose sandbox was given back.

    ``unwanted_start`` hears of a start that failed and that no call had asked for.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        wait_seconds: float,
        used: Callable[[Slot], None],
        unwanted_start: Callable[[Slot], None],
    ) -> None:
        self._ledger = ledger
        self._wait_seconds = wait_seconds
        self._used = used
        self._unwanted_start = unwanted_start
        self._line = Line(ledger.total)
        self.stock = Stock(ready=self._ready, ended=self._start_ended, changed=self._changed)
        self._closed = False

    @property
    def anybody_waits(self) -> bool:
        return bool(self._line)

    def close(self) -> None:
        """Serve nobody any more, and keep nothing that is given back."""
        self._closed = True

    def cut(self, claim: Claim, error: RuntimeRefusalError) -> None:
        """Mark a call as stopped and let it wait no longer; the sandbox it runs in is for the caller to stop."""
        claim.stopped = claim.stopped or error
        if claim.waiter is not None and not claim.waiter.done():
            claim.waiter.set_exception(claim.stopped)
            self._line.leave(claim)

    # Taking and giving back

    async def take(self, claim: Claim, start: StartSandbox) -> RunningSandbox:
        """A sandbox for a call; raises what ``Pool.lease`` says."""
        if claim.stopped is not None:
            raise claim.stopped
        slot = claim.slot
        slot.start, slot.retired = start, False
        while slot.idle and not slot.waiting and slot.may_call:
            sandbox = slot.idle.pop().sandbox
            if sandbox.alive:
                self._lend(slot, claim, sandbox)
                return sandbox
            self.stock.let_go(slot, sandbox)
        return await self._wait(slot, claim)

    def give_back(self, claim: Claim, sandbox: RunningSandbox) -> None:
        slot, party, now = claim.slot, claim.slot.party, time.monotonic()
        claim.sandbox = None
        slot.busy.discard(sandbox)
        slot.start_failed = False
        party.share.calls -= 1
        self._ledger.total.calls -= 1
        party.tally.calls += 1
        party.pace.note(now)
        self._ledger.pace.note(now)
        if slot.granted.single_use or claim.stopped is not None or not self._keeps(slot, sandbox):
            self.stock.let_go(slot, sandbox)
        else:
            slot.idle.append(Idle(sandbox, now))
            self._trim(party)
        if self._line:
            self.serve()
        self._used(slot)

    def _keeps(self, slot: Slot, sandbox: RunningSandbox) -> bool:
        """Whether a sandbox that nobody has may stand ready, or serve who waits."""
        return sandbox.alive and not self._closed and (bool(slot.waiting) or not slot.retired)

    def _lend(self, slot: Slot, claim: Claim, sandbox: RunningSandbox) -> None:
        slot.busy.add(sandbox)
        slot.party.share.calls += 1
        self._ledger.total.calls += 1
        claim.sandbox, claim.served = sandbox, True

    # Waiting

    async def _wait(self, slot: Slot, claim: Claim) -> RunningSandbox:
        if (cap := slot.room.too_small_cap) is not None:
            needed, own = slot.room.memory_bytes, slot.party.quotas.of(Quota.SANDBOX_MEMORY)
            if own == cap:
                raise QuotaExceededError(Quota.SANDBOX_MEMORY, limit=own, used=0, wanted=needed)
            raise SandboxTooLargeError(needed=needed, cap=cap)
        loop = asyncio.get_running_loop()
        claim.waiter = loop.create_future()
        queued = slot.queued
        self._line.join(claim)
        self.serve()
        if slot.queued > queued and not claim.waiter.done():
            # It waits for others. A call that a sandbox is started for is not in the queue: it waits for nobody.
            self._refuse_if_overfull(claim)
        claim.patience = loop.call_later(self._wait_seconds, self._waited_long, claim)
        try:
            return await claim.waiter
        except asyncio.CancelledError:
            # A sandbox may have been lent to a caller who left in the same turn of the loop.
            if claim.sandbox is not None:
                self.give_back(claim, claim.sandbox)
            else:
                self._line.leave(claim)
            raise
        finally:
            claim.patience.cancel()

    def _refuse_if_overfull(self, claim: Claim) -> None:
        party = claim.slot.party
        for share, pace in ((party.share, party.pace), (self._ledger.total, self._ledger.pace)):
            if share.overfull:
                self._line.leave(claim)
                party.tally.queue_full += 1
                retry_after = pace.seconds_for(share.queued, time.monotonic())
                raise QueueFullError(waiting=share.queued, retry_after=retry_after)

    def _waited_long(self, claim: Claim) -> None:
        if claim.waiter is None or claim.waiter.done():
            return
        slot, party = claim.slot, claim.slot.party
        if slot.is_started_for(claim):
            # A start has limits of its own. Should it fail, this looks again.
            loop = asyncio.get_running_loop()
            claim.patience = loop.call_later(self._wait_seconds, self._waited_long, claim)
            return
        retry_after = party.pace.seconds_for(party.share.queued, time.monotonic())
        self._line.leave(claim)
        party.tally.queue_timeouts += 1
        claim.waiter.set_exception(QueueTimeoutError(limit=self._wait_seconds, retry_after=retry_after))
        # The room that was kept for it may be what others wait for.
        self.serve()

    def fit(self, party: Party) -> None:
        """After a workspace's caps changed: stop what is idle beyond them, and serve those that there is room for now.

        What is busy or starting is in its own time: it is stopped then, where it is still beyond them.
        """
        self._trim(party)
        self.stock.look_again()
        self.serve()

    def _trim(self, party: Party) -> None:
        while party.share.overcommitted and (victim := longest_unused(self._ledger.slots_of(party))) is not None:
            slot, item = victim
            party.tally.evictions += 1
            self.stock.drop(slot, [item])

    # Serving those who wait

    def serve(self) -> None:
        """Give waiting calls what there is, each workspace in its turn, until nothing more can be given."""
        passed: set[Party] = set()
        room = True
        while not self._closed and (party := self._line.next(passed)) is not None:
            served, room = self._serve_one(party, room)
            if served:
                self._line.served(party)
            else:
                passed.add(party)

    def _serve_one(self, party: Party, room: bool) -> tuple[bool, bool]:
        """Serve the workspace's first call that can be; whether one was, and whether anybody may still take room.

        Where the first in turn waits for room of all, nobody behind it gets any: what is freed adds up for it.
        """
        own_room = True
        for slot in in_turn(party):
            if not slot.may_call:
                break
            if self._lend_idle(slot):
                return True, room
            if not slot.wants_start or not slot.room.place.has_room(slot.room.memory_bytes):
                continue
            own_room = own_room and self._make_room(slot, party.share)
            if own_room and room:
                room = self._make_room(slot, self._ledger.total)
                if room and slot.start is not None:
                    self.stock.start(slot, slot.start, promised=True)
                    return True, room
        return False, room

    def _lend_idle(self, slot: Slot) -> bool:
        while slot.idle and slot.waiting:
            item = slot.idle.pop()
            if not item.sandbox.alive:
                self.stock.let_go(slot, item.sandbox)
            elif self._lend_on(slot, item.sandbox):
                return True
            else:
                slot.idle.append(item)
        return False

    def _lend_on(self, slot: Slot, sandbox: RunningSandbox) -> bool:
        """Lend a sandbox to the call that waits longest for one of its place; false where none waits."""
        claim = self._line.pop(slot)
        if claim is None or claim.waiter is None:
            return False
        self._lend(slot, claim, sandbox)
        claim.waiter.set_result(sandbox)
        return True

    def _make_room(self, slot: Slot, share: Share) -> bool:
        """Whether there is room for one more at this level, after evicting what may be evicted for it."""
        while not share.has_room(slot.room.memory_bytes):
            everywhere = share is self._ledger.total
            slots = [other for other in self._ledger.slots if everywhere or other.party is slot.party]
            victim = least_recently_used(slots, slot)
            if victim is None:
                return False
            holder, item = victim
            holder.party.tally.evictions += 1
            self.stock.drop(holder, [item])
        return True

    # What the stock tells

    def _ready(self, slot: Slot, sandbox: RunningSandbox) -> None:
        """A sandbox was started. It goes to those who wait for it before anybody can take its room from them."""
        slot.start_failed = False
        slot.party.tally.starts += 1
        if not self._keeps(slot, sandbox):
            self.stock.let_go(slot, sandbox)
        elif not (slot.may_call and self._lend_on(slot, sandbox)):
            slot.idle.append(Idle(sandbox, time.monotonic()))
            self._trim(slot.party)
        self.serve()

    def _start_ended(self, slot: Slot, error: Exception | None, promised: bool) -> None:
        if error is not None:
            slot.party.tally.start_failures += 1
            if promised and not slot.living:
                self._line.fail(slot, error)
            else:
                _log.error("sandbox_start_failed", error=str(error))
            if promised:
                slot.start_failed = True
            else:
                self._unwanted_start(slot)
        self._ledger.forget(slot)
        self.serve()

    def _changed(self, slot: Slot) -> None:
        self._line.recount(slot)
        self._ledger.forget(slot)
