"""A filter of system calls of our own, on top of the engine's: it holds whatever profile an engine was started with.

Three kinds of call are refused to everything foreign. What a skill has no use for and attacks on kernels begin with
(namespaces, mounts, keys, io_uring, which would also go round this filter, …), as the default profiles of current
engines do. What reaches beyond the container although it has no network: sockets of other families than local,
Internet and routing ones (vsock(7) reaches the hypervisor from any network namespace), and watches on files, which
tell what the container next door reads of the packages both have. And changes to the limits and priorities of the
caller's elders: all processes of a container share one user, and the kernel lets those lower each other's without the
permission that attaching needs. The filter is inherited and cannot be taken off (seccomp(2), classic BPF).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_REFUSE, _ABSENT = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Which number of a pair is a machine's, and how the kernel's audit calls it."""

_REFUSED = (
    *((163, 89), (248, 217), (321, 280), (161, 51), (176, 106), (300, 262)),  # acct add_key bpf chroot delete_module
    # fanotify_init; finit_module fsconfig fsmount fsopen fspick init_module
    *((313, 273), (431, 431), (432, 432), (430, 430), (433, 433), (175, 105)),
    *((253, None), (294, 26)),  # inotify_init inotify_init1
    *((426, 426), (427, 427), (425, 425)),  # io_uring_enter io_uring_register io_uring_setup
    *((173, None), (172, None), (312, 272)),  # ioperm iopl kcmp
    *((320, 294), (246, 104), (250, 219), (212, 18)),  # kexec_file_load kexec_load keyctl lookup_dcookie
    *((165, 40), (442, 442), (429, 429)),  # mount mount_setattr move_mount
    *((303, 264), (304, 265), (428, 428)),  # name_to_handle_at open_by_handle_at open_tree
    *((298, 241), (155, 41), (179, 60), (443, 443)),  # perf_event_open pivot_root quotactl quotactl_fd
    *((169, 142), (249, 218), (308, 268)),  # reboot request_key setns
    *((168, 225), (167, 224), (103, 116)),  # swapoff swapon syslog
    *((166, 39), (272, 97), (323, 282), (153, 58)),  # umount2 unshare userfaultfd vhangup
)
_CLONE3 = (435, 435)
"""Its flags are behind a pointer, which a filter cannot follow; told that it is absent, C libraries use clone."""

_NEW_NAMESPACES = 0x7E020000
_F_NOTIFY = 1026
_FORBIDDEN = (
    ((56, 220), _JUMP_IF_SET, 0, _NEW_NAMESPACES),  # clone
    ((72, 25), _JUMP_IF_EQUAL, 1, _F_NOTIFY),  # fcntl: a signal for what others do in a folder
)
"""Calls refused for one argument: how it is compared, its position, and with what."""

_LOCAL, _INTERNET, _INTERNET_6, _NETLINK = 1, 2, 10, 16
_TCP, _UDP, _ROUTE = 6, 17, 0
_SOCKETS = (
    ((0, _LOCAL),),
    *(((0, family), (2, protocol)) for family in (_INTERNET, _INTERNET_6) for protocol in (0, _TCP, _UDP)),
    ((0, _NETLINK), (2, _ROUTE)),
)
_ALLOWED = (
    ((41, 198), _SOCKETS),  # socket
    ((53, 199), (((0, _LOCAL),),)),  # socketpair
    ((302, 261), (((0, 0),),)),  # prlimit64 of oneself
    ((141, 140), (((0, 0), (1, 0)),)),  # setpriority of one process, oneself
    ((142, 118), (((0, 0),),)),  # sched_setparam of oneself
    ((144, 119), (((0, 0),),)),  # sched_setscheduler of oneself
    ((251, 30), (((0, 1), (1, 0)),)),  # ioprio_set of one process, oneself
    ((314, 274), (((0, 0),),)),  # sched_setattr of oneself
)
"""Calls allowed only where, for one of the alternatives, each argument (position, value) is this."""


def install() -> None:
    """For this process and all it forks. Raises ``OSError``, also for a machine whose calls are not known here."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"there is no system call filter for {machine}")
    instructions = _program(*_ARCHITECTURES[machine])
    code = ctypes.create_string_buffer(b"".join(instructions))
    # struct sock_fprog: a count, and a pointer aligned to eight bytes.
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def _program(which: int, architecture: int) -> list[bytes]:
    instructions = [
        _instruction(_LOAD, 0, 0, _ARCHITECTURE),
        _instruction(_JUMP_IF_EQUAL, 1, 0, architecture),
        _return(_REFUSE),
        _instruction(_LOAD, 0, 0, _NUMBER),
        _instruction(_JUMP_IF_AT_LEAST, 0, 1, _X32),
        _return(_REFUSE),
    ]
    refused = [number for pair in _REFUSED if (number := pair[which]) is not None]
    for position, number in enumerate(refused):
        # To the refusal behind the last of them; that one is stepped over where none matched.
        last = position == len(refused) - 1
        instructions.append(_instruction(_JUMP_IF_EQUAL, len(refused) - 1 - position, int(last), number))
    instructions.append(_return(_REFUSE))
    instructions += _rule(_CLONE3[which], [_return(_ABSENT)])
    for pair, comparison, position, value in _FORBIDDEN:
        body = [_argument(position), _instruction(comparison, 0, 1, value), _return(_REFUSE), _return(_ALLOW)]
        instructions += _rule(pair[which], body)
    for pair, alternatives in _ALLOWED:
        body = [instruction for one in alternatives for instruction in _alternative(one)]
        instructions += _rule(pair[which], [*body, _return(_REFUSE)])
    return [*instructions, _return(_ALLOW)]


def _rule(number: int, body: list[bytes]) -> list[bytes]:
    """A body that answers, skipped for other calls."""
    return [_instruction(_JUMP_IF_EQUAL, 0, len(body), number), *body]


def _alternative(arguments: tuple[tuple[int, int], ...]) -> list[bytes]:
    """Allow where every argument is as said, else go on behind this."""
    checks: list[bytes] = []
    for left, (position, value) in zip(reversed(range(len(arguments))), arguments, strict=True):
        checks += [_argument(position), _instruction(_JUMP_IF_EQUAL, 0, 2 * left + 1, value)]
    return [*checks, _return(_ALLOW)]


def _argument(position: int) -> bytes:
    """Its low 32 bits, which is all that these calls read of it, or where these bits are."""
    return _instruction(_LOAD, 0, 0, _ARGUMENTS + 8 * position)


def _return(verdict: int) -> bytes:
    return _instruction(_RETURN, 0, 0, verdict)


def _instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """``struct sock_filter``."""
    return struct.pack("HBBI", code, if_true, if_false, value)
