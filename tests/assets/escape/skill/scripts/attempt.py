"""What all attacks share: asking the C library, and telling how it answered."""

import contextlib
import ctypes
import errno
import os

LIBC = ctypes.CDLL(None, use_errno=True)


def name_of(number):
    return errno.errorcode.get(number, str(number))


def attempt(action):
    """``got`` with what came of it, or the name of the error."""
    try:
        return f"got {action()!r}"
    except OSError as error:
        return name_of(error.errno)


def asked(result):
    """The answer of a function of the C library, as ``attempt`` has it."""
    return f"got {result}" if result >= 0 else name_of(ctypes.get_errno())


def system_call(number, *arguments):
    ctypes.set_errno(0)
    return asked(LIBC.syscall(ctypes.c_long(number), *arguments))


def others():
    """Processes other than this one, with their names."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/comm") as comm:
                found[int(name)] = comm.read().strip()
    return found


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[1])


def zygote():
    """The oldest process but the first; spares are younger."""
    return min(pid for pid in others() if pid != 1)
