"""The relay's side of the zygote: children forked ahead of time, their descriptors, and the reaping of all processes.

A spare counts only once three things are known: its pid (``SCM_CREDENTIALS`` of its first message, from the kernel),
that its intermediate parent is gone (the zygote's word, after waiting for it), and that it is warm (its own word).
Both sides of every socket here are bounded; what arrives is untrusted.
"""

from __future__ import annotations

import _socket
import os
import struct
import time

from skillyard.sandbox.guest import kernel
from skillyard.sandbox.guest.loop import Loop
from skillyard.sandbox.guest.plain import send_fds, suppress

# The type checker takes this name for true; ``typing`` and ``dataclasses`` would make every fork dearer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    import signal
    from collections import deque
else:
    import _signal as signal
    from _collections import deque

MAX_PACKET = 64 * 1024 + 1
FORK, FORKED, FORK_FAILED, STARTED = b"F", b"F", b"E", b"Z"
SPARE_BORN, SPARE_READY = b"B", b"R"
SPARES, BATCH = 3, 2
"""Most spares, and how many are forked at a time: a batch shares the process in the middle, which costs a fork."""
_LOG_TAIL = 8 * 1024
_ENDING_SECONDS = 0.002
_LAST_MOMENT_SECONDS = 0.1
_CREDENTIALS = struct.Struct("iII")


class Exited:
    """How a process ended, by wait4(2)."""

    def __init__(self, status: int, usage: resource.struct_rusage) -> None:
        self.status = status
        self.usage = usage


class Spare:
    """A child that waits for its call. The relay's ends of its socket and of its output pipes."""

    def __init__(self, link: _socket.socket, stdout: int, stderr: int) -> None:
        self.link = link
        self.stdout = stdout
        self.stderr = stderr
        self.pid: int | None = None
        self.forked = False
        self.warm = False
        self.lost = False

    @property
    def known(self) -> bool:
        """Its pid is, and that its intermediate parent is gone."""
        return self.pid is not None and self.forked

    @property
    def ready(self) -> bool:
        return self.known and self.warm and not self.lost

    def close(self) -> None:
        self.link.close()
        os.close(self.stdout)
        os.close(self.stderr)


def _make_spare() -> tuple[Spare, tuple[int, int, int]]:
    """The relay's side, and the three descriptors of the child's: socket, standard output, standard error."""
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    ours.setblocking(False)
    out_read, out_write = os.pipe2(os.O_CLOEXEC)
    err_read, err_write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(out_read, False)
    os.set_blocking(err_read, False)
    return Spare(ours, out_read, err_read), (theirs.detach(), out_write, err_write)


class Nursery:
    """Asks the zygote for children and hands them out."""

    def __init__(self, loop: Loop, link: _socket.socket, log: int, pid: int) -> None:
        self.loop = loop
        self.link = link
        self.log = log
        self.pid = pid
        self.started = False
        self.preload_failures = ""
        self.problem: str | None = None
        """Why no further child will come, once that is so."""
        self.busy = False
        """A call runs, which may have taken every process there is: a fork that fails now is tried again after it."""
        self._spares: deque[Spare] = deque()
        self._requests: deque[list[Spare]] = deque()
        self._exits: dict[int, Exited | None] = {}
        """Ends of the processes that matter, ``None`` while they live. Orphans of calls are reaped without a trace."""
        self._log_tail = b""
        self._processors = os.sched_getaffinity(0)
        self._tasks = kernel.TaskCount()

    def watch(self) -> None:
        self.link.setblocking(False)
        os.set_blocking(self.log, False)
        self.loop.watch(self.link.fileno(), self._on_link)
        self.loop.watch(self.log, self._on_log)
        # The handler does nothing: Python writes a byte to the wake-up descriptor for a signal that has one. As the
        # first process of its namespace the relay receives no other signal from inside.
        readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self.loop.watch(readable, lambda: self._on_child_signal(readable))

    # Spares

    def replenish(self) -> None:
        """Ask for children where a batch is missing, which is before the last spare is taken."""
        for spare in [spare for spare in self._spares if spare.lost]:
            self._discard(spare)
        while self.problem is None and len(self._spares) + BATCH <= SPARES:
            self._ask()

    def distrust(self) -> None:
        """Give up every spare. Whom the kernel killed for memory may not have ended yet: a spare, or the zygote. One
        that is forked from now on shows that the zygote was not among them."""
        for spare in self._spares:
            spare.lost = True

    def _ask(self) -> None:
        made = [_make_spare() for _ in range(BATCH)]
        theirs = [descriptor for _, descriptors in made for descriptor in descriptors]
        try:
            send_fds(self.link, FORK, theirs)
        except OSError as error:
            self.problem = f"the zygote takes no request: {error}"
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        spares = [spare for spare, _ in made]
        self._requests.append(spares)
        for spare in spares:
            self._spares.append(spare)
            self.loop.watch(spare.link.fileno(), lambda one=spare: self._on_spare(one))  # type: ignore[misc]

    def _on_spare(self, spare: Spare) -> None:
        try:
            data, ancillary, _, _ = spare.link.recvmsg(MAX_PACKET, _socket.CMSG_SPACE(_CREDENTIALS.size))
        except OSError:
            data, ancillary = b"", []
        if data == SPARE_BORN and spare.pid is None:
            spare.pid = _sender(ancillary)
            self._exits[spare.pid] = None
        elif data == SPARE_READY and spare.pid is not None and not spare.warm:
            spare.warm = True
        else:
            self.loop.forget(spare.link.fileno())
            spare.lost = True

    def _discard(self, spare: Spare) -> None:
        self.loop.forget(spare.link.fileno())
        if spare.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(spare.pid, signal.SIGKILL)
        spare.close()
        self._spares.remove(spare)

    @property
    def quiet(self) -> bool:
        """No fork is under way, so that every process of ours is known by its pid."""
        return all(spare.known or spare.lost for spare in self._spares)

    def wait_for_spare(self, deadline: float | None = None) -> None:
        """Until one is ready, or none will ever be, or until the deadline. Those lost meanwhile are asked for again."""
        waiting = True
        while waiting and self.problem is None and not self._any_ready:
            self.replenish()
            waiting = self.loop.run(
                lambda: self._any_ready or self.problem is not None or all(spare.lost for spare in self._spares),
                deadline,
            )

    @property
    def _any_ready(self) -> bool:
        return any(spare.ready for spare in self._spares)

    def take(self, deadline: float) -> Spare | None:
        """A ready spare, now the caller's to close; ``None`` where the guest cannot fork, or not in time.

        Nor is there one where the zygote is known to have ended: the call would be lost, and has not begun yet.
        """
        self.loop.catch_up()
        self.replenish()
        while True:
            self.wait_for_spare(deadline)
            spare = next((spare for spare in self._spares if spare.ready), None)
            if spare is None or self.problem is not None:
                return None
            if spare.pid is not None and not kernel.is_doomed(spare.pid):
                break
            # Killed by a call before, and not aware of it yet.
            spare.lost = True
        self._spares.remove(spare)
        self.loop.forget(spare.link.fileno())
        self.busy = True
        return spare

    # The zygote

    def _on_link(self) -> None:
        data = self.link.recv(MAX_PACKET)
        match data[:1]:
            case b"F":
                self._on_answer(forked=True)
            case b"Z":
                self.started = True
                self.preload_failures = data[1:].decode(errors="replace")
            case b"E" if self.busy:
                self._on_answer(forked=False)
            case b"E":
                self._lose("the guest cannot fork: " + data[1:].decode(errors="replace"))
            case _:
                self._on_end()

    def _on_answer(self, *, forked: bool) -> None:
        """Requests are answered in the order in which they were made."""
        for spare in self._requests.popleft() if self._requests else ():
            spare.forked = True
            spare.lost = spare.lost or not forked

    def _on_end(self) -> None:
        """The link is closed a moment before the process can be collected, which tells how it ended."""
        deadline = time.monotonic() + _LAST_MOMENT_SECONDS
        while self.problem is None and time.monotonic() < deadline:
            time.sleep(_LAST_MOMENT_SECONDS / 100)
            self.reap()
        self._lose("the zygote closed its link")

    def _lose(self, problem: str) -> None:
        self.loop.forget(self.link.fileno())
        self.problem = self.problem or problem

    def _on_log(self) -> None:
        with suppress(BlockingIOError):
            data = os.read(self.log, 64 * 1024)
            if not data:
                self.loop.forget(self.log)
            self._log_tail = (self._log_tail + data)[-_LOG_TAIL:]

    def log_text(self) -> str:
        """What the zygote printed last, which is what imports printed."""
        return self._log_tail.decode(errors="replace")

    # Processes

    def _on_child_signal(self, wake_up: int) -> None:
        with suppress(BlockingIOError):
            os.read(wake_up, 4096)
        self.reap()

    def reap(self) -> None:
        """Collect every process that has ended."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._exits:
                self._exits[pid] = Exited(status, usage)
            if pid == self.pid:
                self._lose(f"the zygote {_how(os.waitstatus_to_exitcode(status))}")

    def exit_of(self, pid: int) -> Exited | None:
        return self._exits.get(pid)

    def settle(self) -> None:
        """After a call: note spares that did not survive it, and forget the ends of everything else."""
        self.busy = False
        for spare in self._spares:
            spare.lost = spare.lost or (spare.pid is not None and self._exits.get(spare.pid) is not None)
        self._exits = {spare.pid: None for spare in self._spares if spare.pid is not None and not spare.lost}

    def strangers(self) -> list[int]:
        """Processes that are not the guest's. Those of a fork under way are told by the zygote's session, which no
        process of a call can enter."""
        if self._tasks.read() == len(self._uncollected()):
            # As many threads as there are processes of ours that count: nobody else is there. Far cheaper than a list.
            return []
        found = kernel.strangers(self.known())
        if not found or self.quiet:
            return found
        found = [pid for pid in found if kernel.session(pid) != self.pid]
        # A child that has just left that session has told its pid before.
        self.loop.catch_up()
        return [pid for pid in found if pid not in self.known()]

    def end_companions(self, deadline: float) -> None:
        """Before the first spare: end processes that imports started. The zygote collects them when it forks."""
        while left := [pid for pid in kernel.strangers(self.known()) if not kernel.has_ended(pid)]:
            kernel.send_signal(left, signal.SIGKILL)
            if time.monotonic() > deadline:
                return
            self.loop.run(lambda: False, time.monotonic() + _ENDING_SECONDS)

    def known(self) -> set[int]:
        """Pids of the guest's own processes."""
        return {os.getpid(), self.pid, *(spare.pid for spare in self._spares if spare.pid is not None)}

    def _uncollected(self) -> set[int]:
        """Those of the guest's own processes that the kernel still counts, ended or not: nobody else collects them."""
        return {pid for pid in self.known() if self._exits.get(pid) is None}

    def wake(self) -> None:
        """Undo what an ended call may have done to processes that outlive it: a SIGSTOP, fewer processors."""
        ours = self.known() if self.quiet else self.known() | set(kernel.strangers(self.known()))
        for pid in ours:
            with suppress(ProcessLookupError):
                if os.sched_getaffinity(pid) != self._processors:
                    os.sched_setaffinity(pid, self._processors)
                os.kill(pid, signal.SIGCONT)


def _how(code: int) -> str:
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The pid in a message's credentials, which the kernel vouches for."""
    for level, kind, value in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_CREDENTIALS:
            return int(_CREDENTIALS.unpack(value[: _CREDENTIALS.size])[0])
    raise OSError("a message came without credentials")
