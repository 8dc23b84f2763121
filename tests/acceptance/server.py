"""A real server in a process of its own, as ``skillyard serve`` starts it, and clients that talk to it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.acceptance.story import HarnessError

SKILLYARD = Path(sys.executable).with_name("skillyard")
_START_SECONDS, _STOP_SECONDS = 180, 120


@dataclass(frozen=True)
class Server:
    """A running server. ``first_token`` is the first person's, ``None`` at any but the first start of a home."""

    url: str
    first_token: str | None
    home: Path
    process: subprocess.Popen[str]
    log: Path
    _clients: list[httpx.Client] = field(default_factory=list)

    def client(self, token: str | None) -> httpx.Client:
        """A client that speaks as the token's holder; it is closed with the server."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)
        self._clients.append(client)
        return client

    def kill(self) -> None:
        """The worst end: SIGKILL, and nothing of it can clean up."""
        self.process.kill()
        self.process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to end, and wait; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)

    def close(self) -> None:
        for client in self._clients:
            client.close()
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def serving(home: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """A server over ``home`` that answers; ended at the end, if it was not before."""
    log = home.with_name(f"{home.name}.log")
    with (
        log.open("a") as stderr,
        subprocess.Popen(
            [SKILLYARD, "serve", "--json"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home.parent,
        ) as process,
    ):
        try:
            ready = _first_line(process, log)
            server = Server(str(ready["url"]), ready["token"], home, process, log)
            try:
                yield server
            finally:
                server.close()
        finally:
            if process.poll() is None:
                process.kill()


def run(
    *command: str | Path, environment: Mapping[str, str], cwd: Path, seconds: float = 300, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """One command to its end, whatever its exit code."""
    return subprocess.run(
        command,
        env=dict(environment),
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def clean_environment() -> dict[str, str]:
    """This process's environment without any setting of Skillyard, so that every process starts from the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SKILLYARD_", "PYTHON"))}


def _first_line(process: subprocess.Popen[str], log: Path) -> dict[str, str | None]:
    if process.stdout is None:
        raise HarnessError("the server has no standard output")
    deadline = time.monotonic() + _START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        ready = selector.select(deadline - time.monotonic())
    line = process.stdout.readline() if ready else ""
    if not line:
        raise HarnessError(f"no server within {_START_SECONDS} s; its log ends:\n{log.read_text()[-3000:]}")
    document: dict[str, str | None] = json.loads(line)
    if "url" not in document:
        raise HarnessError(f"the server did not start: {document}")
    return document
