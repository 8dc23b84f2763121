"""A PostgreSQL of the benchmark's own, as Debian configures one: every commit waits for the disk."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.leftovers import prefix

_DEBIAN = Path("/usr/lib/postgresql")
_OWNER = "bench"
_SECONDS = 60


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database; the server is gone at the end. It lies where SQLite's file would."""
    account = _account()
    with tempfile.TemporaryDirectory(prefix=prefix()) as name:
        home = Path(name)
        if account:
            os.chown(home, account["user"], account["group"])
        password = secrets.token_hex(16)
        secret = home / "password"
        secret.write_text(password)
        secret.chmod(0o644)  # the folder is the server's alone
        made = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "-U", _OWNER]
        _run(_program("initdb"), "-D", str(home / "data"), *made, cwd=home, **account)
        port = _free_port()
        settings = (f"-cport={port}", "-clisten_addresses=127.0.0.1", f"-cunix_socket_directories={home}")
        with subprocess.Popen(
            [_program("postgres"), "-D", str(home / "data"), *settings],
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **account,
        ) as server:
            try:
                _wait(port)
                yield f"postgresql+asyncpg://{_OWNER}:{password}@127.0.0.1:{port}/postgres"
            finally:
                server.terminate()
                server.wait(_SECONDS)


def _wait(port: int) -> None:
    deadline = time.monotonic() + _SECONDS
    asks = [_program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]
    while subprocess.run(asks, check=False, timeout=_SECONDS).returncode != 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start within {_SECONDS} s")
        time.sleep(0.05)


def _program(name: str) -> str:
    """Debian's newest, or what is on the path."""
    found = sorted(_DEBIAN.glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name))
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        raise RuntimeError("PostgreSQL's server is not installed: run scripts/setup tests")
    return program


def _account() -> dict[str, Any]:
    """Whom to run it as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _run(*command: str, cwd: Path, **account: Any) -> None:
    subprocess.run(command, check=True, cwd=cwd, capture_output=True, timeout=_SECONDS, **account)
