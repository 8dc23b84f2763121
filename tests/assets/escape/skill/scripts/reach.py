"""Getting at the host: files, mounts, control groups, the network."""

import contextlib
import os
import socket
import stat

from attempt import LIBC, asked, attempt


def engine_socket():
    """Every place where the engine's socket usually is, and every socket in the file system."""
    found = []
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if f"{folder}/{name}".replace("//", "/") not in {"/proc", "/sys"}]
        for name in names + folders:
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.lstat(f"{folder}/{name}").st_mode):
                    found.append(f"{folder}/{name}")
    answers = {}
    for path in (
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
    ):
        one = socket.socket(socket.AF_UNIX)
        answers[path] = attempt(lambda o=one, p=path: o.connect(p))
    return {"sockets": found, "answers": answers}


def servers_socket():
    """The socket over which the relay speaks with the server, and one of ours in its place for the next relay."""
    folder = "/opt/skillyard/channel"
    one, ours = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    return {
        "there": attempt(lambda: os.listdir(folder)),
        "connect": attempt(lambda: one.connect(f"{folder}/socket")),
        "made": attempt(lambda: ours.bind(f"{folder}/socket")),
    }


def mounts():
    with open("/proc/self/mountinfo") as stream:
        lines = [line.split() for line in stream]
    return [
        {
            "point": line[4],
            "options": line[5].split(","),
            "shared": any("shared:" in tag for tag in line[6:]),
            "kind": line[line.index("-") + 1],
            "root": line[3],
        }
        for line in lines
    ]


def read(paths):
    """What can be read of these: how many bytes, or the error."""

    def one(path):
        with open(path, "rb") as stream:
            return len(stream.read(65536))

    return {path: attempt(lambda p=path: one(p)) for path in paths}


def write(paths):
    """Opened for writing, as each kind of writer would: none may work."""
    answers = {}
    for path in paths:
        for name, flags in (
            ("write", os.O_WRONLY),
            ("append", os.O_WRONLY | os.O_APPEND),
            ("truncate", os.O_RDWR | os.O_TRUNC),
        ):
            answers[f"{path} {name}"] = attempt(lambda p=path, f=flags: os.close(os.open(p, f)))
    return answers


def say(path, text):
    """Write to a file that cannot be truncated."""

    def one():
        descriptor = os.open(path, os.O_WRONLY)
        try:
            return os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    return attempt(one)


def change(path):
    """Every way to change a file, or the folder it is in, that is not writing to it."""
    folder = os.path.dirname(path)
    return {
        "write": attempt(lambda: os.open(path, os.O_WRONLY)),
        "read and write": attempt(lambda: os.open(path, os.O_RDWR)),
        "truncate": attempt(lambda: os.truncate(path, 0)),
        "chmod": attempt(lambda: os.chmod(path, 0o777)),
        "chown": attempt(lambda: os.chown(path, os.getuid(), os.getgid())),
        "times": attempt(lambda: os.utime(path)),
        "attribute": attempt(lambda: os.setxattr(path, "user.canary", b"x")),
        "remove": attempt(lambda: os.unlink(path)),
        "rename": attempt(lambda: os.rename(path, f"{folder}/other")),
        "replace": attempt(lambda: os.rename("/scratch/work", path)),
        "new file": attempt(lambda: os.open(f"{folder}/new", os.O_WRONLY | os.O_CREAT)),
        "new folder": attempt(lambda: os.mkdir(f"{folder}/new")),
        "link into the scratch": attempt(lambda: os.link(path, "/scratch/work/link")),
        "link out of the scratch": attempt(lambda: os.link("/scratch/work/own", f"{folder}/new")),
        "symbolic link": attempt(lambda: os.symlink("/etc/passwd", f"{folder}/new")),
        "by way of /proc": attempt(lambda: os.open(f"/proc/self/fd/{os.open(path, os.O_RDONLY)}", os.O_WRONLY)),
    }


def own_program():
    """The program that runs us, as CVE-2019-5736 had it: by its own name, and of every process."""
    answers = {"self": attempt(lambda: os.open("/proc/self/exe", os.O_WRONLY | os.O_TRUNC))}
    for name in filter(str.isdigit, os.listdir("/proc")):
        if int(name) != os.getpid():
            answers["other"] = attempt(lambda n=name: os.open(f"/proc/{n}/exe", os.O_WRONLY))
            answers["readable"] = attempt(lambda n=name: os.open(f"/proc/{n}/exe", os.O_RDONLY))
    return answers


def make_devices():
    """The host's disk, its memory and its log, as device files of our own."""
    answers = {}
    for name, kind, major, minor in (
        ("disk", stat.S_IFBLK, 8, 0),
        ("virtual disk", stat.S_IFBLK, 254, 0),
        ("memory", stat.S_IFCHR, 1, 1),
        ("log", stat.S_IFCHR, 1, 11),
        ("fuse", stat.S_IFCHR, 10, 229),
    ):
        path = f"/scratch/work/{name}"
        answers[name] = attempt(lambda p=path, k=kind, a=major, i=minor: os.mknod(p, k | 0o600, os.makedev(a, i)))
    return answers


def devices():
    """Device files that are there, and whether each opens for writing."""
    found = {}
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = f"{folder}/{name}"
            with contextlib.suppress(OSError):
                mode = os.lstat(path).st_mode
                if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                    number = os.lstat(path).st_rdev
                    found[path] = [os.major(number), os.minor(number), stat.S_ISBLK(mode)]
    return found


def remount(path):
    remount_writable = 0x20 | 0x1000
    return {
        "remount": asked(LIBC.mount(b"none", path.encode(), None, remount_writable, None)),
        "bind over": asked(LIBC.mount(b"/scratch/work", path.encode(), None, 0x1000, None)),
        "unmount": asked(LIBC.umount2(path.encode(), 2)),
    }


def connect(family, address, port):
    """A stream and a packet to an address: what the kernel says, without waiting for anybody."""

    def stream():
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(2)
            one.connect((address, port))

    def packet():
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            return one.sendto(b"x", (address, port))

    return {"stream": attempt(stream), "packet": attempt(packet)}


def resolve(name):
    try:
        return f"got {socket.getaddrinfo(name, 443)}"
    except socket.gaierror as error:
        return f"gaierror {error.errno}"


def interfaces():
    with open("/proc/net/route") as routes, open("/proc/net/ipv6_route") as routes6:
        beyond = [line.split()[-1] for line in routes6 if line.split()[-1] != "lo"]
        return {
            "names": [name for _, name in socket.if_nameindex()],
            "routes": routes.readlines()[1:],
            "beyond": beyond,
        }


def add_interface():
    """A route and an address by netlink, as ``ip`` asks for them."""
    import struct

    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    body = struct.pack("BBBBi", socket.AF_INET, 8, 0, 0, 1) + struct.pack("HH4s", 8, 2, socket.inet_aton("10.9.9.9"))
    one.send(struct.pack("IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
    reply = one.recv(4096)
    return struct.unpack("i", reply[16:20])[0]


def abstract_socket(name):
    """A name in the abstract space of the host's network, and whether the kernel lists it here."""
    answers = {}
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        one = socket.socket(socket.AF_UNIX, kind)
        answers[kind] = attempt(lambda o=one: o.connect(f"\0{name}"))
    with open("/proc/net/unix") as table:
        return {"answers": sorted(set(answers.values())), "listed": name in table.read()}


def file_handle(path):
    """As the program "shocker" did: a file of the host by its number, below a mount that the host shares."""
    import ctypes

    descriptor = os.open(path, os.O_RDONLY)
    handle = ctypes.create_string_buffer(
        (8).to_bytes(4, "little") + (1).to_bytes(4, "little") + (2).to_bytes(8, "little")
    )
    return asked(LIBC.open_by_handle_at(descriptor, handle, 0))
