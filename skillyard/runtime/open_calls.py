"""Calls of this process, from their admission until their end is recorded: what can be cancelled, and by whom it was.

A call runs in its caller's own task. Cancelling it cancels that task and takes the cancellation back where the call
ends, as ``asyncio.timeout`` does: the caller gets an outcome, unless somebody else cancelled the task as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skillyard.ids import InvocationId

_CLOSE_SECONDS = 30.0

OnAdmitted = Callable[[InvocationId], None]


def unheard(_invocation: InvocationId) -> None:
    """For callers who need not know when their call was admitted."""


@dataclass(slots=True, eq=False)
class OpenCall:
    """One call. From ``settle`` on its end is known, and nothing changes it any more."""

    task: asyncio.Task[Any]
    running: bool = True
    cancelled_by: str | None = None
    over: asyncio.Event | None = None
    """Made by whoever waits for the recorded end."""

    def cancel(self, by: str) -> bool:
        """End the call now; false where its end is known already."""
        if self.running and self.cancelled_by is None:
            self.cancelled_by = by
            self.task.cancel()
        return self.running

    def settle(self) -> bool:
        """To be called once, as soon as the call ended in whatever way. True where it was cancelled by ``cancel``, and
        its task by nobody else."""
        self.running = False
        return self.cancelled_by is not None and self.task.uncancel() == 0

    async def recorded(self, seconds: float) -> bool:
        """Wait until the end is recorded; false where it takes longer."""
        self.over = self.over or asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return False
        return True


class OpenCalls:
    """All of them, by id. Used on one event loop."""

    def __init__(self) -> None:
        self._open: dict[InvocationId, OpenCall] = {}
        self._detached: set[asyncio.Task[Any]] = set()

    def __bool__(self) -> bool:
        return bool(self._open)

    def get(self, invocation: InvocationId) -> OpenCall | None:
        return self._open.get(invocation)

    def begin(self, invocation: InvocationId) -> OpenCall:
        """An admitted call, in the task that runs it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in one
        call = self._open[invocation] = OpenCall(task)
        return call

    def end(self, invocation: InvocationId) -> None:
        """Its end is recorded, or was left to be tried again."""
        call = self._open.pop(invocation)
        if call.over is not None:
            call.over.set()

    # Calls whose caller has gone

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a call that goes on although nobody waits for it."""
        self._detached.add(task)
        task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[Any]) -> None:
        self._detached.discard(task)
        if not task.cancelled():
            task.exception()  # It is on record; there is nobody left to raise it to.

    async def close(self) -> None:
        """Wait for the calls that nobody waits for. Their sandboxes are stopped by then, which ends them."""
        if self._detached:
            await asyncio.wait(self._detached, timeout=_CLOSE_SECONDS)
        if left := tuple(self._detached):
            for task in left:
                task.cancel()
            await asyncio.wait(left)
