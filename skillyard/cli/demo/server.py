"""A server process of the demo's own, over a home that keeps nothing of the last demo but what was fetched."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from skillyard.errors import ConflictError, MachineError
from skillyard.subprocesses import launch

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_FILE_LIMIT = 8 * 1024**3
_FRESH = ("artefacts", "audit", "bundles", "staging")
"""``audit`` has the heads that were signed last: a new chain would look like a forged one beside them."""
_LOG_LINES = 15


class DemoServerError(MachineError):
    """The demo's server did not start, or did not stop as it should."""

    code = "demo_server"


@dataclass(frozen=True, slots=True)
class DemoServer:
    """A server that answers. ``token`` is its first person's."""

    url: str
    token: str
    home: Path
    environment: tuple[str, ...]
    """The settings it runs under, as ``NAME=VALUE``."""
    process: subprocess.Popen[bytes]

    def __enter__(self) -> DemoServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Stop it as an operator would; where nothing else went wrong, require that it ends well.

        Raises ``DemoServerError``.
        """
        self.process.terminate()
        try:
            code: int | None = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            self.process.kill()
            self.process.wait()
        if kind is None and code != 0:
            how = f"ended with exit code {code}" if code is not None else f"did not stop within {STOP_SECONDS:g} s"
            raise DemoServerError(f"the server {how}:\n{_tail(self.home)}")


@contextmanager
def fresh_home(home: Path) -> Iterator[Path]:
    """The demo's home, this process's alone, without the database, advisories and files of the last demo.

    Environments, base image facts and uv's cache stay. Raises ``ConflictError`` while another demo uses it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / "demo.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(f"another demo is running in {home}; wait until it has ended") from error
        for name in _FRESH:
            shutil.rmtree(home / name, ignore_errors=True)
        for file in (*home.glob("skillyard.db*"), *home.glob("advisories.db*")):
            file.unlink()
        yield home
    finally:
        os.close(descriptor)


def start(home: Path, settings: Mapping[str, str]) -> DemoServer:
    """A server over ``home`` on a free loopback port, which goes when this process does, by whatever death.

    Raises ``DemoServerError`` with the end of its log.
    """
    environment = tuple(f"{name}={value}" for name, value in settings.items())
    # The launcher makes the kernel end the server when this process dies.
    launcher = [sys.executable, "-I", "-S", "-B", launch.__file__, str(os.getpid()), str(_FILE_LIMIT), "0"]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [*launcher, *command(environment, "serve", "--json", "--port", "0", "--host", "127.0.0.1")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        ready = json.loads(_first_line(process, home))
        return DemoServer(ready["url"], ready["token"], home, environment, process)
    except BaseException:
        process.kill()
        process.wait()
        raise


def command(environment: tuple[str, ...], *arguments: str) -> list[str]:
    """Skillyard itself as a command line, under other settings than this process's."""
    env = shutil.which("env")
    if env is None:
        raise DemoServerError("the program env (POSIX) is missing")
    return [env, *environment, sys.executable, "-m", "skillyard", *arguments]


def _first_line(process: subprocess.Popen[bytes], home: Path) -> bytes:
    """What the server prints when it answers: one line of JSON."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line.startswith(b"{"):
        raise DemoServerError(f"the server did not start within {START_SECONDS:g} s:\n{_tail(home)}")
    return line


def _tail(home: Path) -> str:
    lines = (home / "server.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES:])
