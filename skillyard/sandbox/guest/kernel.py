"""What the guest asks of the kernel beyond Python's ``os``: prctl, the OOM order, cgroup counters, the process list."""

from __future__ import annotations

import ctypes
import os
import struct
import time

from skillyard.sandbox.guest.plain import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Set as AbstractSet
else:
    import _signal as signal

_PR_SET_DUMPABLE = 4
_RLIMIT_NOFILE = 7
_LIMITS = struct.Struct("QQ")
_SIGNAL_SET = 128
"""Bytes of a ``sigset_t`` in the C library."""
_CPUCLOCK_SCHED = 2
_TICKS = os.sysconf("SC_CLK_TCK")
_LIBC = ctypes.CDLL(None, use_errno=True)

# The version 1 and version 2 names of one fact: how often the kernel killed for memory, and refused a new process.
_OOM_FILES = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")
_PIDS_FILES = ("/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events")
_TASKS_FILES = ("/sys/fs/cgroup/pids/pids.current", "/sys/fs/cgroup/pids.current")


def set_dumpable(allowed: bool) -> None:
    """Whether processes of the same uid may read this one's memory and descriptors, or attach to it (prctl(2))."""
    if _LIBC.prctl(_PR_SET_DUMPABLE, int(allowed), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def set_oom_score(score: int, file: str = "/proc/self/oom_score_adj") -> None:
    """Raise how early the kernel kills this process for memory (-1000 … 1000)."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(score).encode())
    finally:
        os.close(descriptor)


def unblock_signals() -> None:
    """All of them. By ctypes, since ``signal`` would make sixty enumeration members of what was blocked before."""
    if _LIBC.pthread_sigmask(signal.SIG_SETMASK, bytes(_SIGNAL_SET), None) != 0:
        raise OSError("pthread_sigmask")


def open_files() -> tuple[int, int]:
    """How many descriptors this process may have, and how many it may allow itself (getrlimit(2))."""
    room = ctypes.create_string_buffer(_LIMITS.size)
    if _LIBC.getrlimit(_RLIMIT_NOFILE, room) != 0:
        raise OSError(ctypes.get_errno(), "RLIMIT_NOFILE")
    now, most = _LIMITS.unpack(room.raw)
    return now, most


def limit_open_files(now: int, most: int) -> None:
    """For this process and all it forks. By ctypes, since loading ``resource`` would make every fork dearer."""
    if _LIBC.setrlimit(_RLIMIT_NOFILE, _LIMITS.pack(now, most)) != 0:
        raise OSError(ctypes.get_errno(), "RLIMIT_NOFILE")


class _Counter:
    """One number of a cgroup file, read again and again through a descriptor that stays open."""

    def __init__(self, files: tuple[str, ...], field: bytes) -> None:
        self._field = field
        self._descriptor = _open_first(files)

    def read(self) -> int:
        for line in os.pread(self._descriptor, 4096, 0).splitlines():
            name, _, value = line.partition(b" ")
            if name == self._field:
                return int(value)
        raise OSError(f"the cgroup file has no field {self._field.decode()}")


def _open_first(files: tuple[str, ...]) -> int:
    for file in files:
        with suppress(FileNotFoundError):
            return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    raise FileNotFoundError(f"none of {', '.join(files)} is there")


class TaskCount:
    """How many threads are in this container: of processes that run, and of those that nobody collected yet."""

    def __init__(self) -> None:
        try:
            self._descriptor: int | None = _open_first(_TASKS_FILES)
        except FileNotFoundError:
            self._descriptor = None

    def read(self) -> int | None:
        """``None`` where the kernel does not tell."""
        return None if self._descriptor is None else int(os.pread(self._descriptor, 32, 0))


class Evidence:
    """How often the kernel killed for memory and refused a new process since the last ``reset``."""

    def __init__(self) -> None:
        self._oom_kills = _Counter(_OOM_FILES, b"oom_kill")
        self._process_refusals = _Counter(_PIDS_FILES, b"max")
        self._base = (0, 0)
        self.reset()

    def reset(self) -> int:
        """Begin anew. Returns how often the kernel killed for memory until now."""
        before, self._base = self._base[0], (self._oom_kills.read(), self._process_refusals.read())
        return self._base[0] - before

    def since(self) -> tuple[int, int]:
        return self._oom_kills.read() - self._base[0], self._process_refusals.read() - self._base[1]


def measure(pid: int) -> tuple[float, int] | None:
    """CPU seconds (with those of children it waited for) and peak resident bytes of a living process, else ``None``.

    proc(5) ``stat`` and ``status``; the process's own CPU time from its clock (clock_getcpuclockid(3)), which counts
    nanoseconds where ``stat`` counts ticks.
    """
    try:
        own = time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
        stat, status = _read(f"/proc/{pid}/stat"), _read(f"/proc/{pid}/status")
    except OSError:
        return None
    peak = status.find(b"VmHWM:")
    if peak < 0:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split(b" ", 15)
    return own + (int(fields[13]) + int(fields[14])) / _TICKS, int(
        status[peak + 6 : peak + 30].split(None, 1)[0]
    ) * 1024


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def strangers(known: AbstractSet[int]) -> list[int]:
    """Processes in this container that are not in ``known``, zombies included."""
    return [pid for name in os.listdir("/proc") if name.isdigit() and (pid := int(name)) not in known]


def session(pid: int) -> int | None:
    """The session a process belongs to, or ``None`` where it is gone; a process can only ever open one of its own."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    return int(stat[stat.rindex(b")") + 2 :].split(b" ", 4)[3])


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    fields = _stat(pid)
    return fields is None or fields[0] in b"ZX"


def is_doomed(pid: int) -> bool:
    """Whether a process has ended or is about to: a SIGKILL that was sent takes effect when its target next runs."""
    fields = _stat(pid)
    return fields is None or fields[0] in b"ZX" or bool(int(fields[28]) & 1 << (signal.SIGKILL - 1))


def _stat(pid: int) -> list[bytes] | None:
    """The fields of proc(5) ``stat`` from the third on, which is the state; the signals pending are the 31st."""
    try:
        stat = _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    return stat[stat.rindex(b")") + 2 :].split(b" ", 30)


def send_signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
