"""The ends of calls: each recorded once, and tried again where the database could not take it at the time.

A caller whose call's end is not durable gets the error, never the answer. The call itself must not stay open for
that, so its end is kept here and recorded as soon as the database takes it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from skillyard.errors import NotFoundError
from skillyard.ids import InvocationId, WorkspaceId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.events import EventBus, InvocationFinished
from skillyard.runtime.journal import AlreadyFinishedError
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import Outcome
from skillyard.times import utcnow

_log = structlog.get_logger("skillyard.endings")


@dataclass(frozen=True, slots=True)
class Ending:
    """How an admitted call of a skill version ended."""

    workspace: WorkspaceId
    invocation: InvocationId
    skill: SkillRef
    outcome: Outcome


class Endings:
    """Records ends. What could not be recorded is bounded by the calls in flight: nothing is admitted meanwhile."""

    def __init__(self, *, writer: AdmissionWriter, events: EventBus, keep_files: timedelta) -> None:
        """``keep_files`` is how long the files that calls leave are kept."""
        self._writer = writer
        self._events = events
        self._keep_files = keep_files
        self._unsure: dict[InvocationId, Ending] = {}
        """Ends that were not recorded, and ends whose caller left before it was known whether they were."""

    async def record(self, ending: Ending) -> None:
        """Returns once the end is durable. Raises what the writer raises; the end is then tried again by ``retry``."""
        try:
            await self._finish(ending)
        except (NotFoundError, AlreadyFinishedError):
            raise
        except BaseException:
            # Also where the caller left while it was being written: trying again finds out.
            self._unsure[ending.invocation] = ending
            raise
        # Told once the caller has gone on to its answer: listeners take longer than the rest of this.
        asyncio.get_running_loop().call_soon(self._publish, ending)

    async def retry(self) -> None:
        """Record what was left; raises what the writer raises, and goes on from there the next time."""
        for ending in tuple(self._unsure.values()):
            try:
                await self._finish(ending)
            except AlreadyFinishedError:
                _log.debug("end_was_recorded", invocation=ending.invocation)
            del self._unsure[ending.invocation]
            self._publish(ending)

    async def _finish(self, ending: Ending) -> None:
        outcome = ending.outcome
        left = outcome.files or outcome.result_file is not None
        until = utcnow() + self._keep_files if left else None
        await self._writer.finish(ending.invocation, outcome, files_until=until)

    def _publish(self, ending: Ending) -> None:
        state = ending.outcome.state.value
        self._events.publish(InvocationFinished(ending.workspace, ending.invocation, str(ending.skill), state))
