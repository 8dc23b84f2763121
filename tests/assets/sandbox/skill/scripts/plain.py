"""Well-behaved functions."""

import os
import random
import socket
import subprocess
import sys
import time
import uuid

import helper
from lib import constants


async def later(value):
    return {"later": value}


def echo(**given):
    return given


def talk(count):
    for number in range(count):
        print(f"out {number}")
        print(f"err {number}", file=sys.stderr)
    return count


def low_level_talk():
    os.write(1, b"written\n")
    subprocess.run(["/bin/sh", "-c", "echo from a subprocess"], check=True)


def where():
    return {
        "cwd": os.getcwd(),
        "path": sys.path[:2],
        "helper": helper.NAME,
        "constant": constants.NUMBER,
        "file": __file__,
        "name": __name__,
        "home": os.path.expanduser("~"),
        "stdin": sys.stdin.read(),
    }


def subprocess_sees(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}; print({module}.__name__)"], capture_output=True)
    return {"code": done.returncode, "out": done.stdout.decode(), "err": done.stderr.decode()}


def fails(message):
    raise ValueError(message)


def exits(code):
    sys.exit(code)


def leaves(code):
    os._exit(code)


def kills_itself(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def not_json(kind):
    return {"bytes": b"x", "nan": float("nan"), "object": object(), "set": {1}, "surrogate": "\ud800"}[kind]


def big(size):
    return "x" * size


def unlike():
    return [random.random(), str(uuid.uuid4()), os.urandom(4).hex()]


def writes(files):
    for path, content in files.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w") as stream:
            stream.write(content)


def reads(path):
    with open(path) as stream:
        return stream.read()


not_callable = 5


def knock(address):
    """What comes of connecting to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError as error:
            return type(error).__name__
        return "connected"
