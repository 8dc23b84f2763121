"""What calls say while they run: progress and log lines, well-formed and not."""

import os
import subprocess
import sys
import time

import skillyard_call


def reads(total=4):
    for done in range(1, total + 1):
        skillyard_call.progress(done, total, f"row {done}")
        time.sleep(0.11)
    skillyard_call.log("warning", "two rows are empty", {"rows": [4, 9]})
    return total


def hurries(total):
    for done in range(1, total + 1):
        skillyard_call.progress(done, total)
    return total


def waits_for_ever():
    skillyard_call.log("info", "started")
    print("printed", flush=True)
    time.sleep(3600)


def logs_much(size):
    skillyard_call.log("info", "x" * 5000, "y" * size)


def raw(packets):
    """Whatever is given, as packets on the call's own socket."""
    for packet in packets:
        os.write(skillyard_call._socket, packet.encode("latin-1"))


def floods(size, count):
    packet = b'{"type":"log","level":"info","message":"' + b"x" * size + b'"}'
    for _ in range(count):
        os.write(skillyard_call._socket, packet)


def from_a_thread_and_a_fork():
    import threading

    thread = threading.Thread(target=skillyard_call.log, args=("info", "a thread"))
    thread.start()
    thread.join()
    child = os.fork()
    if child == 0:
        skillyard_call.log("info", "a fork")
        os._exit(0)
    os.waitpid(child, 0)


def misuses(what):
    if what == "level":
        skillyard_call.log("loud", "no")
    elif what == "number":
        skillyard_call.progress(float("nan"))
    elif what == "data":
        skillyard_call.log("info", "no", object())


def writes_and_waits():
    with open("made.txt", "w") as file:
        file.write("made")
    print("made", flush=True)
    time.sleep(3600)


def writes(size, fail=False):
    with open("made.bin", "wb") as file:
        file.write(b"x" * size)
    if fail:
        raise ValueError("after writing")


def copies(source, target):
    import shutil

    os.makedirs(os.path.dirname(target))
    shutil.copyfile(source, target)


def digests(path):
    import hashlib

    with open(path, "rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": os.path.getsize(path)}


if __name__ == "__main__":
    if sys.argv[1:] == ["digest"]:
        import hashlib

        print(hashlib.file_digest(sys.stdin.buffer, "sha256").hexdigest())
    else:
        skillyard_call.progress(1, 2)
        skillyard_call.log("notice", "from a script")
        subprocess.run(["/bin/sh", "-c", ":"], check=True)
