"""Held calls that wait for their approval: who waits for what, for how long, and what wakes them.

A call that waits holds a connection and what its client sent, and nothing of the pool. What it waits for may be decided
in any process, so the database is asked, once for all who wait; what woke a call decides nothing, it is decided anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from skillyard.database import Database
from skillyard.errors import InputError
from skillyard.governance import approval_store, epoch
from skillyard.governance.decision import ApprovalState
from skillyard.ids import ApprovalId, Epoch, InvocationId, WorkspaceId
from skillyard.runtime.errors import QueueError, ShuttingDownError
from skillyard.times import utcnow

LOOK_SECONDS = 0.5
"""How often the database is asked while anybody waits."""


class TooManyWaitingError(QueueError):
    """Too many calls of this workspace wait for an approval already; the request is made, call again once it is
    decided."""

    code = "too_many_waiting"

    def __init__(self, approval: ApprovalId, *, waiting: int) -> None:
        self.approval = approval
        message = f"{waiting} calls wait for approvals already; call again once request {approval} is decided"
        super().__init__(message, retry_after=None)


@dataclass(frozen=True, slots=True)
class Held:
    """A call that waits for ``approval``, at most until ``until``."""

    invocation: InvocationId
    approval: ApprovalId
    until: datetime


OnHeld = Callable[[Held], None]


def unheld(_held: Held) -> None:
    """For callers who need not know that their call waits."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One waiting call. ``seen`` is the rules epoch at which it was last found held."""

    workspace: WorkspaceId
    deadline: float
    """On the event loop's clock."""
    until: datetime
    approval: ApprovalId | None = None
    seen: Epoch | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class WaitingRoom:
    """Everybody of this process who waits. ``look`` has to be called now and then; ``close`` sends all away."""

    def __init__(
        self, *, database: Database, longest: float, most_per_workspace: int, require_lease: Callable[[], None]
    ) -> None:
        """``longest`` in seconds. ``require_lease`` raises where this process may have been taken for dead."""
        self._database = database
        self._longest = longest
        self._most = most_per_workspace
        self._require_lease = require_lease
        self._waiters: set[Waiter] = set()
        self._count: Counter[WorkspaceId] = Counter()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiters)

    def check(self, seconds: float) -> None:
        """Raises ``InputError`` for a wait that is longer than any may be."""
        if seconds > self._longest:
            raise InputError(f"a call may wait {self._longest:g} s at most here", field="wait_for_approval")

    @contextmanager
    def place(self, workspace: WorkspaceId, approval: ApprovalId, seconds: float) -> Iterator[Waiter]:
        """A place to wait in, given back at the end. Raises ``TooManyWaitingError``."""
        if self._count[workspace] >= self._most:
            raise TooManyWaitingError(approval, waiting=self._count[workspace])
        deadline = asyncio.get_running_loop().time() + seconds
        waiter = Waiter(workspace, deadline, utcnow() + timedelta(seconds=seconds))
        self._waiters.add(waiter)
        self._count[workspace] += 1
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)
            self._count[workspace] -= 1
            self._count += Counter()  # forgets workspaces of which nobody waits

    async def changed(self, waiter: Waiter, approval: ApprovalId, *, seen: Epoch) -> bool:
        """Wait until the request is decided, or anything else changed that a decision rests on; false at the deadline.

        ``seen`` is the epoch of the Hold. Raises ``ShuttingDownError``, and ``LeaseLapsedError`` before the caller may
        decide again.
        """
        waiter.approval, waiter.seen = approval, seen
        waiter.woken.clear()
        self._require_open(approval)
        try:
            async with asyncio.timeout_at(waiter.deadline):
                await waiter.woken.wait()
        except TimeoutError:
            return False
        self._require_open(approval)
        self._require_lease()
        return True

    async def look(self) -> None:
        """Wake those whose request was decided, or who were held under rules that changed since."""
        waiting = [waiter for waiter in self._waiters if waiter.approval is not None]
        if not waiting:
            return
        wanted = {waiter.approval for waiter in waiting if waiter.approval is not None}
        async with self._database.reading() as session:
            now = await epoch.current(session)
            states = await approval_store.states(session, tuple(wanted))
        for waiter in waiting:
            state = None if waiter.approval is None else states.get(waiter.approval)
            if now != waiter.seen or state != (waiter.workspace, ApprovalState.PENDING):
                waiter.woken.set()

    async def close(self) -> None:
        """Send everybody away, and let nobody in any more. Their calls end by themselves."""
        self.shut()

    def shut(self) -> None:
        """As ``close``; for who tells the server to stop before open requests are waited for."""
        self._closed = True
        for waiter in self._waiters:
            waiter.woken.set()

    def _require_open(self, approval: ApprovalId) -> None:
        if self._closed:
            raise ShuttingDownError(f"the server is stopping; request {approval} goes on waiting for its decision")
