"""Archives the same chain again and again, killed at another effect each time; says what was left, a line a kill.

Each attempt is a process of its own, forked before anything runs here. The effects are counted by what they go through:
the operating system's functions, and the driver's commit.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiosqlite
from skillyard.database import migrate, open_database
from skillyard.governance import audit, people, tokens
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import SYSTEM
from skillyard.runtime.audit_archive import Archiver
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings
from skillyard.times import utcnow


async def prepare(home: Path) -> dict[str, Any]:
    """A home with 24 records, signed."""
    settings = Settings(home=home, _env_file=None)
    await migrate(settings.database)
    database = await open_database(settings.database)
    async with database.transaction() as session:
        await tokens.first_start(session, utcnow())
    log = AuditLog(settings=settings, database=database)
    await log.begin()
    for number in range(20):
        async with database.transaction() as session:
            (one,) = await people.workspaces(session)
            record = AuditRecord(one.id, utcnow(), SYSTEM, Action.PACKAGE_BANNED, f"pypi/p{number}", {"n": number})
            await audit.append(session, record)
    await log.end()
    await database.close()
    return {}


async def archive(home: Path) -> dict[str, Any]:
    settings = Settings(home=home, _env_file=None)
    database = await open_database(settings.database)
    log = AuditLog(settings=settings, database=database)
    async with database.reading() as session:
        (one,) = await people.workspaces(session)
    archiver = Archiver(folder=home / "audit" / "archives", database=database, signer=log.signer, most_records=16)
    await archiver.archive(one, before=utcnow() + timedelta(days=1))
    found = await look(home)
    await database.close()
    return found


async def look(home: Path) -> dict[str, Any]:
    settings = Settings(home=home, _env_file=None)
    database = await open_database(settings.database)
    log = AuditLog(settings=settings, database=database)
    async with database.reading() as session:
        (one,) = await people.workspaces(session)
    found = await log.verify(one.id)
    await database.close()
    with sqlite3.connect(home / "skillyard.db") as connection:
        (live,) = connection.execute("SELECT count(*) FROM audit_records").fetchone()
    connection.close()
    return {
        "broken": None if found.broken is None else found.broken.message,
        "indeterminate": found.indeterminate,
        "records": found.records,
        "head": found.head.seq,
        "live": live,
    }


def doomed(point: int) -> None:
    """From now on this process kills itself at its ``point``-th effect, in turn before and after it."""
    count = 0

    def reached(step: int) -> None:
        nonlocal count
        count += step
        if count > point:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            reached(1)
            result = function(*arguments, **options)
            reached(1)
            return result

        return call

    for name in ("write", "fsync", "rename"):
        setattr(os, name, wrapped(getattr(os, name)))
    committed = aiosqlite.Connection.commit

    async def commit(connection: aiosqlite.Connection) -> None:
        reached(1)
        await committed(connection)
        reached(1)

    aiosqlite.Connection.commit = commit  # type: ignore[method-assign]


def forked(work: Callable[[Path], Awaitable[dict[str, Any]]], home: Path, point: int | None = None) -> Any:
    """What ``work`` returns in a process of its own; ``None`` where that was killed."""
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(answer)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            if point is not None:
                doomed(point)
            result = asyncio.run(work(home))  # type: ignore[arg-type]
            with os.fdopen(told, "w") as pipe:
                pipe.write(json.dumps(result))
        except BaseException as error:  # noqa: BLE001 - a forked process must not go on as its parent
            sys.stderr.write(f"point {point}: {error!r}\n")
            os._exit(1)
        os._exit(0)
    os.close(told)
    with os.fdopen(answer) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    if status != 0:
        raise RuntimeError(f"an attempt failed with {status}")
    return json.loads(text)


def main(folder: Path) -> None:
    forked(prepare, folder / "made")
    point, killed = 0, True
    while killed:
        home = folder / f"attempt-{point}"
        shutil.copytree(folder / "made", home)
        killed = forked(archive, home, point) is None
        after = forked(look, home)
        live = after.pop("live")
        again = forked(archive, home)
        print(json.dumps({"point": point, "killed": killed, "after": after, "live": live, "again": again}), flush=True)
        shutil.rmtree(home)
        point += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
