# ruff: noqa: PTH120, PTH123, PTH208, SIM105
# A skill as people write them, in as few imports as its attacks need.
"""What a skill may do to its sandbox. Everything ends by itself, in case nothing else ends it."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time

MIB = 1024 * 1024
OWN_FOLDERS = ("/scratch", "/tmp", "/dev/shm")


def plain():
    return "fine"


def look():
    """Files and processes that a call before this one left."""
    files = [f"{folder}/{name}" for top in OWN_FOLDERS for folder, _, names in os.walk(top) for name in names]
    return {"files": files, "strangers": [name for name in _processes() if "stray" in name]}


def _processes():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                found.append(comm.read().strip())
        except OSError:
            pass
    return found


def memory(mib):
    kept = [bytearray(os.urandom(MIB)) for _ in range(mib)]
    return f"got {len(kept)} MiB"


def memory_of_another(mib):
    code = f"import os; kept = [bytearray(os.urandom({MIB})) for _ in range({mib})]"
    subprocess.run([sys.executable, "-c", code], check=True)
    return f"got {mib} MiB"


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


def deaf(seconds):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "heard nothing"


def processes(count):
    for _ in range(count):
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
    return f"started {count}"


def threads(count):
    wait = threading.Event()
    for _ in range(count):
        threading.Thread(target=wait.wait, daemon=True).start()
    return f"started {count}"


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


def open_files(count):
    return f"opened {len([open('/dev/null') for _ in range(count)])}"


def many_files(count):
    for number in range(count):
        open(f"/tmp/{number}", "w").close()
    return f"made {count}"


def large_file(mib):
    with open("large", "wb") as stream:
        stream.truncate(mib * MIB)
    return f"made {mib} MiB"


def memory_of_nobody(mib):
    """What is in files that live in memory is nobody's: killing processes does not free it."""
    for number in range(mib):
        with open(f"{OWN_FOLDERS[number % 3]}/{number}", "wb") as stream:
            stream.write(os.urandom(MIB))
    kept = [bytearray(os.urandom(MIB)) for _ in range(mib)]
    return f"got {mib + len(kept)} MiB"


def shout(mib):
    for _ in range(mib):
        os.write(1, b"x" * MIB)
    return "said"


def result(mib):
    return "x" * (mib * MIB)


def fill(mib):
    for number in range(mib):
        with open(f"/tmp/{number}", "wb") as stream:
            stream.write(os.urandom(MIB))
    return "written"


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def fails():
    raise ValueError("on purpose")


def stray():
    """A process of its own session, with every descriptor it was born with."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        ctypes.CDLL(None).prctl(15, b"stray", 0, 0, 0)
        time.sleep(60)
        os._exit(0)
    return "left"


def network():
    got = [name for _, name in socket.if_nameindex() if name != "lo"]
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(2)
            try:
                one.connect((address, 80))
                got.append(address)
            except TimeoutError:
                got.append(f"a route to {address}")
            except OSError:
                pass
    return got


def change_itself():
    return _written([__file__, f"{os.path.dirname(__file__)}/new.py", "/skill/new", "/opt/skillyard/new"])


def write_elsewhere():
    return _written(["/new", "/etc/new", "/usr/new", "/var/new", "/root/new", "/home/new", "/proc/sys/kernel/hostname"])


def _written(paths):
    got = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
            got.append(path)
        except OSError:
            pass
    return got


def become_root():
    got = [f"uid {os.getuid()}"] if os.getuid() == 0 else []
    for attempt in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.chroot("/")):
        try:
            attempt()
            got.append("root")
        except OSError:
            pass
    with open("/proc/self/status") as status:
        got += [line.strip() for line in status if line.startswith("Cap") and int(line.split()[1], 16)]
    return got


def supervisor():
    got = []
    for path in ("/proc/1/mem", "/proc/1/environ", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/root"):
        try:
            os.close(os.open(path, os.O_RDONLY))
            got.append(path)
        except OSError:
            pass
    if ctypes.CDLL(None).ptrace(16, 1, None, None) == 0:
        got.append("ptrace")
    return got
