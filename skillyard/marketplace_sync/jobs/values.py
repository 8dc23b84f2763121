"""Values of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.entry import CatalogueId
from skillyard.marketplace_sync.remotes.remote import SKILLYARD, RemoteId, RemoteKind, RemoteState

JobId = NewType("JobId", int)
RunId = NewType("RunId", int)


class Job(StrEnum):
    """What recurs: following remotes' catalogues, sending what waits (ratings among it), advisory updates."""

    CATALOGUE = "catalogue"
    UPLOADS = "uploads"
    ADVISORIES = "advisories"


OF_REMOTES = (Job.CATALOGUE, Job.UPLOADS)
"""The jobs that each remote has; the others are the instance's."""


class RunTrigger(StrEnum):
    SCHEDULE = "schedule"
    LIVE = "live"
    MANUAL = "manual"


class RunState(StrEnum):
    """``lost``: its process ended before it did."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class JobKey:
    """One job of one remote; ``remote`` is ``None`` for the instance's own."""

    job: Job
    remote: RemoteId | None

    def __str__(self) -> str:
        return self.job.value if self.remote is None else f"{self.job.value}/{self.remote}"


@dataclass(frozen=True, slots=True)
class Known:
    """A remote of whatever workspace, as far as jobs and metrics tell them apart."""

    id: RemoteId
    workspace: WorkspaceId
    workspace_name: str
    name: str
    kind: RemoteKind
    state: RemoteState
    live_wanted: bool

    @property
    def label(self) -> str:
        """As metrics name it."""
        return f"{self.workspace_name}/{self.name}"

    @property
    def channel_wanted(self) -> bool:
        return self.live_wanted and self.state is RemoteState.ENABLED and self.kind == SKILLYARD


@dataclass(frozen=True, slots=True)
class Followed(Known):
    """What the schedule has to know of a remote beside."""

    catalogue: CatalogueId
    seq: int
    """How far its mirror is."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Other protocols than ours can be read, and that is all."""
        return OF_REMOTES if self.kind == SKILLYARD else (Job.CATALOGUE,)


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it stands. ``claimed_until`` changes with every renewal: who watches it unchanged for long enough knows
    that nobody renews it, whatever the clocks of two machines say."""

    id: JobId
    key: JobKey
    workspace: WorkspaceId | None
    paused: bool
    seconds: float | None
    next_at: datetime | None
    claimed_by: str | None
    claimed_until: datetime | None
    live_asked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job. ``counts`` are what its report counted."""

    id: RunId
    job_id: JobId
    key: JobKey
    workspace: WorkspaceId | None
    trigger: RunTrigger
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]
    error: str | None
    instance: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Why a run was not begun: another one is under way."""

    run: Run | None


@dataclass(frozen=True, slots=True)
class NotDue:
    """Why a run was not begun: it is paused (no ``next_at``), or somebody had its turn already."""

    next_at: datetime | None
