"""Watching a supervised call: its recording from the beginning, and what comes until the call has ended.

A recording that is still written is a file of the home of the process that runs the call, and is read from there by
every process over that home. What runs over another home is refused with the place to watch it; what is finished is in
the database, and can be looked at from everywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import BinaryIO

from skillyard.database import Database
from skillyard.errors import ConflictError, SkillyardError
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.errors import RuntimeRefusalError
from skillyard.runtime.invocations import InvocationSummary
from skillyard.runtime.recording_file import written_in
from skillyard.runtime.recordings import KeptRecording, Recordings, kept_pieces
from skillyard.runtime.supervisor import Supervised, Supervisor
from skillyard.runtime.tables import LeaseRow
from skillyard.threads import taken

MOST_WATCHERS = 32
_LOOK_SECONDS = 0.1
_STATE_SECONDS = 2.0
"""How often a watched call whose recording says nothing new is looked up: its process may be gone."""
_SILENT_SECONDS = 15.0
"""After so long an empty line is sent, so that a watcher can tell a silent call from a dead connection."""
_PIECE_BYTES = 64 * 1024
_ENDED = b'{"event":"ended"'
_CUT = b'{"event":"cut","message":"the recording ends here: its end could not be written"}\n'


class RunsElsewhereError(ConflictError):
    """The call runs over another home, and can be watched there until it has ended."""

    code = "runs_elsewhere"


class RecordingGoneError(SkillyardError):
    """The recording was kept for its time and is gone, or there never was one."""

    code = "recording_gone"


class TooManyWatchersError(RuntimeRefusalError):
    """As many supervised calls are watched here as this process lets be watched at once."""

    code = "too_many_watchers"


class Watcher:
    """One for each process. ``home_id`` is what this home's leases carry."""

    def __init__(self, *, database: Database, supervisor: Supervisor, recordings: Recordings, home_id: str) -> None:
        self._database = database
        self._supervisor = supervisor
        self._recordings = recordings
        self._home_id = home_id
        self._watchers = 0

    async def watch(self, workspace: WorkspaceId, invocation: InvocationId) -> AsyncIterator[bytes]:
        """Whole lines, many at a time.

        Raises before the first: ``NotFoundError``, ``NotSupervisedError``, ``RunsElsewhereError``,
        ``RecordingGoneError``, ``TooManyWatchersError``.
        """
        if self._watchers >= MOST_WATCHERS:
            raise TooManyWatchersError(f"{MOST_WATCHERS} recordings are being read here already; try again later")
        found, path = await self._find(workspace, invocation)
        if found.recording is not None and found.recording.removed_at is not None:
            raise RecordingGoneError(f"the recording was removed at {found.recording.removed_at.isoformat()}")
        if found.recording is None and path is None:
            raise RecordingGoneError(f"there is no recording of invocation {invocation}")
        return self._counted(self._lines(workspace, invocation, found.recording, path))

    async def _find(self, workspace: WorkspaceId, invocation: InvocationId) -> tuple[Supervised, Path | None]:
        """The recording, waiting a moment for one that is about to begin here, or about to be in the database."""
        give_up = time.monotonic() + _STATE_SECONDS
        while True:
            found = await self._supervisor.show(workspace, invocation)
            path = await asyncio.to_thread(self._recordings.file_of, invocation)
            if found.recording is not None or path is not None or time.monotonic() > give_up:
                return found, path
            if found.call.ended_at is None:
                await self._require_here(found.call)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _require_here(self, call: InvocationSummary) -> None:
        async with self._database.reading() as session:
            lease = await session.get(LeaseRow, call.instance)
        if lease is not None and lease.home_id != self._home_id:
            raise RunsElsewhereError(
                f"invocation {call.id} runs in process {call.instance} on {lease.host}, over another home; watch it "
                "there, or look at its recording once it has ended"
            )

    async def _counted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._watchers += 1
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._watchers -= 1

    async def _lines(
        self, workspace: WorkspaceId, invocation: InvocationId, kept: KeptRecording | None, path: Path | None
    ) -> AsyncIterator[bytes]:
        if kept is None and path is not None:
            try:
                file = await taken(partial(path.open, "rb"), methodcaller("close"))
            except FileNotFoundError:
                # It was finished, and perhaps moved into the database, since it was found.
                found, again = await self._find(workspace, invocation)
                async for piece in self._lines(workspace, invocation, found.recording, again):
                    yield piece
                return
            with file:
                async for piece in self._follow(workspace, invocation, path, file):
                    yield piece
        elif kept is not None:
            async for piece in kept_pieces(self._database, workspace, kept):
                yield piece

    async def _follow(
        self, workspace: WorkspaceId, invocation: InvocationId, path: Path, file: BinaryIO
    ) -> AsyncIterator[bytes]:
        """What is written and will be, until the file has another name, or nobody is left to write it."""
        over = ended = False
        looked = spoke = time.monotonic()
        while True:
            lines = await asyncio.to_thread(_next_lines, file)
            if lines:
                ended = ended or _ENDED in lines
                spoke = time.monotonic()
                yield lines
                continue
            if over:
                break
            over = not await asyncio.to_thread(path.exists)
            if not over and time.monotonic() - looked > _STATE_SECONDS:
                looked = time.monotonic()
                over = (await self._supervisor.show(workspace, invocation)).call.ended_at is not None
            if not over and time.monotonic() - spoke > _SILENT_SECONDS:
                spoke = time.monotonic()
                yield b"\n"
            if not over:
                await asyncio.sleep(_LOOK_SECONDS)
        if not ended:
            yield _CUT


def _next_lines(file: BinaryIO) -> bytes:
    """Whole lines behind the place that was read to; empty where there are none yet."""
    begin, size = file.tell(), _PIECE_BYTES
    while True:
        data = file.read(size)
        lines = written_in(data)
        file.seek(begin + len(lines))
        if lines or len(data) < size or b"\0" in data:
            return lines
        size *= 2  # One line is longer than that.
