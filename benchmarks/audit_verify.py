"""What checking a chain of a million audit records takes, signatures and all, in a process of its own.

The floor is what cannot be left out: reading the same rows with SQLite's own driver and hashing them, in one loop.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from skillyard.database import migrate, open_database
from skillyard.governance import tokens
from skillyard.governance.audit import (
    COLUMN_NAMES,
    Action,
    AuditRecord,
    Entry,
    Head,
    as_columns,
    seal,
)
from skillyard.governance.audit.record import digest
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import WorkspaceId
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings
from skillyard.times import utcnow

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result

_RECORDS = 1_000_000
_SECONDS = 600
_ROOT = Path(__file__).parent.parent
_WORKSPACE = WorkspaceId(1)
_COLUMNS = ", ".join(COLUMN_NAMES)

_CHECK = """
import asyncio, json, sys, time
from pathlib import Path
from skillyard.database import open_database
from skillyard.ids import WorkspaceId
from skillyard.runtime.audit_log import AuditLog
from skillyard.settings import Settings
from benchmarks.measure import most_memory

async def main():
    settings = Settings(home=Path(sys.argv[1]), _env_file=None)
    database = await open_database(settings.database)
    began = time.perf_counter()
    found = await AuditLog(settings=settings, database=database).verify(WorkspaceId(1))
    seconds = time.perf_counter() - began
    await database.close()
    sound = found.broken is None and found.indeterminate is None and found.unsigned == 0
    print(json.dumps({"seconds": seconds, "peak_mib": most_memory(), "records": found.records, "sound": sound}))

asyncio.run(main())
"""


async def measure(effort: Effort = FULL) -> Result:
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-audit-") as folder:
        home = Path(folder)
        records = effort.of(_RECORDS)
        await _live(home, records)
        ours: list[list[float]] = []
        floor: list[list[float]] = []
        peaks: list[float] = []
        for _ in range(effort.rounds):
            found = await _checked(home, records)
            ours.append([found["seconds"]])
            peaks.append(found["peak_mib"])
            floor.append([await asyncio.to_thread(_bare, home / "skillyard.db")])
    seconds = typical(ours, 0.5)
    return Result(
        name="audit_verify",
        unit="s",
        better="lower",
        ours={
            "p50": seconds,
            "records": float(records),
            "records_per_s": round(records / seconds),
            "peak_mib": round(max(peaks), 1),
        },
        peers={},
        floor=typical(floor, 0.5),
        rounds=effort.rounds,
    )


async def _checked(home: Path, records: int) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHECK, str(home)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), _SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise RuntimeError(error.decode()[-2000:])
    found: dict[str, float] = json.loads(out)
    if not found["sound"] or found["records"] < records:
        raise RuntimeError(f"the measured chain was not what was made: {found}")
    return found


async def _live(home: Path, records: int) -> None:
    """A home whose chain is as long as that, and signed at its beginning and its end."""
    settings = Settings(home=home, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own argument
    await migrate(settings.database)
    database = await open_database(settings.database)
    try:
        async with database.transaction() as session:
            await tokens.first_start(session, utcnow())
        log = AuditLog(settings=settings, database=database)
        await log.begin()
        await log.end()
        await asyncio.to_thread(_append, database.path, records)
        await log.end()
    finally:
        await database.close()


def _append(path: Path, records: int) -> None:
    """Records like those of calls, sealed as the durable writer seals them, in one transaction."""
    connection = sqlite3.connect(path)
    head = Head(*connection.execute("SELECT seq, hash FROM audit_heads").fetchone())

    def rows() -> Iterator[tuple[str | int | None, ...]]:
        nonlocal head
        caller, at = Actor(ActorKind.AGENT, 3), utcnow()
        for number in range(records):
            subject = f"invocation/{number // 2:032x}"
            if number % 2 == 0:
                action, payload = Action.INVOCATION_ADMITTED, {"entry": "run", "epoch": 12, "skill_version": 3}
            else:
                action, payload = Action.INVOCATION_FINISHED, {"exit_code": 0, "reason": None, "state": "succeeded"}
            entry = seal(AuditRecord(_WORKSPACE, at, caller, action, subject, payload), head)  # type: ignore[arg-type]
            head = Head(entry.seq, entry.hash)
            yield as_columns(entry)

    marks = ", ".join("?" * len(COLUMN_NAMES))
    connection.executemany(f"INSERT INTO audit_records ({_COLUMNS}) VALUES ({marks})", rows())
    connection.execute("UPDATE audit_heads SET seq = ?, hash = ?", (head.seq, head.hash))
    connection.commit()
    connection.close()


def _bare(path: Path) -> float:
    connection = sqlite3.connect(path)
    began, previous = time.perf_counter(), "0" * 64
    for row in connection.execute(f"SELECT {_COLUMNS} FROM audit_records ORDER BY workspace_id, seq"):
        entry = Entry(*row)
        found = digest(previous, entry.seq, entry)
        if found != entry.hash:
            raise RuntimeError(f"record {entry.seq} of the measured chain does not hold")
        previous = found
    seconds = time.perf_counter() - began
    connection.close()
    return seconds
