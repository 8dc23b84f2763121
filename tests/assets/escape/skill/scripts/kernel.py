"""System calls that a skill has no business with."""

import ctypes
import mmap
import os
import socket

from attempt import LIBC, asked, attempt, system_call


def ask(number, arguments):
    """One system call: numbers as they are, text as a pointer to it, ``{"room": n}`` as a pointer to n zeros."""
    kept = [_argument(argument) for argument in arguments]
    return system_call(number, *kept)


def _argument(value):
    if isinstance(value, str):
        return ctypes.c_char_p(value.encode())
    if isinstance(value, dict):
        return ctypes.create_string_buffer(value["room"])
    return ctypes.c_long(value)


def ask_in_32_bits(number):
    """The same kernel through the door for 32-bit programs (int 0x80), whose calls have other numbers."""
    code = b"\xb8" + number.to_bytes(4, "little") + b"\x53\x31\xdb\xcd\x80\x5b\xc3"
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    return function()


def open_socket(family, kind, protocol):
    return attempt(lambda: socket.socket(family, kind, protocol).fileno())


def own_filter():
    """How many filters hold this process, and what taking them off gives."""
    with open("/proc/self/status") as status:
        found = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    return {
        "filters": found.get("Seccomp_filters"),
        "mode": found["Seccomp"],
        "capabilities": sorted({int(value, 16) for name, value in found.items() if name.startswith("Cap")}),
        "off": asked(LIBC.prctl(22, 0, 0, 0, 0)),
        "new privileges": asked(LIBC.prctl(38, 0, 0, 0, 0)),
    }


def become_root():
    return {
        "setuid": attempt(lambda: os.setuid(0)),
        "setgid": attempt(lambda: os.setgid(0)),
        "setgroups": attempt(lambda: os.setgroups([0])),
        "capset": asked(LIBC.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6))),
        "ambient": asked(LIBC.prctl(47, 2, 21, 0, 0)),
    }


def set_user_id_program():
    """A program of ours with the set-user-id bit, and all that the image has: does any run as somebody else?"""
    found = []
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if f"{folder}/{name}".replace("//", "/") not in {"/proc", "/sys"}]
        for name in names:
            path = f"{folder}/{name}"
            if not os.path.islink(path) and os.stat(path).st_mode & 0o6000:
                found.append(path)
    own = "/scratch/work/own"
    with open("/bin/sh", "rb") as shell, open(own, "wb") as copy:
        copy.write(shell.read())
    os.chmod(own, 0o6755)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(writer, 1)
        os.execv(own, [own, "-c", 'while read -r line; do echo "$line"; done < /proc/self/status'])
    os.close(writer)
    with os.fdopen(reader) as stream:
        ran_as = [line.split()[1:5] for line in stream if line.startswith(("Uid", "Gid"))]
    os.wait()
    return {"on the image": found, "ran as": ran_as}


def terminal():
    """Typing into a terminal that somebody else sits at (TIOCSTI), or into the console (TIOCLINUX)."""
    import fcntl

    answers = {}
    for descriptor in range(3):
        for name, request in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C)):
            answers[f"{descriptor} {name}"] = attempt(lambda d=descriptor, r=request: fcntl.ioctl(d, r, b"x"))
    answers["/dev/tty"] = attempt(lambda: os.open("/dev/tty", os.O_RDWR))
    answers["/dev/console"] = attempt(lambda: os.open("/dev/console", os.O_RDWR))
    return answers


def around_the_filter():
    """A ring of io_uring opens sockets and files without a system call that a filter could see."""
    return system_call(425, 8, ctypes.create_string_buffer(120))


def namespaces():
    """The first step of most ways out: a namespace of one's own, and root in it."""
    kinds = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000, "both": 0x10020000}
    return {name: asked(LIBC.unshare(kind)) for name, kind in kinds.items()}
