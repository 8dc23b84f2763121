"""What the pool counts: places that sandboxes are of, claims of calls on them, slots that hold both, and workspaces."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from skillyard.governance.quotas import NO_QUOTAS, Quotas
from skillyard.ids import LockDigest, SkillVersionId, WorkspaceId
from skillyard.runtime.capacity import Room, Share
from skillyard.runtime.counts import Tally
from skillyard.runtime.errors import RuntimeRefusalError
from skillyard.runtime.pace import Pace
from skillyard.sandbox.sandbox import RunningSandbox
from skillyard.skills.permissions import Granted

StartSandbox = Callable[[], Awaitable[RunningSandbox]]


@dataclass(frozen=True, slots=True)
class Place:
    """What a sandbox is of: a version with the lock it was started from.

    A version that is removed and installed again may have another lock, and what ran before must not serve it.
    """

    version: SkillVersionId
    lock: LockDigest
    workspace: WorkspaceId = field(compare=False)
    """Follows from the version."""


@dataclass(slots=True, eq=False)
class Claim:
    """One call's share in a place, from before its admission to its end."""

    slot: Slot
    stopped: RuntimeRefusalError | None = None
    """Why the call was cut short, if it was."""
    sandbox: RunningSandbox | None = None
    """What is lent to the call now."""
    served: bool = False
    """Whether a sandbox was ever lent to it: only then can anything of it have run."""
    turn: int = 0
    """Its place in the order in which calls began to wait, over all slots."""
    waiter: asyncio.Future[RunningSandbox] | None = None
    patience: asyncio.TimerHandle | None = None
    """Ends its waiting."""
    is_over: bool = False
    _watched: asyncio.Event | None = None

    @property
    def place(self) -> Place:
        return self.slot.place

    def end(self) -> None:
        self.is_over = True
        if self._watched is not None:
            self._watched.set()

    async def ended(self) -> None:
        """Wait for the call's end. Few calls are ever waited for, so what it takes is made here."""
        if not self.is_over:
            self._watched = self._watched or asyncio.Event()
            await self._watched.wait()


@dataclass(slots=True)
class Idle:
    """A sandbox that waits for calls, and since when on the monotonic clock."""

    sandbox: RunningSandbox
    since: float


@dataclass(slots=True, eq=False)
class Party:
    """A workspace's part in the pool."""

    share: Share
    hungry: dict[Slot, None] = field(default_factory=dict)
    """Its slots that calls wait at."""
    turn: int = 0
    """When one of its waiting calls was served last, in the order of all servings."""
    quotas: Quotas = NO_QUOTAS
    """The workspace's own, which ``share`` has its caps from."""
    tally: Tally = field(default_factory=Tally)
    pace: Pace = field(default_factory=Pace)


@dataclass(slots=True, eq=False)
class Slot:
    """One place's share of the pool."""

    place: Place
    party: Party
    granted: Granted
    room: Room
    start: StartSandbox | None = None
    idle: list[Idle] = field(default_factory=list)
    """The one used last comes last, and is lent first."""
    busy: set[RunningSandbox] = field(default_factory=set)
    starts: set[asyncio.Task[None]] = field(default_factory=set)
    waiting: deque[Claim] = field(default_factory=deque)
    claims: set[Claim] = field(default_factory=set)
    queued: int = 0
    """Calls that wait and that no sandbox is being started for."""
    retired: bool = False
    """Its version was replaced: nothing is kept ready here, until a call is lent a sandbox here again."""
    start_failed: bool = False
    """The last start failed while others were there: none is tried before one of those is given back."""

    @property
    def living(self) -> int:
        return len(self.idle) + len(self.busy) + len(self.starts)

    @property
    def empty(self) -> bool:
        return not (self.claims or self.living or self.room.place.present)

    @property
    def wants_start(self) -> bool:
        return len(self.waiting) > len(self.starts) and not (self.start_failed and self.living)

    @property
    def may_call(self) -> bool:
        return self.room.workspace.may_call and self.room.total.may_call

    def is_started_for(self, claim: Claim) -> bool:
        """Whether a sandbox is being started for a call that waits here: the first in line get the first ones."""
        return claim in self.waiting and self.waiting.index(claim) < len(self.starts)
