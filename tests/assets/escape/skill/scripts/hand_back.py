"""Files for the host that are not what they look like. The working folder is where they are looked for."""

import contextlib
import gzip
import os
import socket
import stat


def not_files():
    os.symlink("/etc/passwd", "link-to-file")
    os.symlink("/", "link-to-root")
    os.symlink("link-loop", "link-loop")
    os.symlink("../../../../../../etc/shadow", "link-up")
    os.mkfifo("pipe")
    os.mknod("whiteout", stat.S_IFCHR | 0o600, 0)
    socket.socket(socket.AF_UNIX).bind("socket")
    with open("good.txt", "w") as stream:
        stream.write("good")
    return "made"


def second_names():
    """Files that are also something else: a hard link to one of ours, and to ones that are not."""
    with open("own", "w") as stream:
        stream.write("own")
    os.link("own", "own-again")
    for number, path in enumerate(("/skill/SKILL.md", "/env/innocent.py", "/etc/passwd", "/proc/self/exe")):
        with contextlib.suppress(OSError):
            os.link(path, f"foreign-{number}")
    return "made"


def odd_names():
    """Names that mean something to somebody: paths, options, terminals, other systems."""
    for name in (
        "..",
        "...",
        "..\\..\\up",
        "C:\\windows",
        "-rf",
        "con",
        "new\nline",
        "\x1b[2Jclear",
        "bell\x07",
        "nul\x7f",
    ):
        with contextlib.suppress(OSError), open(name, "w") as stream:
            stream.write(name)
    with open(b"not-unicode-\xff", "wb") as stream:
        stream.write(b"x")
    return "made"


def alike_names():
    """Names that are one on some file systems: by case, and by how an accent is written."""
    for name in ("Case.txt", "case.txt", "caf\u00e9.txt", "cafe\u0301.txt"):
        with open(name, "w") as stream:
            stream.write(name)
    return "made"


def deep(levels):
    for _ in range(levels):
        os.mkdir("d")
        os.chdir("d")
        with open("file", "w") as stream:
            stream.write("x")
    return "made"


def sparse(count, size):
    """Large on paper, and nothing on the disk."""
    for number in range(count):
        with open(f"sparse-{number}", "wb") as stream:
            stream.truncate(size)
    return "made"


def bomb(mib):
    """A little that unpacks to a lot, three times over."""
    with gzip.open("bomb.gz", "wb", compresslevel=9) as stream:
        for _ in range(mib):
            stream.write(bytes(1024 * 1024))
    return os.stat("bomb.gz").st_size


def many(count):
    for number in range(count):
        os.close(os.open(f"file-{number}", os.O_CREAT | os.O_WRONLY))
    return "made"


def no_folder():
    """The working folder itself as a link to somewhere else."""
    os.chdir("/")
    os.rmdir("/scratch/work")
    os.symlink("/etc", "/scratch/work")
    return "swapped"


def changing():
    """A file that a process of ours goes on changing after the answer."""
    with open("changing", "w") as stream:
        stream.write("before")
    if os.fork() == 0:
        os.setsid()
        while True:
            for letter in "abcdefghijklmnopqrstuvwxyz":
                with open("changing", "w") as stream:
                    stream.write(letter * 50_000)
    return "answered"
