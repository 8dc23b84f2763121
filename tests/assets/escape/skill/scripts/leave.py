"""Leaving something for the next call, and looking for it there."""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import stat
import struct
import sys
import time

from attempt import LIBC, attempt, others

PLACES = ("/scratch", "/scratch/work", "/scratch/home", "/scratch/tmp", "/scratch/cache", "/tmp", "/dev/shm")
GET_FLAGS, SET_FLAGS = 0x80086601, 0x40086602
NO_DUMP, NO_ACCESS_TIME = 0x40, 0x80


def files(canary):
    """In every writable place: files, links, pipes, sockets, deep and shut folders, names of every sort."""
    for place in PLACES:
        with open(f"{place}/{canary}", "w") as stream:
            stream.write(canary)
        os.makedirs(f"{place}/shut-{canary}/deep/deeper")
        os.symlink("/etc/passwd", f"{place}/link-{canary}")
        os.link(f"{place}/{canary}", f"{place}/second-{canary}")
        os.mkfifo(f"{place}/pipe-{canary}")
        socket.socket(socket.AF_UNIX).bind(f"{place}/socket-{canary}")
        with open(f"{place}/".encode() + b"\xff\xfe\n\t-" + canary.encode(), "w") as stream:
            stream.write(canary)
        with open(f"{place}/.wiped-1-1", "w") as stream:
            stream.write(canary)
        os.mknod(f"{place}/whiteout-{canary}", 0o020600, 0)
        os.chmod(f"{place}/shut-{canary}/deep", 0)
        os.chmod(f"{place}/shut-{canary}", 0)
        os.chmod(f"{place}/{canary}", 0)
    os.chmod("/tmp", 0)
    return "left"


def marks(canary):
    """What a folder carries besides files: attributes, access lists, times, flags, modes."""
    for place in PLACES:
        os.setxattr(place, "user.canary", canary.encode())
        with contextlib.suppress(OSError):
            os.setxattr(
                place,
                "system.posix_acl_default",
                struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, 7, 0xFFFFFFFF) for tag in (0x01, 0x04, 0x20)),
            )
        os.utime(place, ns=(1, 1))
        descriptor = os.open(place, os.O_RDONLY)
        with contextlib.suppress(OSError):
            fcntl.ioctl(descriptor, SET_FLAGS, struct.pack("q", NO_DUMP | NO_ACCESS_TIME))
        os.chmod(place, 0o1711)
    return "marked"


def rearrange():
    """The same number of things in other places, so that counting alone would not tell."""
    os.rename("/scratch/home", "/scratch/kept")
    os.rename("/scratch/cache", "/scratch/home")
    os.rename("/scratch/kept", "/scratch/cache")
    return "rearranged"


def miscount(canary):
    """Attributes take room in the count of inodes: of the folders that stay, they would make it lie."""
    for place in ("/scratch", "/tmp", "/dev/shm"):
        os.setxattr(place, "user.canary", canary.encode().ljust(500, b"."))
    return "miscounted"


def one_file_each(canary):
    """As an honest call does: one temporary file in each place."""
    for place in ("/scratch", "/tmp", "/dev/shm"):
        with open(f"{place}/{canary}", "w") as stream:
            stream.write(canary)
    return "written"


def orphans(count):
    """Files without a name, held by a ring of descriptors that are under way and that nobody has."""
    ours, theirs = socket.socketpair()
    held = []
    for number in range(count):
        path = f"/tmp/orphan-{number}"
        held.append(os.open(path, os.O_RDWR | os.O_CREAT))
        os.unlink(path)
    socket.send_fds(ours, [b"x"], [*held, ours.fileno(), theirs.fileno()])
    socket.send_fds(theirs, [b"x"], [*held, ours.fileno(), theirs.fileno()])
    return "held"


def objects(canary, count):
    """System V and POSIX objects of interprocess communication, which outlive processes."""
    key = int.from_bytes(canary.encode()[:3], "big")
    made = {"shm": 0, "msg": 0, "sem": 0, "mq": 0}
    for number in range(count):
        made["shm"] += LIBC.shmget(key + number, 4096, 0o1666) >= 0
        made["msg"] += LIBC.msgget(key + number, 0o1666) >= 0
        made["sem"] += LIBC.semget(key + number, 1, 0o1666) >= 0
    for number in range(8):
        made["mq"] += LIBC.mq_open(f"/{canary}-{number}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None) >= 0
    return made


def attached_memory(canary):
    """A segment that is marked for removal while a process that left our group still has it."""
    identity = LIBC.shmget(0, 4096, 0o1666)
    LIBC.shmat.restype = ctypes.c_void_p
    LIBC.shmat(identity, None, 0)
    LIBC.shmctl(identity, 0, None)
    _stray()
    return "attached"


def _stray(then=lambda: time.sleep(60)):
    """A process of its own session and group, deaf, adopted by the relay."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            LIBC.prctl(15, b"stray", 0, 0, 0)
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_IGN)
            then()
            os._exit(0)
        os._exit(0)
    return "left"


def stray():
    return _stray()


def nursery_of_strays():
    """Processes that replace each other faster than one by one can be ended."""

    def again():
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if os.fork() != 0:
                os._exit(0)

    for _ in range(4):
        _stray(again)
    return "left"


def timers():
    """Everything that could run later: timers, exit handlers, an alarm."""
    import atexit
    import threading

    def later():
        with open("/scratch/work/later", "w") as stream:
            stream.write("later")

    atexit.register(later)
    threading.Timer(0.2, later).start()
    signal.signal(signal.SIGALRM, lambda *_: later())
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    return "set"


def connections(port):
    """A server and its client on the loopback: what the kernel remembers of them."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", port))
    listening.listen()
    client = socket.create_connection(("127.0.0.1", port))
    server, _ = listening.accept()
    server.close()
    client.recv(1)
    client.close()
    return "connected"


def bind(port):
    """As a program does that knows nothing of reuse."""
    one = socket.socket()
    return attempt(lambda: one.bind(("127.0.0.1", port)))


def sockets(canary):
    """Names in the abstract space, one of them held by a ring of descriptors under way."""
    for number, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_DGRAM)):
        one = socket.socket(socket.AF_UNIX, kind)
        one.bind(f"\0{canary}-{number}")
        ours, theirs = socket.socketpair()
        socket.send_fds(ours, [b"x"], [one.fileno(), ours.fileno(), theirs.fileno()])
    return "bound"


def everything(canary):
    """All of it at once, for somebody else to find."""
    files(canary)
    os.chmod("/tmp", 0o700)
    objects(canary, 4)
    sockets(canary)
    os.environ["CANARY"] = canary
    LIBC.prctl(15, canary.encode()[:15], 0, 0, 0)
    for place in ("/skill", "/env", "/opt/skillyard"):
        with contextlib.suppress(OSError), open(f"{place}/{canary}", "w") as stream:
            stream.write(canary)
    print(canary)
    print(canary, file=sys.stderr)
    kept.append(canary * 1000)
    return "written"


kept = []


def look(canary=None):
    """All that is not as a call finds it; with a canary, also where that is to be read."""
    found = []
    for place in ("/scratch", "/tmp", "/dev/shm", "/dev/mqueue"):
        for folder, folders, names in os.walk(place):
            found += [os.fsencode(f"{folder}/{name}").decode(errors="backslashreplace") for name in folders + names]
    usual = {"/scratch/work", "/scratch/home", "/scratch/tmp", "/scratch/cache"}
    found = [path for path in found if path not in usual]
    for place in PLACES:
        status = os.stat(place)
        found += [f"{place} attribute {name}" for name in os.listxattr(place)]
        found += [f"{place} mode {status.st_mode & 0o7777:o}"] if status.st_mode & 0o7777 != 0o700 else []
        found += [f"{place} time"] if status.st_mtime_ns == 1 else []
        descriptor = os.open(place, os.O_RDONLY)
        with contextlib.suppress(OSError):
            flags = struct.unpack("q", fcntl.ioctl(descriptor, GET_FLAGS, bytes(8)))[0]
            found += [f"{place} flags {flags:x}"] if flags else []
        os.close(descriptor)
    for kind in ("shm", "msg", "sem"):
        with open(f"/proc/sysvipc/{kind}") as table:
            found += [f"{kind} {line.split()[0]}" for line in table.readlines()[1:]]
    for table in ("tcp", "tcp6", "udp", "udp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{table}") as stream:
            found += [f"{table} {line.split()[1]}" for line in stream.readlines()[1:]]
    # What is the guest's cannot be looked into and so belongs to root here; what a call left would be ours.
    found += [f"process {name}" for pid, name in others().items() if _is_ours(pid)]
    return {"found": sorted(found), "canary": [] if canary is None else _search(canary.encode())}


def _is_ours(pid):
    try:
        return os.stat(f"/proc/{pid}/environ").st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _search(canary):
    """Places whose name or content holds the canary: files, tables of the kernel, our own memory and environment."""
    # Not the argument itself, and not this search: what is in memory because we look for it is left out.
    found = []
    for place in (
        "/scratch",
        "/tmp",
        "/dev/shm",
        "/dev/mqueue",
        "/env",
        "/skill",
        "/opt/skillyard",
        "/proc/net",
        "/proc/sysvipc",
    ):
        for folder, folders, names in os.walk(place):
            for name in folders + names:
                if canary in os.fsencode(name):
                    found.append(f"{folder}/{name}")
            for name in names:
                if _holds(f"{folder}/{name}", canary):
                    found.append(f"in {folder}/{name}")
    for pid in others():
        for part in ("cmdline", "comm", "environ", "status"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/{part}", "rb") as stream:
                if canary in stream.read(65536):
                    found.append(f"/proc/{pid}/{part}")
    found += ["environment"] if canary.decode() in str(dict(os.environ)) else []
    found += ["kept"] if kept else []
    return [os.fsencode(path).decode(errors="backslashreplace") for path in found]


def locks(take):
    """A lock on a file that all sandboxes of the skill share: one bit that the neighbour can read."""
    descriptor = os.open("/skill/SKILL.md", os.O_RDONLY)
    if take:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        print("held", flush=True)
        time.sleep(60)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "somebody has it"
    return "nobody has it"


def watch():
    """See what the neighbour reads of the files that both share."""
    answers = {}
    descriptor = os.open("/env", os.O_RDONLY)
    answers["inotify"] = attempt(lambda: _positive(LIBC.inotify_init1(0)))
    answers["fanotify"] = attempt(lambda: _positive(LIBC.fanotify_init(0x200, 0)))
    answers["dnotify"] = attempt(lambda: fcntl.fcntl(descriptor, 1026, 0x80000001))
    answers["lease"] = attempt(lambda: fcntl.fcntl(os.open("/env/innocent.py", os.O_RDONLY), 1024, 0))
    return answers


def _positive(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def again():
    """A plain call."""
    return "fine"


def _holds(path, canary):
    """Whether a file has it; opening something else could wait for ever."""
    with contextlib.suppress(OSError):
        if stat.S_ISREG(os.lstat(path).st_mode):
            with open(path, "rb") as stream:
                return canary in stream.read(1024 * 1024)
    return False


def with_a_friend(take):
    """Notes that a malicious package passes between the calls of its skill."""
    import malicious

    before = malicious.NOTES[:6]
    malicious.NOTES[:6] = take.encode().ljust(6)[:6]
    return before.decode()


def read_all(text):
    """Its standard input and its input, which come to a process in different ways."""
    return [sys.stdin.read(), len(text)]


def answer_of_the_server():
    """What the server said to a package that called it."""
    import calling

    return calling.ANSWER
