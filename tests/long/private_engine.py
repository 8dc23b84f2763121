"""A Docker Engine of a test's own: with folders, socket and cgroups of its own, to be killed, stopped and restarted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_START_SECONDS, _STOP_SECONDS = 120, 60
_CGROUPS = Path("/sys/fs/cgroup")
_PROGRAMS = {"dockerd", "containerd", "containerd-shim-runc-v2", "runc"}


class PrivateEngine:
    """One dockerd. Its containerd is a child that dies with it; shims and containers are not, as anywhere."""

    def __init__(self, folder: Path, *, live_restore: bool = False) -> None:
        """``folder`` must lie on a disk: an overlay, or a tmpfs, takes no image layers."""
        self.folder = folder
        self.live_restore = live_restore
        self.address = f"unix://{folder / 'docker.sock'}"
        self.log = folder / "dockerd.log"
        self._group = f"skillyard-long-{os.getpid()}-{folder.name}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it answers."""
        (self.folder / "daemon.json").write_text("{}")
        command = ["dockerd", "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")]
        command += ["--pidfile", str(self.folder / "docker.pid"), "--host", self.address, "--group", str(os.getgid())]
        command += ["--config-file", str(self.folder / "daemon.json"), "--cgroup-parent", f"/{self._group}"]
        # It needs no network of its own, and must not touch the machine's.
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        command += ["--live-restore"] if self.live_restore else []
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "a Docker Engine that answers", seconds=_START_SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    def kill(self) -> None:
        """The worst end, of its containerd too, which dies with it. Containers and their shims are left alone."""
        assert self._process is not None, "it was not started"
        self._process.kill()
        self._process.wait(_STOP_SECONDS)
        until(lambda: not self._pids("containerd"), "end of containerd")
        # Where nobody waits for orphans its pid still seems to live, and the next dockerd would trust in that.
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """End it and everything it started, unmount what it mounted, remove its folder and cgroups."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(subprocess.SubprocessError):
                self.remove_containers()
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not self._pids(), "the end of every process of the engine")
        for mount in reversed(mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", str(mount)], check=False, capture_output=True, timeout=30)
        for group in sorted(self.cgroups(), key=lambda path: -len(path.parts)):
            group.rmdir()
        for root in _CGROUPS.glob(f"*/{self._group}"):
            root.rmdir()
        shutil.rmtree(self.folder)

    # Looking, with Docker's own command and /proc, so that our own code cannot be wrong about it.

    def docker(self, *arguments: str, check: bool = True, stdin: Any = None) -> str:
        done = subprocess.run(
            ["docker", "--host", self.address, *arguments],
            check=check,
            capture_output=True,
            stdin=stdin,
            text=True,
            timeout=120,
        )
        return done.stdout

    def containers(self, *, running: bool = False) -> tuple[str, ...]:
        """Ids of every container, of whatever state or only of running ones."""
        return tuple(self.docker("ps", "--no-trunc", "--quiet", *([] if running else ["--all"])).split())

    def inspect(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.docker("inspect", container))
        return dict(found)

    def relay(self, container: str) -> int:
        """The machine's pid of a container's first process."""
        return int(self.inspect(container)["State"]["Pid"])

    def shims(self) -> dict[str, int]:
        """Container → pid of the process that holds it for containerd."""
        found = {}
        for pid, words in _command_lines():
            if words[0].endswith("containerd-shim-runc-v2") and any(str(self.folder) in word for word in words):
                found[words[words.index("-id") + 1]] = pid
        return found

    def cgroups(self) -> list[Path]:
        """Groups of containers, dead or alive, in every hierarchy."""
        return [path for path in _CGROUPS.glob(f"*/{self._group}/*") if path.is_dir()]

    def remove_containers(self) -> None:
        if found := self.containers():
            self.docker("rm", "--force", *found, check=False)

    def take_image(self, reference: str) -> None:
        """Copy an image from the machine's own engine."""
        with subprocess.Popen(["docker", "save", reference], stdout=subprocess.PIPE) as saving:
            self.docker("load", "--quiet", stdin=saving.stdout)
        assert saving.returncode == 0, f"{reference} could not be saved"

    def _answers(self) -> bool:
        assert self._process is not None
        ended = self._process.poll()
        assert ended is None, f"dockerd ended with {ended}:\n{self.log.read_text()[-3000:]}"
        try:
            return bool(self.docker("version", "--format", "{{.Server.Version}}").strip())
        except subprocess.CalledProcessError:
            return False

    def _pids(self, *programs: str) -> list[int]:
        return [
            pid
            for pid, words in _command_lines()
            if Path(words[0]).name in (programs or _PROGRAMS) and any(str(self.folder) in word for word in words)
        ]


def until(condition: Callable[[], T], what: str, *, seconds: float = 90) -> T:
    """Wait for something to become true; returns what it became."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s; last seen: {found!r}"
        time.sleep(0.05)
    return found


def mounts_below(folder: Path) -> list[Path]:
    """Mount points, in the order in which they were made (proc(5), ``mountinfo``)."""
    points = (Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if folder in point.parents]


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    """Pid and arguments of every process that runs; one that ended and was not waited for has none."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if words[0]:
                yield int(entry.name), words
