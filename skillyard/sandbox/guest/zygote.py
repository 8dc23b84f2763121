"""The process that imports a skill's packages once and forks a child for each call.

Packages run their import code here, so from then on the zygote is foreign: it holds no channel, cannot be attached
to and cannot attach (``PR_SET_DUMPABLE`` 0), and the relay believes nothing it says without the kernel's word.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import gc
import importlib
import os
import site
import sys
import warnings

from skillyard.sandbox.guest import bundle, child, kernel, seccomp
from skillyard.sandbox.guest.nursery import BATCH, FORK, FORK_FAILED, FORKED, MAX_PACKET, STARTED
from skillyard.sandbox.guest.plain import recv_fds, suppress

# The type checker takes this name for true; ``typing`` itself would make every fork dearer.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal

_OOM_SCORE = 800
_C = ctypes.PyDLL(None, use_errno=True)
_CLONE_VM, _CLONE_VFORK = 0x100, 0x4000
_DEEPER = 1024 * 1024
"""Where the process in the middle has its frames, counted from the beginning of the stack: far below ours."""


class Preparation:
    """What the zygote loads. Paths are inside the container."""

    def __init__(self, bundle: str, environment: str | None, preload: list[str]) -> None:
        self.bundle = bundle
        self.environment = environment
        self.preload = preload


def run(link: _socket.socket, log: int, preparation: Preparation, package_root: str) -> NoReturn:
    """Never returns. ``link`` goes to the relay; ``log`` takes what imports print."""
    _take_descriptors(link, log)
    os.setsid()
    kernel.set_dumpable(True)
    kernel.set_oom_score(_OOM_SCORE)
    kernel.set_dumpable(False)
    granted, _ = kernel.open_files()
    kernel.limit_open_files(granted, granted)
    seccomp.install()
    # The relay's handler and wake-up descriptor are not ours.
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _prepare_interpreter(preparation, package_root)
    failures = _preload(preparation.preload)
    # From here on only SIGKILL and SIGSTOP reach us and the spares: a call may send others to them, and what is pending
    # when a spare takes a call would be that call's. Imports may want theirs.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    bundle.compile_sources(preparation.bundle)
    # What cannot be imported says so in the call that wants it; these are no packages of the skill's.
    _preload(bundle.standard_imports())
    child.practise()
    gc.collect()
    gc.freeze()
    link.send(STARTED + "\n".join(failures).encode()[: MAX_PACKET - 1])
    _serve(link)


def _take_descriptors(link: _socket.socket, log: int) -> None:
    """Leave nothing of the relay's open: its channel is 0 and 1."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    kept = link.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)


def _prepare_interpreter(preparation: Preparation, package_root: str) -> None:
    sys.path.remove(package_root)
    # Without ``site`` at start-up these names are missing, which scripts use all the same.
    site.setquit()
    site.sethelper()
    if preparation.environment is not None:
        site.addsitedir(preparation.environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Children run one call each; that a preloaded package has started threads is its own affair.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*multi-threaded, use of fork.*")


def _preload(modules: list[str]) -> list[str]:
    failures = []
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001 - foreign import code may raise anything; the call will say it
            failures.append(f"{module}: {type(error).__name__}: {error}"[:500])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return failures


def _serve(link: _socket.socket) -> NoReturn:
    forks = _Forks(link)
    while True:
        data, descriptors = recv_fds(link, 16, 3 * BATCH)
        if data != FORK or len(descriptors) != 3 * BATCH:
            os._exit(0)
        status = forks.orphans(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        link.send(FORKED if status == 0 else FORK_FAILED + os.strerror(status).encode())


class _Forks:
    """Makes children whose parent ends at once, so that they become the relay's.

    The process in the middle shares our memory while we stand still (clone(2), ``CLONE_VFORK``): it costs no copy of
    the page tables, which is what a fork of a large process costs. It returns from its function before it ends, so
    that the interpreter's state, which is ours, is left as it was found. Its frames, and so those of the children, are
    deeper in the one stack: whatever asks where the stack is finds them within.
    """

    def __init__(self, link: _socket.socket) -> None:
        self._link = link
        self._descriptors: list[int] = []
        self._function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._in_the_middle)
        self._stack = ctypes.c_void_p(_stack_end() - _DEEPER)

    def orphans(self, descriptors: list[int]) -> int:
        """One for each three descriptors; returns an errno, 0 for success."""
        self._descriptors = descriptors
        middle = _C.clone(self._function, self._stack, _CLONE_VM | _CLONE_VFORK | signal.SIGCHLD, None)
        if middle < 0:
            return ctypes.get_errno() or errno.EAGAIN
        status = _reap(middle)
        # One that was killed says nothing about forking; children it did not come to make are missed by the relay.
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0

    def _in_the_middle(self, _: None) -> int:
        descriptors = self._descriptors
        try:
            for start in range(0, len(descriptors), 3):
                if os.fork() == 0:
                    self._link.close()
                    own = descriptors[start : start + 3]
                    for descriptor in descriptors[:start] + descriptors[start + 3 :]:
                        os.close(descriptor)
                    child.wait_and_serve(own)
        except OSError as error:
            return error.errno or 1
        return 0


def _stack_end() -> int:
    """The highest address of this thread's stack, which is where it began."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            if line.endswith("[stack]\n"):
                return int(line.partition("-")[2].partition(" ")[0], 16)
    raise OSError(errno.ENOENT, "this process has no stack")


def _reap(middle: int) -> int:
    """Wait for the process in the middle, and collect those that imports started and that have ended since."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == middle:
            break
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return status
