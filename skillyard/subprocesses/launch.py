"""A tool's first instructions: die with whoever started it, write no huge file, then become the tool.

Run as a script by ``tools.run_tool``, never imported by product code: ``launch.py PARENT FILE_BYTES MEMORY_BYTES
PROGRAM ARG…``. The memory is address space; 0 bytes sets no limit of ours.
A signal handler or ``finally`` in the parent does not run when the parent gets SIGKILL; the kernel's parent-death
signal (prctl(2), Linux) does, so that no download or build goes on for nobody. Elsewhere than on Linux the time limit
of the tool itself has to end it. Standard library only, and little of it: this costs each start some 15 ms.
"""

import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415 - not needed, and slow to import, anywhere else

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # The parent died before the kernel knew that it matters.
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(what: int, wanted: int) -> None:
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def main() -> None:
    parent, file_bytes, memory_bytes, program = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    _die_with_parent(parent)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    if memory_bytes:
        _limit(resource.RLIMIT_AS, memory_bytes)
    os.execv(program, sys.argv[4:])  # noqa: S606 - an argument list, and no shell is wanted


if __name__ == "__main__":
    main()
