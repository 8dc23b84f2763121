"""What the pool counts: places that sandboxes are of, claims of calls on them, and the slot that holds both."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from skillyard.ids import LockDigest, SkillVersionId
from skillyard.runtime.errors import RuntimeRefusalError
from skillyard.sandbox.sandbox import RunningSandbox

StartSandbox = Callable[[], Awaitable[RunningSandbox]]


@dataclass(frozen=True, slots=True)
class Place:
    """What a sandbox is of: a version with the lock it was started from.

    A version that is removed and installed again may have another lock, and what ran before must not serve it.
    """

    version: SkillVersionId
    lock: LockDigest


@dataclass(slots=True, eq=False)
class Claim:
    """One call's share in a place, from before its admission to its end."""

    place: Place
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: RuntimeRefusalError | None = None
    """Why the call was cut short, if it was."""
    sandbox: RunningSandbox | None = None
    """What is lent to the call now."""
    served: bool = False
    """Whether a sandbox was ever lent to it: only then can anything of it have run."""
    turn: int = 0
    """Its place in the order in which calls began to wait, over all slots."""
    waiter: asyncio.Future[RunningSandbox] | None = None


@dataclass(slots=True)
class Idle:
    """A sandbox that waits for calls, and since when on the monotonic clock."""

    sandbox: RunningSandbox
    since: float


@dataclass(slots=True, eq=False)
class Slot:
    """One place's share of the pool."""

    start: StartSandbox | None = None
    idle: list[Idle] = field(default_factory=list)
    busy: set[RunningSandbox] = field(default_factory=set)
    starts: set[asyncio.Task[None]] = field(default_factory=set)
    waiting: deque[Claim] = field(default_factory=deque)
    claims: set[Claim] = field(default_factory=set)
    start_failed: bool = False
    """The last start failed while others were there: none is tried before one of those is given back."""

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy) + len(self.starts)

    @property
    def empty(self) -> bool:
        return not (self.claims or self.size)

    @property
    def wants_start(self) -> bool:
        return len(self.waiting) > len(self.starts) and not (self.start_failed and self.size)

    def lend(self, sandbox: RunningSandbox) -> bool:
        """Give the sandbox to the call that waits longest; false where none waits."""
        while self.waiting:
            claim = self.waiting.popleft()
            if claim.waiter is not None and not claim.waiter.done():
                self.busy.add(sandbox)
                claim.sandbox, claim.served = sandbox, True
                claim.waiter.set_result(sandbox)
                return True
        return False

    def fail(self, error: Exception) -> None:
        """Tell every call that waits here that there is nothing to wait for."""
        for claim in self.waiting:
            if claim.waiter is not None and not claim.waiter.done():
                claim.waiter.set_exception(error)
        self.waiting.clear()

    def cut(self, claim: Claim, error: RuntimeRefusalError) -> RunningSandbox | None:
        """Mark a call as stopped and let it wait no longer; the sandbox it runs in is for the caller to stop."""
        claim.stopped = claim.stopped or error
        if claim.waiter is not None and not claim.waiter.done():
            claim.waiter.set_exception(claim.stopped)
            self.waiting.remove(claim)
        return claim.sandbox
