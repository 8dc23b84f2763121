"""Taking all there is of something."""

import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import time

MIB = 1024 * 1024


def processes():
    """As many processes as there are to be had, each trying the same."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            os.fork()


def threads():
    started = []
    while True:
        one = threading.Thread(target=time.sleep, args=(20,), daemon=True)
        one.start()
        started.append(one)


def memory():
    kept = []
    while len(kept) < 4096:
        kept.append(bytearray(os.urandom(MIB)))


def memory_in_hiding(processes):
    """Many small processes instead of one large one, each before the guest's in the kernel's order."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as order:
        order.write("-999")
    for _ in range(processes):
        if os.fork() == 0:
            kept = []
            with contextlib.suppress(MemoryError):
                while len(kept) < 64:
                    kept.append(bytearray(os.urandom(MIB)))
                    time.sleep(0.005)
            time.sleep(20)
            os._exit(0)
    time.sleep(20)


def kernel_memory():
    """Memory that the kernel holds for us: full pipes and sockets."""
    kept = []
    block = b"x" * 65536
    with contextlib.suppress(OSError):
        while True:
            pair = socket.socketpair()
            kept.append(pair)
            pair[0].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    pair[0].send(block)
    return len(kept)


def nameless_memory():
    """Files in memory that no mount counts."""
    kept = []
    for _ in range(64):
        one = os.memfd_create("flood")
        kept.append(one)
        for _ in range(15):
            os.write(one, bytes(MIB))
    return "got all"


def files(place):
    for number in range(1000):
        with open(f"{place}/flood-{number}", "wb") as stream:
            stream.write(bytes(MIB))


def inodes(place):
    for number in range(100_000):
        os.close(os.open(f"{place}/{number}", os.O_CREAT | os.O_WRONLY))


def folders():
    """Deeper than any path can be said."""
    os.chdir("/scratch/tmp")
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    return "deep"


def descriptors():
    kept = []
    with contextlib.suppress(OSError):
        while True:
            kept.append(os.dup(0))
    return len(kept)


def output(stream):
    while True:
        os.write(stream, b"x" * 65536)


def result():
    return "x" * (8 * MIB)


def events():
    import skillyard_call

    while True:
        skillyard_call.log("info", "x" * 900)


def stack():
    """Deep in the interpreter, which says so; then deep in C, which cannot."""
    import ctypes

    def deeper():
        return deeper()

    with contextlib.suppress(RecursionError):
        deeper()
    sys.setrecursionlimit(10**9)
    compare = ctypes.CFUNCTYPE(ctypes.c_int)

    def down():
        return compare(down)()

    return down()


def processor(count):
    """Every processor, by as many as may run, and deaf."""
    for _ in range(count):
        if os.fork() == 0:
            break
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        pass


def large_file():
    resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE))
    with open("/scratch/work/large", "wb") as stream:
        stream.truncate(1 << 40)


def raise_limits():
    """Each limit, raised above what was granted."""
    answers = {}
    for name in ("NOFILE", "FSIZE", "CORE", "NICE", "RTPRIO", "MEMLOCK", "MSGQUEUE"):
        number = getattr(resource, f"RLIMIT_{name}", {"NICE": 13, "RTPRIO": 14, "MSGQUEUE": 12}.get(name))
        limit, _ = resource.getrlimit(number)
        try:
            resource.setrlimit(number, (limit + 1, limit + 1))
            answers[name] = "got"
        except (ValueError, OSError) as error:
            answers[name] = type(error).__name__
    return answers
