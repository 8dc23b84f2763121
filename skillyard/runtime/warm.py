"""What is kept warm though no call asks for it: some sandboxes of every place that was called since the start.

Nothing is started here that was not decided. A place stays warm as long as its version is what calls go to and
somebody may call it, and each start decides anew.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from skillyard.errors import NotFoundError
from skillyard.runtime.decide import Decider
from skillyard.runtime.errors import DecisionRefusedError
from skillyard.runtime.ledger import Ledger
from skillyard.runtime.lending import Lender
from skillyard.runtime.slots import Place, Slot, StartSandbox
from skillyard.runtime.start import Starter
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View, Views
from skillyard.sandbox.sandbox import RunningSandbox
from skillyard.skills.permissions import Granted

_SWEEP_SECONDS = 30.0


class Warmth(Protocol):
    """Says what is to be warm, and starts it."""

    @property
    def count(self) -> int:
        """How many sandboxes a place has at least, busy ones included."""
        ...

    def wanted(self, place: Place) -> bool:
        """Whether anybody may expect calls there. Does no I/O."""
        ...

    async def start(self, place: Place) -> RunningSandbox:
        """A sandbox of that place, decided on now; raises ``NotFoundError`` where it is not wanted any more."""
        ...


class ActiveVersions:
    """Keeps warm what pointers name and agents are pinned to, as far as the rules let somebody call it."""

    def __init__(self, *, count: int, views: Views, decider: Decider, starter: Starter) -> None:
        self.count = count
        self._views = views
        self._decider = decider
        self._starter = starter

    def wanted(self, place: Place) -> bool:
        view = next((view for view in self._views.seen if view.workspace == place.workspace), None)
        version = None if view is None else _called(view, place)
        if view is None or version is None:
            return False
        try:
            self._decider.allowed_at_all(view, version)
        except DecisionRefusedError:
            return False
        return True

    async def start(self, place: Place) -> RunningSandbox:
        view = await self._views.current(place.workspace)
        version = _called(view, place)
        if version is None:
            raise NotFoundError("no calls go to this version any more")
        return await self._starter.start(version, self._decider.allowed_at_all(view, version))


class Upkeep:
    """Starts what is to be warm, stops what nobody uses. One task, from the first sandbox to ``close``."""

    def __init__(self, *, ledger: Ledger, lender: Lender, idle_seconds: float) -> None:
        self._ledger = ledger
        self._lender = lender
        self._idle_seconds = idle_seconds
        self._warmth: Warmth | None = None
        self._kept: dict[Place, Granted] = {}
        self._failed: set[Place] = set()
        """Kept places whose last start failed; they are tried again at the next sweep."""
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def keep(self, warmth: Warmth) -> None:
        """From now on keep warm what is called."""
        self._warmth = warmth if warmth.count else None

    def forget(self, place: Place) -> None:
        """Its version was stopped or replaced, or nobody may call it: keep nothing warm, until it is called again."""
        self._kept.pop(place, None)

    def failed(self, slot: Slot) -> None:
        self._failed.add(slot.place)

    def used(self, slot: Slot) -> None:
        """A sandbox of the slot was given back."""
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._sweep())
        if self._warmth is not None and (slot.place not in self._kept or slot.living < self._warmth.count):
            self._kept[slot.place] = slot.granted
            self._tend()

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(max(self._idle_seconds / 4, 0.05), _SWEEP_SECONDS))
            self._failed.clear()
            for slot in self._ledger.slots:
                self._drop(slot)
            self._lender.serve()
            self._tend()

    def _drop(self, slot: Slot) -> None:
        limit = time.monotonic() - self._idle_seconds
        dead = [item for item in slot.idle if not item.sandbox.alive]
        self._lender.stock.drop(slot, dead)
        least = self._warmth.count if self._warmth is not None and slot.place in self._kept else 0
        unused = [item for item in slot.idle if item.since < limit][: max(0, slot.living - least)]
        slot.party.tally.expiries += len(unused)
        self._lender.stock.drop(slot, unused)

    def _tend(self) -> None:
        """Start what is to be warm and is not, where there is room that nobody waits for and nobody has to give up."""
        if self._warmth is None or self._closed or self._lender.anybody_waits:
            return
        for place, granted in tuple(self._kept.items()):
            if not self._warmth.wanted(place):
                # What is known may be a moment old. Who stops a version says so; this is for what is gone anyway.
                if self._ledger.find(place) is None:
                    self.forget(place)
            elif place not in self._failed:
                slot = self._ledger.slot(place, granted)
                while slot.living < self._warmth.count and slot.room.is_free:
                    self._lender.stock.start(slot, _starter(self._warmth, place), promised=False)
                self._ledger.forget(slot)


def _starter(warmth: Warmth, place: Place) -> StartSandbox:
    async def start() -> RunningSandbox:
        return await warmth.start(place)

    return start


def _called(view: View, place: Place) -> InstalledVersion | None:
    """The version of a place, if calls that name none go to it."""
    version = view.versions.get(place.version)
    if version is None or version.place != place:
        return None
    if view.pointers.get((version.publisher, version.name)) == version.id or version.id in view.pins.values():
        return version
    return None
