"""How the sync stands: remotes, their jobs and channels, runs, uploads, health. What is not known is null."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from skillyard.api.schemas.values import Body, Name, View
from skillyard.marketplace_sync.jobs.values import Job, RunState, RunTrigger
from skillyard.marketplace_sync.live.client import ChannelState
from skillyard.marketplace_sync.metrics.health import HealthState
from skillyard.marketplace_sync.remotes.remote import RemoteKind, RemoteState
from skillyard.marketplace_sync.upwards.values import DropReason, UploadKind, UploadState


class TriggerRequest(Body):
    remote: Name | None = Field(default=None, description="The remote; none for the instance's own job, `advisories`.")
    job: Job = Job.CATALOGUE


class ChangeJobRequest(Body):
    """What is left out stays."""

    remote: Name
    job: Job
    paused: bool | None = None
    seconds: Annotated[float, Field(ge=5, le=604_800)] | None = Field(default=None, description="A period of its own.")
    default: bool = Field(default=False, description="Go back to the period of the settings.")


class RunView(View):
    """A run of a job. ``counts`` are what it counted, once it ended; ``remote`` is null for the instance's own."""

    id: int
    job: Job
    remote: str | None
    trigger: RunTrigger
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    counts: dict[str, int]
    error: str | None


class JobView(View):
    """A job of a remote. ``period`` is how often it is run as things stand, in seconds; ``next_at`` is null while it is
    paused, and before its first run."""

    job: Job
    remote: str
    paused: bool
    period: float
    own_period: bool
    next_at: datetime | None
    running: bool
    last: RunView | None


class ChannelView(View):
    """The live channel to a remote, of the process that answers. ``state`` is null where none is kept; ``head`` is what
    the remote said last; ``next_at`` is when it is opened again."""

    remote: str
    wanted: bool
    state: ChannelState | None
    since: datetime | None = None
    failures: int | None = None
    head: int | None = None
    next_at: datetime | None = None
    error: str | None = None


class QueueView(View):
    """What is to go up to a remote."""

    waiting: int
    conflict: int
    dead: int


class RemoteStatusView(View):
    """A remote and its mirror. ``seq`` is how far the mirror is, ``head`` how far the remote was when it was last read
    or heard; ``lag`` is what lies between."""

    name: str
    kind: RemoteKind
    state: RemoteState
    seq: int
    head: int | None
    lag: int | None
    skills: int
    categories: int
    tried_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    error: str | None
    set_aside: int
    uploads: QueueView
    open_conflicts: int
    channel: ChannelView
    jobs: tuple[JobView, ...]


class AdvisoryJobView(View):
    """Updates of the advisory index, which the server makes by itself. ``next_at`` is null where it makes none, and
    before the first."""

    period: float | None
    last_at: datetime | None
    succeeded_at: datetime | None
    failing: tuple[str, ...]
    next_at: datetime | None


class SyncStatusView(View):
    """How the caller's workspace keeps up. ``running`` is whether the process that answers does so by itself."""

    running: bool
    remotes: tuple[RemoteStatusView, ...]
    advisories: AdvisoryJobView


class PeriodsView(View):
    """What the settings say, in seconds."""

    sync_period: float
    sync_period_not_live: float
    sync_upload_period: float
    sync_jitter: float
    sync_run_timeout: float
    sync_runs_kept: int
    sync_live_backoff: float
    sync_live_failures: int
    sync_live_rest: float
    advisories_update_hours: float


class SyncConfigView(View):
    settings: PeriodsView
    jobs: tuple[JobView, ...]


class UploadFigureView(View):
    """What of one kind is to go up to a remote."""

    remote: str
    kind: UploadKind
    waiting: int
    conflict: int
    dead: int


class RatingsStatusView(View):
    """Ratings on their way to remotes. ``sent_at`` is when all that was due was last sent, by remote."""

    ratings: tuple[UploadFigureView, ...]
    sent_at: dict[str, datetime | None]


class UploadView(View):
    """An item of the outbox, without what it says. ``dropped`` is why one in that state does not go up: only with
    ``theirs`` is what was wanted not there."""

    id: int
    remote: str
    kind: UploadKind
    key: str
    state: UploadState
    attempts: int
    next_at: datetime
    error: str | None
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    dropped: DropReason | None


class RetriedView(View):
    """The items that are tried again."""

    retried: tuple[int, ...]


class TroubleView(View):
    code: str
    message: str
    remote: str | None


class SyncHealthView(View):
    """Whether the sync goes on. Strangers are told the state and the codes of the reasons; people what is wrong in
    their own workspace."""

    status: HealthState
    reasons: tuple[str, ...]
    troubles: tuple[TroubleView, ...] | None = None
