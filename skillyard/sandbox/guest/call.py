"""One call as the relay conducts it: input in, a spare set to work, its output out, its end, and what it left.

The order at the end matters. The end is seen or a limit is hit; the process group is killed, then everything in the
container that is not the guest's own; what is in the pipes is drained without waiting for end of file, which strays
could hold back; the facts go out; files are handed back; everything writable is wiped. A function that returned is
answered first and killed then: nothing that its process could still do changes the answer, and taking a large process
apart takes the kernel milliseconds.
"""

from __future__ import annotations

import os
import time

from skillyard.sandbox.guest import kernel, scratch
from skillyard.sandbox.guest.child import EVENT, FAILURE, NO_SPACE, RESULT_END, RESULT_PART, pack_spec
from skillyard.sandbox.guest.frames import CHUNK, MAX_EVENT_BYTES, MAX_EVENTS_BYTES, Kind, event_cost
from skillyard.sandbox.guest.intake import CancelledIntakeError, Intake, IntakeError
from skillyard.sandbox.guest.nursery import MAX_PACKET
from skillyard.sandbox.guest.plain import send_fds, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from skillyard.sandbox.guest.channel import Channel
    from skillyard.sandbox.guest.loop import Loop
    from skillyard.sandbox.guest.nursery import Nursery, Spare
else:
    import _signal as signal

_SPARE_SECONDS = 5.0
_TRIES = 4
"""One more than there can be spares."""
_SWEEP_SECONDS = 1.0
_STOPPED_SECONDS = 0.002
_INLINE_SPEC = 48 * 1024


class Limits:
    """From the grant; bytes."""

    def __init__(self, stream_bytes: int, result_bytes: int, artefact_bytes: int) -> None:
        self.stream_bytes = stream_bytes
        self.result_bytes = result_bytes
        self.artefact_bytes = artefact_bytes


class Tools:
    """What every call works with."""

    def __init__(
        self,
        *,
        loop: Loop,
        channel: Channel,
        nursery: Nursery,
        limits: Limits,
        bundle: str,
        writable: scratch.Scratch,
    ) -> None:
        self.loop = loop
        self.channel = channel
        self.nursery = nursery
        self.limits = limits
        self.bundle = bundle
        self.scratch = writable
        self.evidence = kernel.Evidence()


class Facts:
    """What is known at the end of a call; its attributes are the fields of the ``END`` frame."""

    def __init__(self) -> None:
        self.reported: str | None = None
        self.reason: str | None = None
        self.disk_full = False
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.killed_for: str | None = None
        self.oom_kills = 0
        self.process_refusals = 0
        self.wall: float | None = None
        self.cpu: float | None = None
        self.peak: int | None = None
        self.files = True
        """Whether what the call left is still to be looked through; where not, nothing follows the ``END``."""


def conduct(tools: Tools, header: dict[str, Any]) -> str | None:
    """Serve one call, with its ``READY`` where one is due. Returns why the container is spent, or ``None``."""
    facts = Facts()
    intake = Intake(tools.channel, header)
    problem = None
    try:
        intake.take()
    except IntakeError as error:
        facts.reported, facts.reason, facts.disk_full = "failed", str(error), error.disk_full
        _send_end(tools, facts)
    except CancelledIntakeError:
        facts.killed_for = "cancel"
        _send_end(tools, facts)
    else:
        problem = _conduct(tools, header, facts, intake)
        intake.close()
    if header["collect"] and facts.files:
        _hand_back(tools, intake.files, skip=problem is not None)
    problem = problem or _clean_up(tools)
    if problem is None and facts.reported != "result":
        send_ready(tools, {})
    return problem


def _conduct(tools: Tools, header: dict[str, Any], facts: Facts, intake: Intake) -> str | None:
    """In a spare, and in another where that one died before it took the call: an earlier call may have killed it."""
    for tries in reversed(range(_TRIES)):
        spare = tools.nursery.take(time.monotonic() + _SPARE_SECONDS)
        if spare is None:
            break
        call = Call(tools, header, facts, spare)
        problem = call.conduct(intake, may_try_again=tries > 0)
        if not call.to_be_tried_again:
            return problem
    facts.killed_for = "unbegun"
    facts.reason = tools.nursery.problem or f"no process came within {_SPARE_SECONDS:g} s"
    _send_end(tools, facts)
    return facts.reason


def send_ready(tools: Tools, facts: dict[str, Any]) -> None:
    """Wait for a process that can take a call, and say so. After a result nobody waits for that, and it is unsaid."""
    tools.nursery.wait_for_spare()
    if tools.nursery.problem is None:
        tools.channel.put_json(Kind.READY, facts)
        tools.channel.flush()


def _send_end(tools: Tools, facts: Facts) -> None:
    tools.channel.put_json(Kind.END, vars(facts))
    tools.channel.flush()


class Call:
    """A call that has its process."""

    def __init__(self, tools: Tools, header: dict[str, Any], facts: Facts, spare: Spare) -> None:
        self._tools = tools
        self._loop = tools.loop
        self._channel = tools.channel
        self._nursery = tools.nursery
        self._header = header
        self._facts = facts
        self._spare = spare
        self._pid: int = spare.pid or 0
        self._sent = {Kind.STDOUT: 0, Kind.STDERR: 0, Kind.RESULT: 0, Kind.EVENT: 0}
        self._paused: list[tuple[int, Kind]] = []
        self._killed = False
        """Whether the process lived until we ended it, so that its exit says nothing."""
        self._untaken = False
        self.to_be_tried_again = False

    def conduct(self, intake: Intake, *, may_try_again: bool) -> str | None:
        """To the end, with the facts sent, unless the call is to be tried again. Returns why the container is spent."""
        self._run(intake)
        answered = self._facts.reported == "result" and self._facts.killed_for is None and self._answer()
        left = self._sweep()
        if not answered:
            self._drain()
            self._drain_link()
            well = not left and self._nursery.problem is None and self._facts.killed_for is None
            self.to_be_tried_again = self._untaken and well and may_try_again
        if not answered and not self.to_be_tried_again:
            self._take_exit()
            self._take_evidence()
            _send_end(self._tools, self._facts)
        self._spare.close()
        self._nursery.settle()
        return f"{left} processes could not be ended" if left else self._nursery.problem

    # During

    def _run(self, intake: Intake) -> None:
        spare = self._spare
        self._loop.watch(spare.link.fileno(), self._on_link)
        self._loop.watch(spare.stdout, lambda: self._on_pipe(spare.stdout, Kind.STDOUT))
        self._loop.watch(spare.stderr, lambda: self._on_pipe(spare.stderr, Kind.STDERR))
        self._channel.on_relief = self._resume
        started = time.monotonic()
        self._instruct(intake)
        if not self._loop.run(self._ended, started + self._header["timeout"]):
            self._facts.killed_for = "timeout"
        self._facts.wall = time.monotonic() - started
        self._loop.forget(spare.link.fileno())
        self._channel.on_relief = lambda: None

    def _instruct(self, intake: Intake) -> None:
        spec = pack_spec(
            {
                "mode": self._header["mode"],
                "bundle": self._tools.bundle,
                "folder": scratch.WORK,
                "path": self._header["path"],
                "function": self._header["function"],
                "argv": self._header["argv"],
                "entries": self._header["entries"],
                "stdin": intake.stdin is not None,
            },
            intake.input,
        )
        files = [] if intake.stdin is None else [os.dup(intake.stdin)]
        packet = b"I" + spec
        if len(spec) > _INLINE_SPEC:
            packet = b"M"
            files.insert(0, _memory_file(spec))
        try:
            if files:
                send_fds(self._spare.link, packet, files)
            else:
                self._spare.link.send(packet)
        except OSError:
            self._untaken = True
        for descriptor in files:
            os.close(descriptor)

    def _ended(self) -> bool:
        facts = self._facts
        if facts.killed_for is not None:
            return True
        if self._channel.take_cancel():
            facts.killed_for = "cancel"
            return True
        if self._nursery.problem is not None:
            facts.killed_for, facts.reason = "guest", self._nursery.problem
            return True
        if self._header["mode"] != "script" and facts.reported is not None:
            return True
        return self._nursery.exit_of(self._pid) is not None

    def _on_link(self) -> None:
        link = self._spare.link
        if self._channel.congested:
            # The parts of a result are not sent one by one.
            self._channel.flush()
        if self._channel.congested:
            self._loop.forget(link.fileno())
            self._paused.append((link.fileno(), Kind.EVENT))
            return
        data = self._packet()
        if data is not None and not self._take_packet(data):
            self._loop.forget(link.fileno())

    def _packet(self) -> bytes | None:
        """The next packet; empty at the end of the link, ``None`` where there is none now."""
        try:
            return self._spare.link.recv(MAX_PACKET)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            # So says the kernel when the other end went away with a packet unread, and we send only one.
            self._untaken = True
            return b""
        except OSError:
            return b""

    def _take_packet(self, data: bytes) -> bool:
        """False where no further packet counts."""
        kind, body = data[:1], data[1:]
        if not kind or self._facts.reported is not None:
            return False
        if kind == EVENT:
            self._forward_event(data)
        elif kind == FAILURE:
            self._facts.reported = "failed"
            self._facts.disk_full = bool(body[:1] and body[0] & NO_SPACE)
            self._facts.reason = body[1:].decode(errors="replace")
        elif kind in {RESULT_PART, RESULT_END} and self._header["mode"] != "script" and not self._facts.killed_for:
            whole = self._forward(Kind.RESULT, body, self._tools.limits.result_bytes)
            if whole and kind == RESULT_END:
                self._facts.reported = "result"
        return True

    def _forward_event(self, event: bytes) -> None:
        """Pass an event on unread: what it says is for the host to judge. Too large or too many end the call."""
        self._sent[Kind.EVENT] += event_cost(event)
        if len(event) > MAX_EVENT_BYTES or self._sent[Kind.EVENT] > MAX_EVENTS_BYTES:
            self._facts.killed_for = self._facts.killed_for or "event"
            self._sent[Kind.EVENT] = MAX_EVENTS_BYTES
            return
        self._channel.put(Kind.EVENT, event)
        self._channel.flush()

    def _on_pipe(self, descriptor: int, kind: Kind) -> None:
        if self._channel.congested:
            self._loop.forget(descriptor)
            self._paused.append((descriptor, kind))
            return
        self._read_pipe(descriptor, kind)
        self._channel.flush()

    def _read_pipe(self, descriptor: int, kind: Kind) -> bool:
        """Forward one piece; false where there is none now, or none any more."""
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.forget(descriptor)
            return False
        return self._forward(kind, data, self._tools.limits.stream_bytes)

    def _forward(self, kind: Kind, data: bytes, limit: int) -> bool:
        """Queue data of a stream up to its limit; false (and the call is over) where the limit is passed."""
        room = limit - self._sent[kind]
        self._sent[kind] += len(data)
        if data[:room]:
            self._channel.put(kind, data[:room])
        if len(data) > room:
            self._facts.killed_for = self._facts.killed_for or kind.name.lower()
            self._sent[kind] = limit
            return False
        return True

    def _resume(self) -> None:
        paused, self._paused = self._paused, []
        for descriptor, kind in paused:
            if kind is Kind.EVENT:
                self._loop.watch(descriptor, self._on_link)
            else:
                self._loop.watch(descriptor, lambda d=descriptor, k=kind: self._on_pipe(d, k))  # type: ignore[misc]

    # After

    def _answer(self) -> bool:
        """For a function that returned: measure its living process and answer. False where that cannot be done."""
        used = kernel.measure(self._pid)
        if used is None:
            return False
        self._facts.cpu, self._facts.peak = used
        self._drain()
        if self._facts.killed_for is not None:
            return False
        # What the process may still write after its answer is not part of it, and is wiped.
        self._facts.files = not self._tools.scratch.untouched()
        _send_end(self._tools, self._facts)
        return True

    def _drain(self) -> None:
        for descriptor, kind in ((self._spare.stdout, Kind.STDOUT), (self._spare.stderr, Kind.STDERR)):
            while self._read_pipe(descriptor, kind):
                pass
            self._loop.forget(descriptor)

    def _drain_link(self) -> None:
        """What was sent last and not read yet. Nobody is left who could send more."""
        while (data := self._packet()) is not None and self._take_packet(data):
            pass

    def _sweep(self) -> int:
        """End every process of the call; returns how many could not be ended."""
        deadline = time.monotonic() + _SWEEP_SECONDS
        nursery = self._nursery
        nursery.reap()
        self._killed = nursery.exit_of(self._pid) is None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        self._loop.run(lambda: nursery.exit_of(self._pid) is not None, deadline)
        rounds = 0
        while left := nursery.strangers():
            if time.monotonic() > deadline:
                return len(left)
            # A crowd that forks faster than it is killed is stopped first: what is stopped still counts against the
            # process limit, so that each round leaves less room for new ones.
            kernel.send_signal(left, signal.SIGSTOP if rounds % 4 else signal.SIGKILL)
            self._loop.run(lambda: False, time.monotonic() + _STOPPED_SECONDS)
            nursery.reap()
            rounds += 1
        return 0

    def _take_exit(self) -> None:
        exited = self._nursery.exit_of(self._pid)
        if exited is None:
            return
        self._facts.cpu = exited.usage.ru_utime + exited.usage.ru_stime
        self._facts.peak = exited.usage.ru_maxrss * 1024
        # A function's answer is its end; how its process left after that says nothing.
        if not self._killed and (self._header["mode"] == "script" or self._facts.reported is None):
            code = os.waitstatus_to_exitcode(exited.status)
            self._facts.exit_code, self._facts.signal = (code, None) if code >= 0 else (None, -code)

    def _take_evidence(self) -> None:
        facts = self._facts
        facts.oom_kills, facts.process_refusals = self._tools.evidence.since()
        facts.disk_full = facts.disk_full or scratch.full()
        if self._nursery.problem is not None and facts.killed_for is None:
            facts.killed_for, facts.reason = "guest", self._nursery.problem


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("call", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as stream:
        stream.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _hand_back(tools: Tools, inputs: dict[str, scratch.Stamp], *, skip: bool) -> None:
    left_out: list[str] = []
    refused = "what the call left cannot be read safely" if skip else None
    if not skip:
        try:
            for file in scratch.harvest(inputs, tools.limits.artefact_bytes, left_out):
                _send_file(tools.channel, file)
        except (scratch.HarvestError, OSError) as error:
            refused = str(error)
    tools.channel.put_json(Kind.FILES_END, {"refused": refused, "left_out": left_out[:100]})
    tools.channel.flush()


def _send_file(channel: Channel, file: scratch.Harvested) -> None:
    with open(file.descriptor, "rb", buffering=0) as stream:
        channel.put_json(Kind.FILE, {"path": file.path, "size": file.size})
        while data := stream.read(CHUNK):
            channel.put(Kind.FILE_DATA, data)
            channel.flush()
            channel.wait_for_room()


def _clean_up(tools: Tools) -> str | None:
    try:
        tools.scratch.restore()
    except OSError as error:
        return f"the writable folders could not be wiped: {error}"
    tools.nursery.wake()
    if tools.evidence.reset():
        tools.nursery.distrust()
    tools.nursery.replenish()
    return tools.nursery.problem
