"""The books of the pool: every place that has something, every workspace that ever called, and the caps of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skillyard.governance.quotas import Quota, Quotas
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime.capacity import Caps, Room, Share
from skillyard.runtime.counts import PoolCounts, PoolStatus, Tally
from skillyard.runtime.pace import Pace
from skillyard.runtime.slots import Party, Place, Slot
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Granted
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Caps of all together and of each workspace, most sandboxes of one version, and seconds."""

    total: Caps
    workspace: Caps
    per_version: int
    idle_seconds: float
    """How long a warm sandbox may be unused."""
    wait_seconds: float
    """How long a call may wait until a sandbox is free or being started for it."""

    @classmethod
    def from_settings(cls, settings: Settings) -> PoolLimits:
        return cls(
            total=Caps(
                sandboxes=settings.max_sandboxes,
                memory_bytes=_bytes(settings.max_sandbox_memory_mib),
                calls=settings.max_calls,
                queue=settings.max_queue,
            ),
            workspace=Caps(
                sandboxes=settings.max_sandboxes_per_workspace,
                memory_bytes=_bytes(settings.max_sandbox_memory_per_workspace_mib),
                calls=settings.max_calls_per_workspace,
                queue=settings.max_queue_per_workspace,
            ),
            per_version=settings.max_sandboxes_per_skill,
            idle_seconds=settings.idle_timeout,
            wait_seconds=settings.queue_timeout,
        )


class Ledger:
    """Slots by place and parties by workspace. A slot is forgotten when it is empty, a party never."""

    def __init__(self, limits: PoolLimits) -> None:
        self._limits = limits
        self._started_at = utcnow()
        self.total = Share(limits.total)
        self.pace = Pace()
        self._slots: dict[Place, Slot] = {}
        self._parties: dict[WorkspaceId, Party] = {}

    def find(self, place: Place) -> Slot | None:
        return self._slots.get(place)

    def slot(self, place: Place, granted: Granted) -> Slot:
        """The place's slot, made where there is none; what a place is granted never changes while it has one."""
        return self._slots.get(place) or self._open(place, granted)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(self._slots.values())

    def of(self, version: SkillVersionId) -> tuple[Slot, ...]:
        return tuple(slot for slot in self._slots.values() if slot.place.version == version)

    def forget(self, slot: Slot) -> None:
        """Nothing happens for one that is not empty."""
        if slot.empty and self._slots.get(slot.place) is slot:
            del self._slots[slot.place]

    def counts(self, version: SkillVersionId | None = None) -> PoolCounts:
        return _count(self._slots.values() if version is None else self.of(version))

    def status(self, workspace: WorkspaceId | None = None) -> PoolStatus:
        """Of one workspace or of all; one that never called has nothing."""
        if workspace is None:
            tallies = [party.tally for party in self._parties.values()]
            return PoolStatus(self._started_at, _count(self._slots.values()), Tally.sum(tallies))
        party = self._parties.get(workspace)
        mine = [slot for slot in self._slots.values() if slot.party is party]
        return PoolStatus(self._started_at, _count(mine), Tally.sum([] if party is None else [party.tally]))

    def cap(self, workspace: WorkspaceId, quotas: Quotas) -> Party | None:
        """From now on these quotas hold for a workspace. The party where that changes its caps, ``None`` otherwise."""
        party = self._party(workspace)
        if party.quotas is quotas:
            return None
        party.quotas = quotas
        caps = caps_of(self._limits.workspace, quotas)
        if caps == party.share.caps:
            return None
        party.share.caps = caps
        return party

    def slots_of(self, party: Party) -> tuple[Slot, ...]:
        return tuple(slot for slot in self._slots.values() if slot.party is party)

    def _party(self, workspace: WorkspaceId) -> Party:
        party = self._parties.get(workspace)
        if party is None:
            party = self._parties[workspace] = Party(Share(self._limits.workspace))
        return party

    def _open(self, place: Place, granted: Granted) -> Slot:
        party = self._party(place.workspace)
        own = Share(Caps(sandboxes=self._limits.per_version))
        slot = Slot(place, party, granted, Room(own, party.share, self.total, granted.memory_bytes))
        self._slots[place] = slot
        return slot


def caps_of(defaults: Caps, quotas: Quotas) -> Caps:
    """A workspace's caps in this process: its own quotas, each in the place of the settings' default."""
    sandboxes, memory = quotas.of(Quota.SANDBOXES), quotas.of(Quota.SANDBOX_MEMORY)
    calls = quotas.of(Quota.CONCURRENT_CALLS)
    return replace(
        defaults,
        sandboxes=defaults.sandboxes if sandboxes is None else sandboxes,
        memory_bytes=defaults.memory_bytes if memory is None else memory,
        calls=defaults.calls if calls is None else calls,
    )


def _count(slots: Iterable[Slot]) -> PoolCounts:
    every = list(slots)
    return PoolCounts(
        idle=sum(len(slot.idle) for slot in every),
        busy=sum(len(slot.busy) for slot in every),
        starting=sum(len(slot.starts) for slot in every),
        stopping=sum(slot.room.place.stopping for slot in every),
        waiting=sum(len(slot.waiting) for slot in every),
        memory_bytes=sum(slot.room.place.present_bytes for slot in every),
    )


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * MIB
