"""A started container as ``RunningSandbox``: one call at a time over its channel, every wait limited."""

from __future__ import annotations

import asyncio
import gc
import socket
import time

import orjson

from skillyard.errors import InputError
from skillyard.sandbox.artefacts import ArrivingFiles
from skillyard.sandbox.channel import Channel
from skillyard.sandbox.ending import EndFacts, parse_object, state_of
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import HealthError, NotBegunError, StartError
from skillyard.sandbox.guest.frames import FrameError, Kind
from skillyard.sandbox.incoming import FILES_SECONDS, Incoming, with_files
from skillyard.sandbox.outcome import Call, Outcome, OutcomeState, Usage
from skillyard.sandbox.request import Sizes, call_header, check_call, check_header
from skillyard.sandbox.sandbox import OutputSink, discard
from skillyard.sandbox.upload import send_call
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Entry, EntryKind

GRACE_SECONDS = 5.0
"""How long after a call's time-out the guest may take to say so, before the container is removed."""
_READY_SECONDS = 10.0
_UPLOAD_SECONDS = 60.0
_CANCEL_SECONDS = 3.0
_REMOVAL_SECONDS = 5.0

_Facts = EndFacts | tuple[OutcomeState, str]
"""How a call ended: by the guest's word, or by a state and its reason where the guest gave none."""


class DockerRunningSandbox:
    """Owned by whoever started it; ``stop`` must be called in the end, also when it is no longer alive."""

    def __init__(self, *, engine: Engine, container: str, granted: Granted) -> None:
        self._engine = engine
        self._container = container
        self._granted = granted
        self._incoming: Incoming | None = None
        self._ready = asyncio.Event()
        """Set when the guest can take a call, and when it never will."""
        self._gone: str | None = None
        self._spent = False
        """The guest said so. It ends a call that it has begun before it says so."""
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

    async def connect(self, listening: socket.socket) -> None:
        """Take the guest's own connection. Raises ``StartError`` where the container ends before it is made."""
        loop = asyncio.get_running_loop()
        ended, accepting = asyncio.ensure_future(self._ready.wait()), asyncio.ensure_future(loop.sock_accept(listening))
        try:
            await asyncio.wait({ended, accepting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            accepting.cancel()
        if not accepting.done() or accepting.cancelled():
            raise StartError(f"the guest did not connect: {self._gone}", stderr=self.channel.stderr)
        connection, _ = accepting.result()
        await loop.connect_accepted_socket(lambda: self.channel, connection)

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
        timeout = self._granted.timeout_seconds
        incoming = self._receive(discard, None)
        try:
            facts = await self._exchange(incoming, check_header(entries, timeout), None, timeout)
        except NotBegunError as error:
            raise HealthError(str(error)) from error
        state, reason = _judged(facts, script=False, timeout=timeout)
        if state is not OutcomeState.SUCCEEDED:
            printed = incoming.stderr.decode(errors="replace")
            raise HealthError(f"{reason or state.value}\n{printed}".rstrip())

    async def call(self, call: Call, on_output: OutputSink = discard) -> Outcome:
        """As the protocol says. Also raises ``InputError`` for input that no sandbox with this grant can take, and
        ``SandboxError`` where the files of an ended call cannot be stored on the host for another reason than room."""
        sizes = check_call(call, self._granted)
        folder = call.artefacts_to
        if folder is None:
            outcome, _ = await self._call(call, sizes, on_output, None)
            return outcome
        arriving = ArrivingFiles(folder, call.staged_as, hold=self.channel.hold)
        try:
            outcome, incoming = await self._call(call, sizes, on_output, arriving)
            return await with_files(outcome, incoming, arriving)
        except BaseException:
            await arriving.discard()
            raise

    async def _call(
        self, call: Call, sizes: Sizes, sink: OutputSink, arriving: ArrivingFiles | None
    ) -> tuple[Outcome, Incoming]:
        limit = self._granted.timeout_seconds
        timeout = limit if call.timeout_seconds is None else min(call.timeout_seconds, limit)
        started = time.monotonic()
        incoming = self._receive(sink, arriving)
        facts = await self._exchange(incoming, call_header(call, timeout, sizes), (call, sizes), timeout)
        if isinstance(facts, EndFacts) and facts.killed_for == "unbegun":
            await self.ready()
            raise NotBegunError(facts.reason or "no process took the call")
        state, reason = _judged(facts, script=call.entry.kind is EntryKind.SCRIPT, timeout=timeout)
        result = None
        if state is OutcomeState.SUCCEEDED and call.entry.kind is EntryKind.FUNCTION:
            result = incoming.result
            if not _is_json(result):
                # The harness sends JSON only; this came from code that took the harness's place in its own process.
                state, reason, result = OutcomeState.FAILED, "what the function answered is not JSON", None
        ended = facts if isinstance(facts, EndFacts) else None
        outcome = Outcome(
            state=state,
            reason=reason,
            result_json=result,
            exit_code=ended.exit_code if ended else None,
            signal=ended.signal if ended else None,
            stdout=incoming.stdout,
            stderr=incoming.stderr,
            usage=ended.usage if ended else Usage(wall_seconds=time.monotonic() - started),
        )
        if state is not OutcomeState.SUCCEEDED:
            # An abnormal end may have cost the container; whoever asks `alive` next deserves the answer.
            await self.ready()
        return outcome, incoming

    async def stop(self) -> None:
        self._gone = self._gone or "it was stopped"
        await asyncio.shield(self._remove())

    def _remove(self) -> asyncio.Task[None]:
        """Begin to remove the container, once."""
        self._ready.set()
        if self._incoming is not None:
            self._incoming.finish()
        self.channel.abort()
        if self._removal is None:
            self._removal = asyncio.create_task(self._engine.remove(self._container))
        return self._removal

    # The exchange

    def _receive(self, sink: OutputSink, arriving: ArrivingFiles | None) -> Incoming:
        return Incoming(
            granted=self._granted, sink=sink, arriving=arriving, cancel=lambda: self.channel.send(Kind.CANCEL)
        )

    async def _exchange(
        self, incoming: Incoming, header: bytes, call: tuple[Call, Sizes] | None, timeout: float
    ) -> _Facts:
        """One ``CALL`` to its end."""
        if self._incoming is not None:
            raise RuntimeError("a sandbox serves one call at a time")
        # A script that succeeded is not waited for either: the guest takes calls from the channel in its own time.
        if not self.alive:
            raise NotBegunError(f"the sandbox was gone before the call began: {self._gone}")
        self._incoming = incoming
        self._ready.clear()
        upload = _UPLOAD_SECONDS if call is not None and (call[0].files or call[0].stdin) else 0
        try:
            async with asyncio.timeout(timeout + GRACE_SECONDS + upload) as incoming.limit:
                if call is None:
                    self.channel.send(Kind.CALL, header)
                else:
                    await send_call(self.channel, header, *call, lambda: self.alive)
                # Waited for, not awaited: cancelling the caller must not resolve what the guest resolves.
                await asyncio.wait({incoming.done})
        except TimeoutError:
            incoming.limit = None
            await self._drop("the guest did not end the call in time")
            if incoming.facts is None:
                return OutcomeState.TIMED_OUT, f"the call did not end within {timeout:g} s; its container was removed"
            return OutcomeState.TIMED_OUT, f"what the call left took longer than {FILES_SECONDS:g} s to arrive"
        except (asyncio.CancelledError, InputError):
            await self._cancel(incoming)
            raise
        finally:
            self._incoming = None
            if not incoming.done.done():
                # What still comes of this call must never be taken for the next one's.
                self._gone = self._gone or "a call was left before its end"
                self.channel.abort()
        if incoming.sink_error is not None:
            raise incoming.sink_error
        if incoming.facts is None and self._spent:
            raise NotBegunError(f"the sandbox was gone before the call began: {self._gone}")
        return incoming.facts or (OutcomeState.LOST, self._gone or "the container went away")

    async def _cancel(self, incoming: Incoming) -> None:
        """End the call in the guest; where it does not confirm soon, end the container."""
        incoming.limit = None
        self.channel.send(Kind.CANCEL)
        await asyncio.wait({incoming.done}, timeout=_CANCEL_SECONDS)
        if not incoming.done.done():
            await self._drop("the guest did not end a cancelled call")

    async def _drop(self, reason: str) -> None:
        """Give the container up. What becomes of its removal is told to the owner, by ``stop``: the end of a call is
        not lost with an engine that is gone, and does not wait for one that hangs."""
        self._gone = self._gone or reason
        await asyncio.wait({self._remove()}, timeout=_REMOVAL_SECONDS)

    # What arrives

    def _on_lost(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._ready.set()
        if self._incoming is not None:
            self._incoming.finish()

    def _on_frame(self, kind: Kind, payload: bytes) -> None:
        match kind:
            case Kind.READY:
                self._on_ready(payload)
            case Kind.SPENT:
                self._spent = True
                self._on_lost(str(parse_object(payload).get("reason")))
            case _ if kind < Kind.READY:
                raise FrameError(f"a guest does not send {kind.name}")
            case _ if self._incoming is not None:
                self._incoming.take(kind, payload)
                if kind is Kind.END and self._incoming.answered:
                    # The guest cleans up and takes the next call from the channel when it is done; it only speaks
                    # again to say that it cannot.
                    self._ready.set()
            case _:
                pass  # After a time-out or a cancellation the rest of a call may still arrive; nobody waits for it.

    def _on_ready(self, payload: bytes) -> None:
        failures = parse_object(payload).get("preload_failures")
        if isinstance(failures, list):
            self.preload_failures = tuple(str(failure) for failure in failures)
        self._ready.set()


def _judged(facts: _Facts, *, script: bool, timeout: float) -> tuple[OutcomeState, str | None]:
    return state_of(facts, script=script, timeout=timeout) if isinstance(facts, EndFacts) else facts


def _is_json(data: bytes) -> bool:
    """On the event loop, as the parser holds the interpreter's lock throughout and a thread would win nothing. What
    costs is a result of millions of empty lists, and most of that would be the garbage collector looking at them."""
    collects = gc.isenabled()
    gc.disable()
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    finally:
        if collects:
            gc.enable()
    return True
