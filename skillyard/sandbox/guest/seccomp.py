"""A filter of system calls on top of the engine's: a call may not change the limits and priorities of its elders.

All processes of a container share one user, and the kernel lets processes of one user lower each other's resource
limits and priorities, the relay's included, without the permission that attaching needs. Each may still change its
own. The filter is inherited and cannot be taken off (seccomp(2), classic BPF).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000

# Per machine: the audit architecture, and the numbers of the calls in the order of _ALLOWED.
_MACHINES = {
    "x86_64": (0xC000003E, (302, 141, 142, 144, 251, 314)),
    "aarch64": (0xC00000B7, (261, 140, 118, 119, 30, 274)),
}
# What the arguments (position, value) must be: prlimit64 of oneself; setpriority of one process, oneself;
# sched_setparam, sched_setscheduler of oneself; ioprio_set of one process, oneself; sched_setattr of oneself.
_ALLOWED = (((0, 0),), ((0, 0), (1, 0)), ((0, 0),), ((0, 0),), ((0, 1), (1, 0)), ((0, 0),))


def install() -> None:
    """For this process and all it forks. Raises ``OSError``, also for a machine whose calls are not known here."""
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"there is no system call filter for {machine}")
    instructions = _program(*_MACHINES[machine])
    code = ctypes.create_string_buffer(b"".join(instructions))
    # struct sock_fprog: a count, and a pointer aligned to eight bytes.
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def _program(architecture: int, numbers: tuple[int, ...]) -> list[bytes]:
    instructions = [
        _instruction(_LOAD, 0, 0, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, 1, 0, architecture),
        _instruction(_RETURN, 0, 0, _REFUSE),
        _instruction(_LOAD, 0, 0, _NUMBER),
        _instruction(_JUMP_IF_AT_LEAST, 0, 1, _X32),
        _instruction(_RETURN, 0, 0, _REFUSE),
    ]
    for number, arguments in zip(numbers, _ALLOWED, strict=True):
        instructions += _rule(number, arguments)
    return [*instructions, _instruction(_RETURN, 0, 0, _ALLOW)]


def _rule(number: int, arguments: tuple[tuple[int, int], ...]) -> list[bytes]:
    """Skipped for other calls; otherwise every argument is compared, its low 32 bits, which is all these calls read."""
    checks: list[bytes] = []
    for position, value in arguments:
        to_refusal = 2 * (len(arguments) - len(checks) // 2 - 1) + 1
        checks.append(_instruction(_LOAD, 0, 0, _ARGUMENTS + 8 * position))
        checks.append(_instruction(_JUMP_IF_EQUAL, 0, to_refusal, value))
    verdicts = [_instruction(_RETURN, 0, 0, _ALLOW), _instruction(_RETURN, 0, 0, _REFUSE)]
    return [_instruction(_JUMP_IF_EQUAL, 0, len(checks) + len(verdicts), number), *checks, *verdicts]


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """``struct sock_filter``."""
    return struct.pack("HBBI", code, if_true, if_false, value)
