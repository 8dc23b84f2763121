"""System calls and privileges: what the kernel could be asked for, and refuses."""

from __future__ import annotations

import asyncio
import platform
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="session")

_WHICH = {"x86_64": 0, "aarch64": 1}[platform.machine()]
_REFUSED = ("EPERM", "ENOSYS")

# Name → numbers on x86-64 and arm64, and arguments that would do something if they were let through.
_NEW = {"user": 0x10000000, "mount": 0x20000, "net": 0x40000000, "pid": 0x20000000, "time": 0x80, "cgroup": 0x2000000}
CALLS: dict[str, tuple[int, int, list[object]]] = {
    **{f"unshare {name}": (272, 97, [flag]) for name, flag in _NEW.items()},
    "clone into new namespaces": (56, 220, [0x10020011, 0, 0, 0, 0]),
    "clone3": (435, 435, [{"room": 88}, 88]),
    "setns": (308, 268, [0, 0]),
    "mount": (165, 40, ["none", "/scratch/work", "tmpfs", 0, 0]),
    "mount proc": (165, 40, ["none", "/scratch/work", "proc", 0, 0]),
    "mount cgroup": (165, 40, ["none", "/scratch/work", "cgroup", 0, "memory"]),
    "umount": (166, 39, ["/proc/sys", 2]),
    "pivot_root": (155, 41, ["/scratch", "/scratch/work"]),
    "chroot": (161, 51, ["/scratch"]),
    "fsopen": (430, 430, ["tmpfs", 0]),
    "open_tree": (428, 428, [-100, "/", 1]),
    "move_mount": (429, 429, [-100, "/scratch", -100, "/tmp", 0]),
    "mount_setattr": (442, 442, [-100, "/skill", 0, {"room": 32}, 32]),
    "open_by_handle_at": (304, 265, [0, {"room": 136}, 0]),
    "name_to_handle_at": (303, 264, [-100, "/skill", {"room": 136}, {"room": 8}, 0]),
    "add_key": (248, 217, ["user", "canary", "x", 1, -4]),
    "request_key": (249, 218, ["user", "canary", 0, -4]),
    "keyctl": (250, 219, [0, -4, 1]),
    "bpf": (321, 280, [5, {"room": 128}, 128]),
    "perf_event_open": (298, 241, [{"room": 128}, 0, -1, -1, 0]),
    "userfaultfd": (323, 282, [1]),
    "io_uring_setup": (425, 425, [8, {"room": 120}]),
    "io_uring_enter": (426, 426, [0, 1, 0, 0, 0]),
    "io_uring_register": (427, 427, [0, 0, 0, 0]),
    "init_module": (175, 105, [{"room": 64}, 64, ""]),
    "finit_module": (313, 273, [0, "", 0]),
    "delete_module": (176, 106, ["ext4", 0x800]),
    "kexec_load": (246, 104, [0, 0, 0, 0]),
    "kexec_file_load": (320, 294, [0, 0, 1, "", 8]),
    "reboot": (169, 142, [0xFEE1DEAD - 2**32, 672274793, 0x89ABCDEF - 2**32, 0]),
    "swapon": (167, 224, ["/scratch/work", 0]),
    "swapoff": (168, 225, ["/scratch/work"]),
    "acct": (163, 89, ["/scratch/work"]),
    "quotactl": (179, 60, [0, "/dev/vda", 0, 0]),
    "quotactl_fd": (443, 443, [0, 0, 0, 0]),
    "clock_settime": (227, 112, [0, {"room": 16}]),
    "settimeofday": (164, 170, [{"room": 16}, 0]),
    "sethostname": (170, 161, ["canary", 6]),
    "setdomainname": (171, 162, ["canary", 6]),
    "syslog": (103, 116, [3, {"room": 4096}, 4096]),
    "personality without random addresses": (135, 92, [0x40000]),
    "fanotify_init": (300, 262, [0x200, 0]),
    "inotify_init1": (294, 26, [0]),
    "lookup_dcookie": (212, 18, [0, {"room": 64}, 64]),
    "kcmp": (312, 272, [1, 1, 0, 0, 0]),
    "vhangup": (153, 58, []),
    "move_pages": (279, 239, [1, 0, 0, 0, 0, 0]),
    "migrate_pages": (256, 238, [1, 8, {"room": 8}, {"room": 8}]),
    "statmount": (457, 457, [{"room": 32}, {"room": 512}, 512, 0]),
}
if _WHICH == 0:
    CALLS |= {"ioperm": (173, 0, [0x3F8, 8, 1]), "iopl": (172, 0, [3]), "a number of the x32 kind": (0x40000027, 0, [])}


@pytest.mark.parametrize("name", CALLS)
async def test_a_system_call_that_leads_out_is_refused(target, name: str) -> None:
    *numbers, arguments = CALLS[name]
    answer = await target.tell("kernel.py:ask", {"number": numbers[_WHICH], "arguments": arguments})
    assert answer in _REFUSED, answer


@pytest.mark.skipif(_WHICH != 0, reason="this door is one of x86")
async def test_the_door_for_32_bit_programs_is_shut(target) -> None:
    """There getpid is 20, mount 21, and so on: none of the numbers that filters look for."""
    assert await target.tell("kernel.py:ask_in_32_bits", {"number": 20}) == -1  # EPERM


# What needs a machine to have the family at all is refused by the filter before that is asked.
FAMILIES = {
    "vsock, which reaches the hypervisor": (40, socket.SOCK_STREAM, 0),
    "vsock packets": (40, socket.SOCK_DGRAM, 0),
    "packets of the wire": (17, socket.SOCK_RAW, 0x0300),
    "raw IPv4": (2, socket.SOCK_RAW, 1),
    "raw IPv6": (10, socket.SOCK_RAW, 58),
    "ping": (2, socket.SOCK_DGRAM, 1),
    "SCTP, a module loaded on demand": (2, socket.SOCK_STREAM, 132),
    "DCCP, likewise": (2, 6, 33),
    "the kernel's cryptography": (38, socket.SOCK_SEQPACKET, 0),
    "XDP": (44, socket.SOCK_RAW, 0),
    "TIPC": (30, socket.SOCK_SEQPACKET, 0),
    "CAN": (29, socket.SOCK_RAW, 1),
    "Bluetooth": (31, socket.SOCK_RAW, 1),
    "IPsec keys": (15, socket.SOCK_RAW, 2),
    "netlink: devices": (16, socket.SOCK_DGRAM, 15),
    "netlink: generic": (16, socket.SOCK_DGRAM, 16),
    "netlink: audit": (16, socket.SOCK_DGRAM, 9),
    "netlink: firewall": (16, socket.SOCK_DGRAM, 12),
}


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_socket_that_is_no_business_of_a_skill_is_refused(target, name: str) -> None:
    family, kind, protocol = FAMILIES[name]
    given = {"family": family, "kind": int(kind), "protocol": protocol}
    assert await target.tell("kernel.py:open_socket", given) == "EPERM"


async def test_sockets_that_programs_use_among_themselves_work(target) -> None:
    """The filter stops families, not the loopback and not local sockets."""
    for family, kind in ((1, 1), (1, 5), (2, 1), (2, 2), (10, 1), (16, 3)):
        given = {"family": family, "kind": kind, "protocol": 0}
        assert (await target.tell("kernel.py:open_socket", given)).startswith("got")


async def test_no_filter_can_be_taken_off_and_no_privilege_be_had_again(target) -> None:
    seen = await target.tell("kernel.py:own_filter")
    assert seen == {"filters": "2", "mode": "2", "capabilities": [0], "off": "EINVAL", "new privileges": "EINVAL"}


async def test_nobody_becomes_root_or_gets_a_capability(target) -> None:
    answers = await target.tell("kernel.py:become_root")
    assert answers == dict.fromkeys(answers, "EPERM")


async def test_a_set_user_id_program_runs_as_its_caller(target) -> None:
    """The image has none; one that a skill makes runs as the skill, since there are no new privileges."""
    seen = await target.tell("kernel.py:set_user_id_program")
    assert seen["on the image"] == []
    assert {number for line in seen["ran as"] for number in line} == {"10001"}


async def test_there_is_no_terminal_to_type_into(target) -> None:
    answers = await target.tell("kernel.py:terminal")
    assert set(answers.values()) <= {"ENOTTY", "EPERM", "ENXIO", "ENOENT"}


_OWN_FILTER = """
import ctypes, errno, sys
from skillyard.sandbox.guest import seccomp
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)
seccomp.install()
for number in map(int, sys.argv[1:]):
    ctypes.set_errno(0)
    # Arguments that are wrong for every one of them: what lets them through says so by another error.
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
    print(number, "got" if result >= 0 else errno.errorcode[ctypes.get_errno()])
"""


async def test_our_own_filter_refuses_without_the_engines() -> None:
    """An engine can be told to use no profile (``seccomp-profile: unconfined``): then this one still holds."""
    by_engine = {"clock_settime", "settimeofday", "sethostname", "setdomainname", "move_pages", "migrate_pages"}
    by_engine |= {"personality without random addresses", "statmount", "clone into new namespaces", "vhangup"}
    ours = {name: call[_WHICH] for name, call in CALLS.items() if name not in by_engine}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _OWN_FILTER, *map(str, ours.values())],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = dict(line.split() for line in done.stdout.splitlines())
    let_through = {name: answers[str(number)] for name, number in ours.items() if answers[str(number)] not in _REFUSED}
    assert let_through == {}
