"""The containers behind the pool: starts and stops as tasks of their own, each with its room.

A start that hangs or a removal that takes its time blocks nobody but those who wait for that very room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from skillyard.runtime.capacity import Gate
from skillyard.runtime.slots import Idle, Slot, StartSandbox
from skillyard.sandbox.sandbox import RunningSandbox

_log = structlog.get_logger("skillyard.pool")


class Stock:
    """Starts and stops sandboxes, and tells three listeners what becomes of them.

    ``ready`` hears of one that is started, in the same step in which it becomes so. ``ended`` hears of a start that
    came to nothing: with its error, or ``None`` where it was cancelled, and whether a call waited for it. ``changed``
    hears of every change in how many are there or under way.
    """

    def __init__(
        self,
        *,
        ready: Callable[[Slot, RunningSandbox], None],
        ended: Callable[[Slot, Exception | None, bool], None],
        changed: Callable[[Slot], None],
    ) -> None:
        self._ready = ready
        self._ended = ended
        self._changed = changed
        self._gate = Gate()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, slot: Slot, start: StartSandbox, *, promised: bool) -> None:
        """Begin to start a sandbox whose room is free. ``promised`` says that a call waits for it."""
        slot.room.take()
        _promise(slot, 1 if promised else 0)
        task = asyncio.create_task(self._start(slot, start, promised))
        slot.starts.add(task)
        self._track(task)
        task.add_done_callback(lambda done: self._started(slot, done, promised))
        self._changed(slot)

    @staticmethod
    def cancel(starts: Iterable[asyncio.Task[None]]) -> None:
        for task in starts:
            # Once is enough: a start that is undoing itself must not be disturbed in that.
            if not task.cancelling():
                task.cancel()

    def let_go(self, slot: Slot, sandbox: RunningSandbox) -> asyncio.Task[None]:
        """Stop a sandbox that nobody holds any more. Others may have its room at once, and get it when it is gone."""
        slot.room.begin_to_vacate()
        task = asyncio.create_task(self._stop(slot, sandbox))
        self._track(task)
        task.add_done_callback(_log_failure)
        return task

    def drop(self, slot: Slot, idle: Iterable[Idle]) -> list[asyncio.Task[None]]:
        """Let go of sandboxes that stand ready."""
        gone = list(idle)
        slot.idle = [item for item in slot.idle if item not in gone]
        return [self.let_go(slot, item.sandbox) for item in gone]

    def look_again(self) -> None:
        """Caps were raised: starts that wait for room may find it clear."""
        self._gate.open()

    async def settle(self) -> None:
        """Wait until nothing is being started or stopped."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _start(self, slot: Slot, start: StartSandbox, promised: bool) -> None:
        task = asyncio.current_task()
        assert task is not None, "starts are tasks"  # noqa: S101 - invariant
        await self._gate.enter(slot.room)
        try:
            sandbox = await start()
            unwanted = task.cancelling() > 0
            if unwanted:
                # Whoever cancelled it counts on this sandbox not being there, also where the start did not notice.
                await sandbox.stop()
        except BaseException:
            self._came_to_nothing(slot)
            raise
        if unwanted:
            self._came_to_nothing(slot)
            return
        # From being started to being lent in one step: nothing can come between.
        slot.starts.discard(task)
        _promise(slot, -1 if promised else 0)
        self._changed(slot)
        self._ready(slot, sandbox)

    def _started(self, slot: Slot, done: asyncio.Task[None], promised: bool) -> None:
        error = None if done.cancelled() else done.exception()
        if done not in slot.starts:
            if error is not None:
                _log.error("lending_failed", error=str(error))
            return
        slot.starts.discard(done)
        slot.room.release()
        _promise(slot, -1 if promised else 0)
        self._changed(slot)
        self._ended(slot, error if isinstance(error, Exception) else None, promised)

    def _came_to_nothing(self, slot: Slot) -> None:
        slot.room.vacate()
        self._gate.open()

    async def _stop(self, slot: Slot, sandbox: RunningSandbox) -> None:
        try:
            await sandbox.stop()
        finally:
            # Also where it failed: the sweeper removes what is left, and until then the pool must not shrink for ever.
            slot.room.vacate_stopped()
            self._gate.open()
            self._changed(slot)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _promise(slot: Slot, by: int) -> None:
    slot.room.workspace.promised += by
    slot.room.total.promised += by


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("sandbox_not_stopped", error=str(error))
