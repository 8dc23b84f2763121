"""Entries that attack the guest, the channel, and the next call."""

import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


def processes():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/status") as status:
                found[int(name)] = status.readline().split()[1]
    return found


def kill(pid, number=9):
    os.kill(pid, number)
    return "sent"


def kill_all_others(number):
    for pid in processes():
        if pid != 1:
            os.kill(pid, number)
    time.sleep(0.2)
    return "sent"


def kill_zygote():
    """The zygote is the parent of no one here; it is the other process that is neither the relay nor a spare."""
    os.kill(min(pid for pid in processes() if pid != 1), signal.SIGKILL)
    time.sleep(3600)


def pry():
    """Try to get at every process of the guest; returns what worked."""
    opened = []
    for pid in processes():
        for path in ["mem", "environ", "maps", "fd", "fd/0", "fd/1", "cwd/x", "root/etc/passwd", "map_files"]:
            try:
                if path in {"fd", "map_files"}:
                    os.listdir(f"/proc/{pid}/{path}")
                else:
                    # Of a process that is just ending some of these open, and hold nothing.
                    descriptor = os.open(f"/proc/{pid}/{path}", os.O_RDONLY)
                    held = os.read(descriptor, 1)
                    os.close(descriptor)
                    if not held:
                        continue
                opened.append(f"{pid}/{path}")
            except OSError as error:
                if error.errno not in {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ESRCH}:
                    opened.append(f"{pid}/{path}: {error}")
        for request in (PTRACE_ATTACH, PTRACE_SEIZE):
            if LIBC.ptrace(request, pid, None, None) == 0:
                opened.append(f"{pid}: ptrace {request}")
        buffer = ctypes.create_string_buffer(8)
        local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
        remote = (ctypes.c_void_p * 2)(0x400000, 8)
        if LIBC.process_vm_readv(pid, local, 1, remote, 1, 0) >= 0:
            opened.append(f"{pid}: process_vm_readv")
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        for number in range(8):
            if LIBC.syscall(438, descriptor, number, 0) >= 0:  # pidfd_getfd
                opened.append(f"{pid}: pidfd_getfd {number}")
        os.close(descriptor)
    return {"processes": len(processes()), "opened": opened}


def status():
    with open("/proc/self/status") as stream:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)
    with open("/proc/self/mountinfo") as stream:
        mounts = {line.split()[4]: line.split()[5] for line in stream}
    with open("/proc/self/limits") as stream:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in stream}
    return {
        "status": fields,
        "mounts": mounts,
        "limits": limits,
        "interfaces": [name for _, name in socket.if_nameindex()],
        "oom_score": open("/proc/self/oom_score_adj").read().strip(),
    }


def writable():
    """Folders in which a file can be made."""
    found = []
    for folder, folders, _ in os.walk("/"):
        if folder == "/":
            folders[:] = [name for name in folders if name not in {"proc", "sys"}]
        with contextlib.suppress(OSError):
            path = f"{folder}/.probe"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            os.unlink(path)
            found.append(folder)
    return sorted(found)


def forge(frames):
    """Write bytes that look like the end of a successful call to every descriptor there may be."""
    data = bytes.fromhex(frames)
    written = []
    for descriptor in range(51):
        if descriptor in (1, 2):
            continue
        with contextlib.suppress(OSError):
            os.set_blocking(descriptor, False)
            os.write(descriptor, data)
            written.append(descriptor)
    os._exit(9)


def forge_report(kinds):
    """Speak to the relay on the child's own socket, out of turn."""
    for number in range(3, 51):
        with contextlib.suppress(OSError):
            link = socket.socket(fileno=number)
            for kind in kinds:
                link.send(bytes.fromhex(kind))
    os._exit(9)


def leave_things():
    for folder in ("/scratch", "/scratch/work", "/scratch/home", "/tmp", "/dev/shm"):
        os.makedirs(f"{folder}/nested/deep", exist_ok=True)
        with open(f"{folder}/nested/deep/file", "w") as stream:
            stream.write("secret")
        os.symlink("/etc/passwd", f"{folder}/link")
        os.mkfifo(f"{folder}/pipe")
        os.chmod(f"{folder}/nested/deep", 0)
        os.chmod(f"{folder}/nested", 0)
        with contextlib.suppress(OSError):
            os.setxattr(folder, "user.secret", b"secret")
        os.utime(folder, ns=(1, 1))
    os.chmod("/tmp", 0)
    shared = LIBC.shmget(77, 4096, 0o1666)
    queue = LIBC.msgget(78, 0o1666)
    semaphore = LIBC.semget(79, 1, 0o1666)
    messages = LIBC.mq_open(b"/queue", os.O_CREAT | os.O_RDWR, 0o600, None)
    return [shared, queue, semaphore, messages]


def deep_nest(levels):
    os.chdir("/scratch/tmp")
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
    return levels


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}/environ").st_uid
    except FileNotFoundError:
        return None


def find_things():
    found = []
    for folder in ("/scratch", "/tmp", "/dev/shm", "/dev/mqueue"):
        for path, folders, files in os.walk(folder):
            found += [f"{path}/{name}" for name in folders + files]
        found += [f"{folder}: {name}" for name in os.listxattr(folder)] if folder != "/dev/mqueue" else []
        if os.stat(folder).st_mtime_ns == 1:
            found.append(f"{folder}: time")
    for kind in ("shm", "msg", "sem"):
        with open(f"/proc/sysvipc/{kind}") as table:
            found += [f"{kind} {line.split()[0]}" for line in table.readlines()[1:]]
    usual = {"/scratch/work", "/scratch/home", "/scratch/tmp", "/scratch/cache"}
    # Everything of the guest's is not dumpable, and so belongs to root in /proc; what a call left would be ours.
    strays = [name for pid, name in processes().items() if owner(pid) == os.getuid()]
    return {"found": sorted(set(found) - usual), "strays": strays}


def traps():
    """Files that cannot be handed back, and one that can."""
    os.symlink("/etc/passwd", "link")
    os.symlink("/scratch", "folder-link")
    os.mkfifo("pipe")
    socket.socket(socket.AF_UNIX).bind("socket")
    with open("twice", "w") as stream:
        stream.write("x")
    os.link("twice", "second-name")
    with open(b"bad-\xff", "w") as stream:
        stream.write("x")
    with open("new\nline", "w") as stream:
        stream.write("x")
    os.makedirs("shut/inside")
    with open("shut/inside/good", "w") as stream:
        stream.write("good")
    os.chmod("shut/inside/good", 0)
    os.chmod("shut/inside", 0)
    os.chmod("shut", 0)


def cripple_others():
    """Lower the limits, priority and affinity of everything else; returns what worked."""
    worked = []
    import resource

    for pid in processes():
        for name in ("RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_AS"):
            with contextlib.suppress(OSError):
                resource.prlimit(pid, getattr(resource, name), (0, 0))
                worked.append(f"{pid} {name}")
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, 19)
            worked.append(f"{pid} nice")
    return worked


def credentials(frame):
    """Send descriptors and claims on the child's own socket."""
    for number in range(3, 51):
        with contextlib.suppress(OSError):
            link = socket.socket(fileno=number)
            socket.send_fds(link, [bytes.fromhex(frame)], [1, 2])
            link.sendmsg([b"R"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, 0, 0))])
    os._exit(9)


def lower_own():
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    return [resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.nice(5)]


def say_frames(frames):
    os.write(1, bytes.fromhex(frames))
    os._exit(9)
