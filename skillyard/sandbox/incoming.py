"""What arrives of one call: its output, events, result, files and end, each checked against limits of our own."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import replace

from skillyard.sandbox.artefacts import ArrivingFiles, Receiving
from skillyard.sandbox.ending import EndFacts, parse_facts
from skillyard.sandbox.errors import SandboxError
from skillyard.sandbox.events import Emitted, EventError, Logged, LogLevel, Output, parse_events
from skillyard.sandbox.guest.frames import MAX_EVENTS_BYTES, FrameError, Kind, event_cost
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.sandbox.sandbox import OutputSink
from skillyard.skills.permissions import Granted

FILES_SECONDS = 60.0
"""How long the files of an ended call may take to arrive, which is as fast as this host's disk takes them."""
_STREAM_NUMBERS = {Kind.STDOUT: 1, Kind.STDERR: 2}


class Incoming:
    """One call's side of the channel. ``done`` is resolved when nothing more is to come.

    ``cancel`` ends the call in the guest; it is used when the caller's own sink fails.
    """

    def __init__(
        self, *, granted: Granted, sink: OutputSink, arriving: ArrivingFiles | None, cancel: Callable[[], None]
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.facts: EndFacts | None = None
        self.sink_error: Exception | None = None
        self.limit: asyncio.Timeout | None = None
        """The time limit of the whole exchange, while there is one."""
        self.receiving = None if arriving is None else Receiving(limit=granted.artefact_bytes, take=arriving.take)
        self._granted = granted
        self._sink = sink
        self._cancel = cancel
        self._streams = {Kind.STDOUT: bytearray(), Kind.STDERR: bytearray(), Kind.RESULT: bytearray()}
        self._events = 0
        self._odd_event = False

    @property
    def stdout(self) -> bytes:
        return bytes(self._streams[Kind.STDOUT])

    @property
    def stderr(self) -> bytes:
        return bytes(self._streams[Kind.STDERR])

    @property
    def result(self) -> bytes:
        return bytes(self._streams[Kind.RESULT])

    @property
    def answered(self) -> bool:
        """A function has answered, and its end was not another."""
        return self.facts is not None and self.facts.reported == "result"

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def take(self, kind: Kind, payload: bytes) -> None:
        """One frame of the call. Raises ``FrameError`` for what an honest guest does not send."""
        match kind:
            case Kind.STDOUT | Kind.STDERR | Kind.RESULT:
                self._take_data(kind, payload)
            case Kind.EVENT:
                self._take_event(payload)
            case Kind.END:
                self._take_end(parse_facts(payload))
            case Kind.FILE | Kind.FILE_DATA | Kind.FILES_END:
                self._take_file(kind, payload)
            case _:
                raise FrameError(f"a guest does not send {kind.name} during a call")

    def _take_data(self, kind: Kind, payload: bytes) -> None:
        stream = self._streams[kind]
        limit = self._granted.result_bytes if kind is Kind.RESULT else self._granted.stream_bytes
        if len(stream) + len(payload) > limit or self.facts is not None:
            raise FrameError(f"{kind.name} is over its limit, or after the end")
        stream += payload
        number = _STREAM_NUMBERS.get(kind)
        if number is not None:
            self._tell(Output(number, payload))

    def _take_event(self, packet: bytes) -> None:
        self._events += event_cost(packet)
        if self._events > MAX_EVENTS_BYTES or self.facts is not None:
            raise FrameError("events are over their limit, or after the end")
        try:
            for event in parse_events(packet):
                self._tell(event)
        except EventError as error:
            # Once is enough to find the mistake by.
            if not self._odd_event:
                self._odd_event = True
                self._tell(Logged(LogLevel.WARNING, f"skillyard: an event of the skill is left out: {error}"))

    def _take_end(self, facts: EndFacts) -> None:
        self.facts = facts
        if self.receiving is None or not facts.files:
            self.finish()
        elif self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + FILES_SECONDS)

    def _take_file(self, kind: Kind, payload: bytes) -> None:
        receiving = self.receiving
        if receiving is None or self.facts is None or receiving.ended:
            raise FrameError("the guest hands back files that nobody asked for, or before the end")
        match kind:
            case Kind.FILE:
                receiving.start(payload)
            case Kind.FILE_DATA:
                receiving.add(payload)
            case _:
                receiving.end(payload)
                self.finish()

    def _tell(self, emitted: Emitted) -> None:
        if self.sink_error is not None:
            return
        try:
            self._sink(emitted)
        except Exception as error:  # noqa: BLE001 - the caller's own sink failed: end the call, raise it from `call`
            self.sink_error = error
            self._cancel()


async def with_files(outcome: Outcome, incoming: Incoming, arriving: ArrivingFiles) -> Outcome:
    """The outcome with the files that have arrived; with another state where they cannot be had.

    Raises ``SandboxError`` where they cannot be stored for another reason than room.
    """
    receiving, facts = incoming.receiving, incoming.facts
    if receiving is None or facts is None or not facts.files:
        return outcome
    if not receiving.ended:
        await arriving.discard()
        return _without(outcome, OutcomeState.LOST, "the container went away before the files it left had arrived")
    if receiving.refused is not None:
        await arriving.discard()
        return _without(outcome, OutcomeState.OUTPUT_LIMIT, receiving.refused)
    notes = "".join(f"skillyard: left out {note}\n" for note in receiving.left_out).encode()
    if notes:
        outcome = replace(outcome, stderr=outcome.stderr + notes)
    try:
        return replace(outcome, files=await arriving.publish())
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return _without(outcome, OutcomeState.DISK_FULL, "the host has no room for the files that the call left")
        raise SandboxError(f"the call's files could not be stored: {error}") from error


def _without(outcome: Outcome, state: OutcomeState, reason: str) -> Outcome:
    """A call whose files cannot be had: a success that is none, or a failure that stays what it was."""
    if outcome.state is OutcomeState.SUCCEEDED:
        return replace(outcome, state=state, reason=reason, result_json=None)
    note = f"skillyard: left out every file: {reason}\n".encode()
    return replace(outcome, stderr=outcome.stderr + note)
