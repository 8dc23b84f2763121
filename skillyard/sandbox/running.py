"""A started container as ``RunningSandbox``: one call at a time over its channel, every wait limited."""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import dataclass, field, replace

import orjson

from skillyard.sandbox.artefacts import Receiving, store
from skillyard.sandbox.channel import Channel
from skillyard.sandbox.ending import EndFacts, parse_facts, parse_object, state_of
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import DiskFullError, HealthError, SandboxError, StartError
from skillyard.sandbox.guest.frames import FrameError, Kind
from skillyard.sandbox.outcome import Call, Outcome, OutcomeState, Usage
from skillyard.sandbox.request import call_data, call_header, check_call, check_header
from skillyard.sandbox.sandbox import Output, OutputSink, discard
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Entry, EntryKind

GRACE_SECONDS = 5.0
"""How long after a call's time-out the guest may take to say so, before the container is removed."""
_READY_SECONDS = 10.0
_UPLOAD_SECONDS = 60.0
_CANCEL_SECONDS = 3.0
_WRITE_BYTES = 64 * 1024
"""About as much as is written to the channel at once."""
_STREAM_NUMBERS = {Kind.STDOUT: 1, Kind.STDERR: 2}


@dataclass(slots=True)
class _Pending:
    """What has arrived of the call under way. ``done`` is resolved when nothing more is to come."""

    sink: OutputSink
    receiving: Receiving | None
    done: asyncio.Future[None]
    streams: dict[Kind, bytearray] = field(
        default_factory=lambda: {Kind.STDOUT: bytearray(), Kind.STDERR: bytearray(), Kind.RESULT: bytearray()}
    )
    facts: EndFacts | None = None
    sink_error: Exception | None = None

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class DockerRunningSandbox:
    """Owned by whoever started it; ``stop`` must be called in the end, also when it is no longer alive."""

    def __init__(self, *, engine: Engine, container: str, granted: Granted) -> None:
        self._engine = engine
        self._container = container
        self._granted = granted
        self._pending: _Pending | None = None
        self._ready = asyncio.Event()
        """Set when the guest can take a call, and when it never will."""
        self._gone: str | None = None
        self._stopped = False
        self._removal: asyncio.Task[None] | None = None
        self.preload_failures: tuple[str, ...] = ()
        self.channel = Channel(on_frame=self._on_frame, on_lost=self._on_lost)

    @property
    def alive(self) -> bool:
        return self._gone is None

    @property
    def container(self) -> str:
        """The container's id on its engine."""
        return self._container

    async def greet(self, hello: bytes) -> None:
        """Send ``HELLO`` and wait for the first ``READY``. Raises ``StartError``; the caller limits the time."""
        self.channel.send(Kind.HELLO, hello)
        await self._ready.wait()
        if self._gone is not None:
            raise StartError(f"the sandbox did not become ready: {self._gone}", stderr=self.channel.stderr)

    async def ready(self) -> bool:
        """Wait until the last call is cleaned up; true where this sandbox can take another."""
        if not self._ready.is_set():
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    await self._ready.wait()
            except TimeoutError:
                await self._drop("the guest did not become ready again")
        return self.alive

    async def check(self, entries: tuple[Entry, ...]) -> None:
        facts, pending = await self._exchange(
            check_header(entries, self._granted.timeout_seconds), None, discard, self._granted.timeout_seconds
        )
        state, reason = _judged(facts, script=False, timeout=self._granted.timeout_seconds)
        if state is not OutcomeState.SUCCEEDED:
            printed = bytes(pending.streams[Kind.STDERR]).decode(errors="replace") if pending else ""
            raise HealthError(f"{reason or state.value}\n{printed}".rstrip())

    async def call(self, call: Call, on_output: OutputSink = discard) -> Outcome:
        """As the protocol says. Raises ``InputError`` for input that no sandbox with this grant can take, and
        ``DiskFullError`` or ``SandboxError`` where the files of an ended call cannot be stored on the host."""
        check_call(call, self._granted)
        limit = self._granted.timeout_seconds
        timeout = limit if call.timeout_seconds is None else min(call.timeout_seconds, limit)
        started = time.monotonic()
        facts, pending = await self._exchange(call_header(call, timeout), call, on_output, timeout)
        state, reason = _judged(facts, script=call.entry.kind is EntryKind.SCRIPT, timeout=timeout)
        if pending is None:
            return Outcome(state=state, reason=reason)
        result = None
        if state is OutcomeState.SUCCEEDED and call.entry.kind is EntryKind.FUNCTION:
            result = bytes(pending.streams[Kind.RESULT])
            if not _is_json(result):
                # The harness sends JSON only; this came from code that took the harness's place in its own process.
                state, reason, result = OutcomeState.FAILED, "what the function answered is not JSON", None
        outcome = Outcome(
            state=state,
            reason=reason,
            result_json=result,
            exit_code=facts.exit_code if isinstance(facts, EndFacts) else None,
            signal=facts.signal if isinstance(facts, EndFacts) else None,
            stdout=bytes(pending.streams[Kind.STDOUT]),
            stderr=bytes(pending.streams[Kind.STDERR]),
            usage=facts.usage if isinstance(facts, EndFacts) else Usage(wall_seconds=time.monotonic() - started),
        )
        if state is not OutcomeState.SUCCEEDED:
            # An abnormal end may have cost the container; whoever asks `alive` next deserves the answer.
            await self.ready()
        return await self._with_files(outcome, call, pending)

    async def stop(self) -> None:
        self._gone = self._gone or "it was stopped"
        self._ready.set()
        if self._pending is not None:
            self._pending.finish()
        self.channel.abort()
        if self._removal is None:
            self._removal = asyncio.create_task(self._engine.remove(self._container))
        await asyncio.shield(self._removal)

    # The exchange

    async def _exchange(
        self, header: bytes, call: Call | None, sink: OutputSink, timeout: float
    ) -> tuple[EndFacts | tuple[OutcomeState, str], _Pending | None]:
        """One ``CALL`` to its end. Facts are a state and its reason where the guest gave none."""
        if self._pending is not None:
            raise RuntimeError("a sandbox serves one call at a time")
        # A script that succeeded is not waited for either: the guest takes calls from the channel in its own time.
        if not self.alive:
            return (OutcomeState.LOST, f"the sandbox was gone before the call began: {self._gone}"), None
        collect = call is not None and call.artefacts_to is not None
        pending = self._pending = _Pending(
            sink=sink,
            receiving=Receiving(self._granted.artefact_bytes) if collect else None,
            done=asyncio.get_running_loop().create_future(),
        )
        self._ready.clear()
        try:
            async with asyncio.timeout(timeout + GRACE_SECONDS + (_UPLOAD_SECONDS if call and call.files else 0)):
                await self._upload(header, call)
                # Waited for, not awaited: cancelling the caller must not resolve what the guest resolves.
                await asyncio.wait({pending.done})
        except TimeoutError:
            await self._drop("the guest did not end the call in time")
            return (OutcomeState.TIMED_OUT, f"the call did not end within {timeout:g} s; its container was removed"), (
                pending
            )
        except asyncio.CancelledError:
            await self._cancel(pending)
            raise
        finally:
            self._pending = None
            if not pending.done.done():
                # What still comes of this call must never be taken for the next one's.
                self._gone = self._gone or "a call was left before its end"
                self.channel.abort()
        if pending.sink_error is not None:
            raise pending.sink_error
        if pending.facts is None:
            return (OutcomeState.LOST, self._gone or "the container went away"), pending
        return pending.facts, pending

    async def _upload(self, header: bytes, call: Call | None) -> None:
        frames = [(Kind.CALL, header)]
        size = len(header)
        for frame in call_data(call) if call is not None else ():
            frames.append(frame)
            size += len(frame[1])
            if size > _WRITE_BYTES:
                self.channel.send_all(frames)
                frames, size = [], 0
                await self.channel.room()
        self.channel.send_all(frames)
        await self.channel.room()

    async def _cancel(self, pending: _Pending) -> None:
        """End the call in the guest; where it does not confirm soon, end the container."""
        self.channel.send(Kind.CANCEL)
        await asyncio.wait({pending.done}, timeout=_CANCEL_SECONDS)
        if not pending.done.done():
            await self._drop("the guest did not end a cancelled call")

    async def _drop(self, reason: str) -> None:
        self._gone = self._gone or reason
        await self.stop()

    async def _with_files(self, outcome: Outcome, call: Call, pending: _Pending) -> Outcome:
        receiving = pending.receiving
        if receiving is None or call.artefacts_to is None or outcome.state is OutcomeState.LOST:
            return outcome
        if receiving.refused is not None:
            if outcome.state is not OutcomeState.SUCCEEDED:
                return outcome
            return replace(outcome, state=OutcomeState.OUTPUT_LIMIT, reason=receiving.refused, result_json=None)
        notes = "".join(f"skillyard: left out {note}\n" for note in receiving.left_out).encode()
        if not receiving.files:
            return replace(outcome, stderr=outcome.stderr + notes) if notes else outcome
        try:
            files = await asyncio.to_thread(store, receiving.files, call.artefacts_to)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFullError(f"the call's files could not be stored: {error}") from error
            raise SandboxError(f"the call's files could not be stored: {error}") from error
        return replace(outcome, files=files, stderr=outcome.stderr + notes)

    # What arrives

    def _on_lost(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._ready.set()
        if self._pending is not None:
            self._pending.finish()

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        pending = self._pending
        match kind:
            case Kind.READY:
                self._on_ready(payload)
            case Kind.SPENT:
                self._on_lost(str(parse_object(payload).get("reason")))
            case Kind.STDOUT | Kind.STDERR | Kind.RESULT if pending is not None:
                self._on_data(pending, kind, payload)
            case Kind.END if pending is not None:
                pending.facts = parse_facts(payload)
                if pending.facts.reported == "result":
                    # The guest cleans up and takes the next call from the channel when it is done; it only speaks
                    # again to say that it cannot.
                    self._ready.set()
                if pending.receiving is None or not pending.facts.files:
                    pending.finish()
            case Kind.FILE if pending is not None and pending.receiving is not None:
                pending.receiving.start(payload)
            case Kind.FILE_DATA if pending is not None and pending.receiving is not None:
                pending.receiving.add(payload)
            case Kind.FILES_END if pending is not None and pending.receiving is not None:
                pending.receiving.end(payload)
                pending.finish()
            case _:
                # After a time-out or a cancellation the rest of a call may still arrive; nobody waits for it.
                if kind < Kind.READY:
                    raise FrameError(f"a guest does not send {kind.name}")

    def _on_ready(self, payload: bytes) -> None:
        failures = parse_object(payload).get("preload_failures")
        if isinstance(failures, list):
            self.preload_failures = tuple(str(failure) for failure in failures)
        self._ready.set()

    def _on_data(self, pending: _Pending, kind: Kind, payload: bytes) -> None:
        stream = pending.streams[kind]
        limit = self._granted.result_bytes if kind is Kind.RESULT else self._granted.stream_bytes
        if len(stream) + len(payload) > limit or pending.facts is not None:
            raise FrameError(f"{kind.name} is over its limit, or after the end")
        stream += payload
        number = _STREAM_NUMBERS.get(kind)
        if number is None or pending.sink_error is not None:
            return
        try:
            pending.sink(Output(number, payload))
        except Exception as error:  # noqa: BLE001 - the caller's own sink failed: end the call, raise it from `call`
            pending.sink_error = error
            self.channel.send(Kind.CANCEL)


def _judged(
    facts: EndFacts | tuple[OutcomeState, str], *, script: bool, timeout: float
) -> tuple[OutcomeState, str | None]:
    return state_of(facts, script=script, timeout=timeout) if isinstance(facts, EndFacts) else facts


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
