"""Process 1 of a build's container: calls a PEP 517 backend in a process of its own and hands out what it made.

Run as a script with the base image's interpreter and the standard library alone; the host never imports it. Its one
argument is a JSON object: ``hook`` (``requires`` or ``wheel``), ``backend`` and ``backend_path``. Standard output
carries one line of JSON, and after it the wheel's bytes; standard error carries whatever the build prints. When
standard input ends, whoever wanted the wheel is gone, and so is the container a moment later.

Everything in here has one user, so a build can disturb this process and forge what it says. It gains nothing: what
it could forge is its own wheel, which the host checks like anything else that comes from outside.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

_SOURCE = Path("/skill")
_WORK = Path("/scratch/work")
_TREE = _WORK / "source"
_OUT = _WORK / "out"
_ANSWER = _WORK / "answer.json"
_MAX_ANSWER = 256 * 1024
_CHUNK = 64 * 1024
# The version 1 and version 2 names of one fact: how often the kernel killed for memory, and refused a new process.
_OOM_FILES = ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events")
_PIDS_FILES = ("/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events")


def main() -> None:
    if os.getpid() != 1:
        # It ends every process that it can reach; outside a container that would be everybody else's.
        sys.exit("the build's driver runs as the first process of a container only")
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.set_inheritable(channel.fileno(), False)
    threading.Thread(target=_end_with_the_host, daemon=True).start()
    with channel:
        try:
            _build(channel)
        except OSError as error:
            _say(channel, {"failed": "driver", "message": str(error), **_evidence()})


def _end_with_the_host() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _build(channel: BinaryIO) -> None:
    _OUT.mkdir(parents=True)
    shutil.copytree(_SOURCE, _TREE)
    command = [sys.executable, "-P", "-s", "-B", "-X", "utf8", __file__, "--backend", sys.argv[1]]
    code = subprocess.call(command, cwd=_TREE, stdin=subprocess.DEVNULL)
    # All that the backend left behind; as process 1 this reaches everything in the container but itself.
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    if code != 0:
        _say(channel, {"failed": "backend", "code": code, **_evidence()})
        return
    answer = json.loads(_read(_ANSWER, _MAX_ANSWER))
    if json.loads(sys.argv[1])["hook"] == "requires":
        _say(channel, {"requires": answer})
        return
    name = Path(str(answer)).name
    with _opened(_OUT / name) as wheel:
        _say(channel, {"wheel": name, "size": os.fstat(wheel.fileno()).st_size})
        shutil.copyfileobj(wheel, channel, _CHUNK)


def _say(channel: BinaryIO, header: dict[str, Any]) -> None:
    channel.write(json.dumps(header).encode() + b"\n")


def _opened(path: Path) -> BinaryIO:
    """A regular file, links not followed; a pipe in its place would keep this waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")


def _read(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"{path} is too large")
    return data


def _evidence() -> dict[str, Any]:
    """What the kernel says about a build that failed. Folders count as full with next to nothing left."""
    full = []
    for folder in ("/scratch", "/tmp", "/dev/shm"):  # noqa: S108 - in the container
        status = os.statvfs(folder)
        full.append(status.f_bavail * status.f_frsize < _CHUNK or status.f_favail == 0)
    return {"oom": _counter(_OOM_FILES, "oom_kill"), "pids": _counter(_PIDS_FILES, "max"), "full": any(full)}


def _counter(files: tuple[str, ...], field: str) -> int:
    for name in files:
        with contextlib.suppress(FileNotFoundError), Path(name).open(encoding="ascii") as file:
            for line in file:
                key, _, value = line.partition(" ")
                if key == field:
                    return int(value)
    return 0


def backend(task: dict[str, Any]) -> None:
    """The part that runs foreign code: one hook of one backend (PEP 517), its answer as JSON in a file."""
    # In a shortage of memory the kernel takes this process and its children, and leaves the one that tells of it.
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    sys.path[:0] = [str(_TREE / path) for path in task["backend_path"]]
    module, _, attributes = task["backend"].partition(":")
    hooks = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        hooks = getattr(hooks, name)
    if task["hook"] == "requires":
        ask = getattr(hooks, "get_requires_for_build_wheel", None)
        answer = [] if ask is None else list(ask(None))
    else:
        answer = hooks.build_wheel(str(_OUT), None, None)
    _ANSWER.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--backend":
        backend(json.loads(sys.argv[2]))
    else:
        main()
