"""Supervision as one value: recording calls, keeping what was recorded, watching, stopping, looking back."""

from __future__ import annotations

from datetime import timedelta

from skillyard.database import Database
from skillyard.runtime.open_calls import OpenCalls
from skillyard.runtime.recording import Recorder
from skillyard.runtime.recordings import Recordings
from skillyard.runtime.supervisor import Supervisor
from skillyard.runtime.watch import Chore
from skillyard.runtime.watching import Watcher
from skillyard.settings import Settings

_KEEP_SECONDS = 1.0
"""Seconds between two looks for recordings that were finished."""
_EXPIRE_SECONDS = 60.0


class Supervision:
    """Made by the runtime. Its parts are used directly, each is a module of its own."""

    def __init__(self, *, settings: Settings, database: Database, calls: OpenCalls, home_id: str) -> None:
        folder = settings.home / "recordings"
        self.recorder = Recorder(folder=folder, limit=settings.recording_max_mib * 1024 * 1024)
        self.recordings = Recordings(
            database=database,
            folder=folder,
            calls=calls,
            keep=timedelta(days=settings.recording_retention_days),
        )
        self.supervisor = Supervisor(database=database, calls=calls)
        self.watcher = Watcher(
            database=database, supervisor=self.supervisor, recordings=self.recordings, home_id=home_id
        )

    @property
    def chores(self) -> tuple[Chore, ...]:
        return (
            Chore("keeping_recordings", _KEEP_SECONDS, self.recordings.keep_finished),
            Chore("expiring_recordings", _EXPIRE_SECONDS, self.recordings.expire),
        )
