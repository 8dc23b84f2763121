"""A real PostgreSQL cluster for the tests: one a test session, shared by all its workers, gone when the last ends.

``python tests/postgres.py FOLDER`` is the keeper: it makes the cluster in a folder of its own, writes where it is to
``FOLDER/cluster.json``, and stops and deletes it as soon as nobody holds ``FOLDER/users`` any more. A worker holds that
lock for its life and the kernel lets go of it when it dies, however it dies. The server dies with its keeper.

Durability is off (``fsync``): this cluster is thrown away. Nothing else differs from how people run it.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from skillyard.database import migrate

START_SECONDS = 60
DEBIAN = Path("/usr/lib/postgresql")
OWNER = "skillyard"
TEMPLATE = "migrated"
_PR_SET_PDEATHSIG = 1


class NoPostgresError(Exception):
    """The tests need PostgreSQL's server programs, and they are not installed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. The owner is no superuser, as servers should not be; ``superuser`` is for damage."""

    folder: str
    port: int
    password: str

    def url(self, database: str) -> str:
        """Over TCP and with a password, as most people reach theirs."""
        return f"postgresql+asyncpg://{OWNER}:{self.password}@127.0.0.1:{self.port}/{database}"

    async def superuser(self, database: str = "postgres") -> Any:
        """A connection that may do anything; over the socket, which only this machine's users reach."""
        return await asyncpg.connect(
            host=self.folder, port=self.port, user="postgres", database=database, timeout=START_SECONDS
        )

    async def run(self, *statements: str, database: str = "postgres") -> None:
        """Statements of the superuser, each a transaction of its own."""
        async with asyncio.timeout(START_SECONDS):
            connection = await self.superuser(database)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close(timeout=START_SECONDS)

    async def create(self, template: str | None = TEMPLATE, options: str = "") -> str:
        """A new database, like the migrated one or empty; its name."""
        name = f"test_{secrets.token_hex(8)}"
        source = template or "template0"
        await self.run(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {source} {options}")
        return name

    async def drop(self, name: str) -> None:
        await self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def shared_cluster(folder: Path) -> Iterator[Cluster]:
    """The cluster of a test session, started by whoever needs it first. ``folder`` is the same for all its workers."""
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("a") as users:
        with (folder / "starting").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            found = folder / "cluster.json"
            if not found.exists():
                _start_keeper(folder)
            cluster = Cluster(**json.loads(found.read_text()))
            _migrate_template(folder, cluster)
        yield cluster


def _start_keeper(folder: Path) -> None:
    programs()  # says what is missing, here where it is read
    log = str(folder / "keeper.log")
    # Not a Popen, which complains when it is collected before its process ends: this one outlives us, on purpose.
    # A session of its own: an interrupt of the tests reaches it when they let go, not before.
    keeper = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", __file__, str(folder)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    give_up = time.monotonic() + START_SECONDS
    while not (folder / "cluster.json").exists():
        if os.waitpid(keeper, os.WNOHANG) != (0, 0) or time.monotonic() > give_up:
            raise RuntimeError(f"the cluster did not start:\n{Path(log).read_text()}")
        time.sleep(0.02)


def _migrate_template(folder: Path, cluster: Cluster) -> None:
    """Once a cluster: what every fresh database is a copy of."""
    done = folder / f"migrated-{cluster.port}"
    if not done.exists():
        asyncio.run(migrate(cluster.url(TEMPLATE)))
        done.touch()


def programs() -> Path:
    """The folder of PostgreSQL's server programs: Debian's newest, or the one on the path."""
    debian = sorted(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name))
    found = next((path for path in reversed(debian) if (path / "initdb").exists()), None)
    if found is None and (initdb := shutil.which("initdb")) is not None:
        found = Path(initdb).resolve().parent
    if found is None:
        raise NoPostgresError(
            "PostgreSQL's server is not installed: run scripts/setup tests (Debian: apt-get install postgresql)"
        )
    return found


# --- the keeper -------------------------------------------------------------------------------------------------------


def keep(folder: Path) -> None:
    """Runs a cluster for as long as somebody holds ``folder/users``."""
    home = Path(tempfile.mkdtemp(prefix="skillyard-pg-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        server, cluster = _start(home)
        asyncio.run(_prepare(cluster))
        _publish(folder, cluster)
        _wait_for_the_last(folder)
    finally:
        if server is not None:
            server.send_signal(signal.SIGQUIT)  # at once: nothing in it is to be kept
            server.wait(START_SECONDS)
        shutil.rmtree(home)


def _start(home: Path) -> tuple[subprocess.Popen[bytes], Cluster]:
    account = _unprivileged()
    if account:
        os.chown(home, account["user"], account["group"])
    data, bin_ = home / "data", programs()
    password = secrets.token_hex(16)
    options = ["--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([bin_ / "initdb", "-D", data, "-U", "postgres", *options], check=True, cwd=home, **account)
    port = free_port()
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": home,
        "fsync": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_connections": 300,
        "shared_buffers": "64MB",
        "autovacuum": "on",
    }
    server = subprocess.Popen(
        [bin_ / "postgres", "-D", data, *(f"-c{name}={value}" for name, value in settings.items())],
        cwd=home,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        **account,
    )
    return server, Cluster(str(home), port, password)


def _unprivileged() -> dict[str, Any]:
    """Whom to run it as: root is refused by PostgreSQL itself."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no user postgres or nobody to run PostgreSQL as")


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def free_port() -> int:
    """For a program that has to be told where to listen. Below those that the kernel gives away by itself, or somebody
    else on this machine may have it by then."""
    given_away = Path("/proc/sys/net/ipv4/ip_local_port_range")
    end = int(given_away.read_text().split()[0]) if given_away.is_file() else 32_768
    while True:
        port = 10_000 + secrets.randbelow(max(end - 10_000, 1000))
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def _prepare(cluster: Cluster) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = await cluster.superuser()
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(0.02)
        else:
            break
    await connection.execute(f"CREATE ROLE {OWNER} LOGIN PASSWORD '{cluster.password}'")
    await connection.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER} TEMPLATE template0")
    await connection.close()


def _publish(folder: Path, cluster: Cluster) -> None:
    text = json.dumps({"folder": cluster.folder, "port": cluster.port, "password": cluster.password})
    beside = folder / "cluster.json.new"
    beside.write_text(text)
    beside.rename(folder / "cluster.json")


def _wait_for_the_last(folder: Path) -> None:
    with (folder / "users").open("a") as users, (folder / "starting").open("a") as starting:
        while True:
            fcntl.flock(users, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_UN)  # Whoever starts holds the other lock and waits for this one.
            fcntl.flock(starting, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(starting, fcntl.LOCK_UN)
                continue
            (folder / "cluster.json").unlink()
            return


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
