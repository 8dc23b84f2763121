"""Entries that take what others need: memory by way of others, processors, descriptors, both streams at once."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

MIB = 1024 * 1024


def _eat(mib):
    """Anonymous memory that is really there."""
    return [bytearray(os.urandom(MIB)) for _ in range(mib)]


def stops_itself():
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def stops_its_group():
    os.killpg(os.getpid(), signal.SIGSTOP)
    return "went on"


def busy_in_c():
    """Never comes back to the interpreter, where it would hear a signal."""
    return sum(range(10**15))


def in_vain(seconds=3600):
    """Waits where only SIGKILL ends a wait: in the kernel, for a child that waits for it (vfork(2))."""
    libc = ctypes.CDLL(None)
    if libc.vfork() == 0:
        libc.sleep(seconds)
        libc._exit(0)


def deaf_crowd(count):
    """Many processes, each a session of its own, deaf to what can be heard, and busy."""
    for _ in range(count):
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            while True:
                pass
    while True:
        pass


def child_eats(mib):
    """The culprit is a child; this process goes on, and answers how that child ended."""
    pid = os.fork()
    if pid == 0:
        _eat(mib)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None}


def bystander_holds(held, wanted):
    """A grandchild holds memory and does nothing; then this process wants more than is left."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            kept = _eat(held)
            os.write(writing, b"x")
            time.sleep(3600)
            os._exit(len(kept) > 255)
        os._exit(0)
    os.read(reading, 1)
    kept = _eat(wanted)
    return len(kept)


def hides_and_eats(mib):
    """Puts itself last in the kernel's order of whom to kill for memory, as far as it may, and everyone else first."""
    lowest = None
    for score in range(1000, -1001, -50):
        try:
            with open("/proc/self/oom_score_adj", "w") as order:
                order.write(str(score))
            lowest = score
        except OSError:
            break
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/oom_score_adj", "w") as order:
                    order.write("1000")
            except OSError:
                pass
    print(lowest, flush=True)
    return len(_eat(mib))


def fill_memory_files(mib):
    """Memory that no process holds: what is written to the writable folders."""
    for folder in ("/dev/shm", "/tmp", "/scratch/work"):
        with open(f"{folder}/big", "wb") as stream:
            for _ in range(mib):
                stream.write(os.urandom(MIB))
    return "written"


def fill_shared_memory(mib):
    """Memory of System V, which outlives every process that made it."""
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    for key in range(1, mib // 8 + 1):
        segment = libc.shmget(key, 8 * MIB, 0o1600)
        address = libc.shmat(segment, None, 0)
        ctypes.memset(ctypes.c_void_p(address), 1, 8 * MIB)
    return "held"


def threads(count):
    wait = threading.Event()
    for _ in range(count):
        threading.Thread(target=wait.wait, daemon=True).start()
    return threading.active_count()


def descriptors(count):
    kept = [open("/dev/null") for _ in range(count)]
    return len(kept)


def floods_both():
    block = b"x" * 65536
    pid = os.fork()
    while True:
        os.write(2 if pid == 0 else 1, block)


def busy(processes, seconds):
    """As many busy processes, for as long; each ends by itself."""
    end = time.monotonic() + seconds
    pids = []
    for _ in range(processes - 1):
        pid = os.fork()
        if pid == 0:
            break
        pids.append(pid)
    else:
        pid = os.getpid()
    rounds = 0
    while time.monotonic() < end:
        rounds += sum(range(10_000)) > 0
    if pid == 0:
        os._exit(0)
    for one in pids:
        os.waitpid(one, 0)
    return rounds


def work(units):
    """A fixed piece of work, which takes what processor time it takes."""
    total = 0
    for _ in range(units):
        total += sum(range(100_000))
    return total


def subprocesses(count):
    """Programs, not forks: each is an interpreter of its own."""
    code = "import time; time.sleep(3600)"
    return len([subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)])
