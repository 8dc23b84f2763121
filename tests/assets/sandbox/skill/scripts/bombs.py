"""Entries that pass one limit each."""

import os
import signal
import subprocess
import sys
import time


def loop():
    while True:
        pass


def sleep(seconds=3600):
    time.sleep(seconds)


def stubborn():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    print("deaf", flush=True)
    while True:
        time.sleep(1)


def _orphan():
    """A process out of the group, holding every descriptor; true in it."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            return True
        os._exit(0)
    return False


def stray(then="return"):
    if _orphan():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.01)
            with open("/scratch/stray", "w") as stream:
                stream.write("still here")
    if then == "hang":
        time.sleep(3600)
    return "left a stray"


def memory():
    kept = []
    while True:
        kept.append(bytearray(8 * 1024 * 1024))


def memory_of_subprocess():
    code = "kept=[]\nwhile True: kept.append(bytearray(8*1024*1024))"
    subprocess.run([sys.executable, "-c", code], check=True)


def forks():
    while True:
        try:
            if os.fork() == 0:
                time.sleep(3600)
        except OSError:
            raise


def fork_storm():
    """Every process forks for ever and shrugs off refusals."""
    while True:
        try:
            os.fork()
        except OSError:
            pass


def shout(stream, size):
    block = b"x" * 65536
    while size > 0:
        size -= os.write(stream, block[:size])
    return "said"


def shout_for_ever():
    while True:
        os.write(1, b"x" * 65536)


def fill(folder):
    with open(f"{folder}/big", "wb") as stream:
        while True:
            stream.write(b"x" * 65536)


def fill_quietly(folder):
    try:
        fill(folder)
    except OSError:
        sys.exit(1)


def many_files(folder):
    for number in range(1_000_000):
        open(f"{folder}/{number}", "w").close()


def large_file(size):
    with open("large", "wb") as stream:
        stream.write(b"x" * size)


def artefacts(count, size):
    for number in range(count):
        with open(f"file-{number:04}", "wb") as stream:
            stream.write(b"x" * size)
