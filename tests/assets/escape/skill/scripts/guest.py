"""Attacks on the processes that conduct calls: the relay (1), the zygote, the spares."""

import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import struct
import time

import innocent
from attempt import LIBC, asked, attempt, others, system_call, zygote


def attach():
    """Read or steer every process of the guest; tells what worked and how many were tried."""
    worked, refused = [], set()
    pids = list(others())
    for pid in pids:
        for request in (16, 0x4206):  # PTRACE_ATTACH, PTRACE_SEIZE
            _note(worked, refused, pid, "ptrace", asked(LIBC.ptrace(request, pid, None, None)))
        for path in (
            "mem",
            "environ",
            "maps",
            "auxv",
            "stack",
            "syscall",
            "fd/0",
            "fd/1",
            "cwd",
            "root/etc/passwd",
            "exe",
            "ns/net",
        ):
            _note(worked, refused, pid, path, attempt(lambda p=pid, f=path: _first_byte(f"/proc/{p}/{f}")))
        for folder in ("fd", "fdinfo", "map_files"):
            _note(worked, refused, pid, folder, attempt(lambda p=pid, f=folder: os.listdir(f"/proc/{p}/{f}")))
    return {"pids": pids, "worked": worked, "refused": sorted(refused)}


def _first_byte(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 1)
    finally:
        os.close(descriptor)


def _note(worked, refused, pid, name, answer):
    if not answer.startswith("got"):
        refused.add(answer)
    elif _has_ended(pid):
        # Until its parent has heard of it, the kernel opens some of its files, and nothing is in them.
        refused.add("ESRCH")
    else:
        worked.append(f"{pid} {name}: {answer}")


def _has_ended(pid):
    """Whether the process has no memory any more."""
    try:
        with open(f"/proc/{pid}/statm") as sizes:
            return not any(map(int, sizes.read().split()))
    except (FileNotFoundError, ProcessLookupError):
        return True


def vm(writing):
    """Read or write the memory of every process of the guest, without attaching."""
    call = LIBC.process_vm_writev if writing else LIBC.process_vm_readv
    room = ctypes.create_string_buffer(8)
    own = (ctypes.c_void_p * 2)(ctypes.addressof(room), 8)
    # An address that all of them have, since all are forks of one: our own C library's.
    theirs = (ctypes.c_void_p * 2)(ctypes.cast(LIBC.getpid, ctypes.c_void_p).value, 8)
    return {pid: asked(call(pid, own, 1, theirs, 1, 0)) for pid in others()}


def steal_descriptors():
    """Every low descriptor of every process, by pidfd_getfd."""
    answers = set()
    for pid in others():
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            answers |= {system_call(438, handle, number, 0) for number in range(12)}
            os.close(handle)
    return sorted(answers)


def limits():
    """Resource limits of every other process, by prlimit."""
    answers = set()
    for pid in others():
        for name in ("NOFILE", "CPU", "FSIZE", "AS", "NPROC", "STACK", "CORE"):
            answers.add(attempt(lambda p=pid, n=name: resource.prlimit(p, getattr(resource, f"RLIMIT_{n}"), (0, 0))))
    return sorted(answers)


def priorities():
    """Priority, scheduling and input/output class of the others, one by one, as a group, and as a user."""
    answers = set()
    ioprio_set, sched_setattr = {"x86_64": (251, 314), "aarch64": (30, 274)}[os.uname().machine]
    for pid in others():
        answers.add(attempt(lambda p=pid: os.setpriority(os.PRIO_PROCESS, p, 19)))
        answers.add(attempt(lambda p=pid: os.sched_setscheduler(p, os.SCHED_IDLE, os.sched_param(0))))
        answers.add(system_call(ioprio_set, 1, pid, 3 << 13))
        answers.add(
            system_call(
                sched_setattr, pid, ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 5, 0, 0, 0, 0, 0, 0)), 0
            )
        )
    answers.add(attempt(lambda: os.setpriority(os.PRIO_PGRP, zygote(), 19)))
    answers.add(attempt(lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19)))
    return sorted(answers)


def oom_order():
    """Offer the others to the kernel's memory killer, and be exempt from it."""
    answers = {}
    for pid in others():
        answers.setdefault("others", set()).add(attempt(lambda p=pid: _put(f"/proc/{p}/oom_score_adj", "1000")))
    answers["others"] = sorted(answers["others"])
    answers["never"] = attempt(lambda: _put("/proc/self/oom_score_adj", "-1000"))
    return answers


def _put(path, text):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def proc_writes():
    """Everything writable that /proc has for another process."""
    answers = set()
    for pid in others():
        for name, text in (
            ("comm", "x"),
            ("clear_refs", "1"),
            ("coredump_filter", "0"),
            ("timerslack_ns", "1000000000"),
            ("autogroup", "19"),
            ("loginuid", "0"),
            ("uid_map", "0 0 1"),
            ("setgroups", "deny"),
            ("sched", "0"),
        ):
            with contextlib.suppress(FileNotFoundError):
                answers.add(attempt(lambda p=pid, n=name, t=text: _put(f"/proc/{p}/{n}", t)))
    return sorted(answers)


def pin_others():
    """One processor for all others."""
    answers = set()
    for pid in others():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {0})
            answers.add(pid)
    return len(answers)


def processors():
    return {
        "mine": len(os.sched_getaffinity(0)),
        "zygote": len(os.sched_getaffinity(zygote())),
        "relay": len(os.sched_getaffinity(1)),
    }


def signal_relay(numbers):
    """Signals to the first process, which is deaf to them."""
    for number in numbers:
        os.kill(1, number)
    for number in (34, 50, 64):
        with contextlib.suppress(OSError):
            os.kill(1, number)
    return "sent"


def storm_relay(seconds):
    """The one signal that the relay listens to, as fast as it can be sent, and never an answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.kill(1, signal.SIGCHLD)
    return "sent"


def signal_spares(number):
    for pid in others():
        if pid not in (1, zygote()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
    return "sent"


def signal_zygote(number):
    os.kill(zygote(), number)
    if number == signal.SIGKILL:
        time.sleep(60)
    return "sent"


def freeze_everybody():
    os.kill(-1, signal.SIGSTOP)
    return "sent"


def kill_everybody():
    os.kill(-1, signal.SIGKILL)
    time.sleep(60)


def poison():
    """Change what the zygote imported: in this process, and by every name the module goes by."""
    import gc
    import json
    import sys

    innocent.VALUE = "poisoned"
    innocent.TABLE["key"] = "poisoned"
    sys.modules["json"] = innocent
    json.dumps = lambda *_, **__: '"poisoned"'
    sys.modules["skillyard.sandbox.guest.child"].dumps = json.dumps
    sys.path.insert(0, "/scratch/work")
    os.environ["CANARY"] = "poisoned"
    gc.disable()
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.nice(10)
    with contextlib.suppress(OSError):
        os.chdir("/tmp")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return "poisoned in here"


def poisoned():
    import json
    import sys

    mask = os.umask(0o077)
    return {
        "value": innocent.VALUE,
        "table": innocent.TABLE["key"],
        "json": sys.modules["json"].__name__,
        "dumps": json.dumps("x"),
        "path": "/scratch/work" in sys.path,
        "environ": os.environ.get("CANARY"),
        "umask": mask,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "nice": os.nice(0),
        "cwd": os.getcwd(),
        "term": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    }


def shared_memory_with_the_zygote():
    """Memory that a fork shares instead of copying: a writable mapping marked ``s`` would reach the zygote."""
    with open("/proc/self/maps") as maps:
        return [line.strip() for line in maps if line.split()[1][1] == "w" and line.split()[1][3] == "s"]


def descriptors():
    """What this process was born with."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}").split(":")[0]
    return found


def listen_in():
    """Read from every descriptor: the channel's requests, another call's packets."""
    heard = {}
    for number in (number for number in descriptors() if number != 1 and number != 2):
        with contextlib.suppress(OSError):
            os.set_blocking(number, False)
            heard[number] = len(os.read(number, 65536))
    return heard


def link():
    """The call's own socket to the relay: the one there is."""
    for number, target in descriptors().items():
        if target == "socket":
            return socket.socket(fileno=number)
    raise LookupError("no socket")


def forge(frames):
    """Bytes of the channel's protocol to everything that takes bytes."""
    data = bytes.fromhex(frames)
    for number in range(64):
        if number not in (1, 2):
            with contextlib.suppress(OSError):
                os.set_blocking(number, False)
                os.write(number, data)
    os._exit(9)


def packets(kinds):
    """Packets that no honest child sends, then an end without an answer."""
    one = link()
    for kind in kinds:
        with contextlib.suppress(OSError):
            one.send(bytes.fromhex(kind))
    os._exit(9)


def two_answers():
    """A result, then another one, then a failure."""
    one = link()
    one.send(b'S"first"')
    with contextlib.suppress(OSError):
        one.send(b'S"second"')
        one.send(b"X\0no")
    time.sleep(30)


def as_somebody_else():
    """Credentials of the relay in a packet to the relay."""
    one = link()
    claim = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, 0, 0))]
    answer = attempt(lambda: one.sendmsg([b"R"], claim))
    one.detach()
    return answer


def hand_over_descriptors(count):
    """Descriptors for the relay to keep."""
    one = link()
    for _ in range(count):
        with contextlib.suppress(OSError):
            socket.send_fds(one, [b"Z"], [0, 1, 2])
    os._exit(9)


def fill_the_link():
    """More packets than the relay reads at once, and none of them the last."""
    one = link()
    with contextlib.suppress(OSError):
        while True:
            one.send(b"R" + b"x" * 60000)
    time.sleep(30)


def close_everything():
    """Leave the relay with nobody to listen to, and stay."""
    os.closerange(0, 64)
    time.sleep(60)


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


def descriptors_under_way(count):
    """Descriptors sent and never received: the kernel counts them for the user, across all containers."""
    kept, sent = [], 0
    many = [os.dup(0) for _ in range(50)]
    answer = "room for more"
    while sent < count:
        pair = socket.socketpair()
        kept.append(pair)
        try:
            for _ in range(8):
                socket.send_fds(pair[0], [b"x"], many)
                sent += len(many)
        except OSError as error:
            answer = errno.errorcode[error.errno]
            break
    print(sent, flush=True)
    time.sleep(60)
    return answer
