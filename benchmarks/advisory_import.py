"""What importing 100,000 advisories takes, of both ecosystems, from exports as OSV packs them, in a fresh process.

The records are those of the embedded snapshot, over and over under other ids and names, with as much prose beside them
as published ones have. The floor is what cannot be left out: unpacking every record and reading it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import orjson
from skillyard.governance.advisories.records import read_records
from skillyard.governance.advisories.sources import SNAPSHOT

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result

_RECORDS = {"PyPI": 50_000, "npm": 50_000}
_PROSE = "A crafted request makes the parser read behind its buffer. " * 20
_SECONDS = 600
_ROOT = Path(__file__).parent.parent

_IMPORT = """
import asyncio, json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.advisories.updates import update_all
from benchmarks.measure import most_memory

async def main():
    folder = Path(sys.argv[1])
    sources = [FileSource(folder / name) for name in ("PyPI.zip", "npm.zip")]
    began = time.perf_counter()
    done = await update_all(folder / "home" / "advisories.db", sources, now=datetime.now(UTC))
    seconds = time.perf_counter() - began
    assert not done.errors, done.errors
    records = sum(one.records for one in done.status.datasets)
    print(json.dumps({"seconds": seconds, "peak_mib": most_memory(), "records": records}))

asyncio.run(main())
"""


async def measure(effort: Effort = FULL) -> Result:
    seconds: list[list[float]] = []
    floor: list[list[float]] = []
    peaks: list[float] = []
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-advisories-") as name:
        folder = Path(name)
        wanted = {ecosystem: effort.of(count) for ecosystem, count in _RECORDS.items()}
        for ecosystem, count in wanted.items():
            await asyncio.to_thread(_export, folder / f"{ecosystem}.zip", ecosystem, count)
        for _ in range(effort.rounds):
            found = await _imported(folder)
            if found["records"] != sum(wanted.values()):
                raise RuntimeError(f"other records came in than were made: {found}")
            seconds.append([found["seconds"]])
            peaks.append(found["peak_mib"])
            (folder / "home" / "advisories.db").unlink()
            floor.append([await asyncio.to_thread(_bare, folder)])
        size = sum((folder / f"{ecosystem}.zip").stat().st_size for ecosystem in wanted)
    p50 = typical(seconds, 0.5)
    return Result(
        name="advisory_import",
        unit="s",
        better="lower",
        ours={
            "p50": p50,
            "records": float(sum(wanted.values())),
            "records_per_s": round(sum(wanted.values()) / p50),
            "peak_mib": round(max(peaks), 1),
            "export_mib": round(size / 1024 / 1024, 1),
        },
        peers={},
        floor=typical(floor, 0.5),
        rounds=effort.rounds,
    )


async def _imported(folder: Path) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IMPORT, str(folder)),
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
    return found


def _export(path: Path, ecosystem: str, count: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, record in enumerate(islice(cycle(_records(ecosystem)), count)):
            identity = f"{record['id']}-{number}"
            affected = [_renamed(entry, number) for entry in record["affected"]]
            changed = record | {"id": identity, "affected": affected, "aliases": [], "details": _PROSE}
            archive.writestr(f"{identity}.json", orjson.dumps(changed))


def _records(ecosystem: str) -> list[dict[str, object]]:
    raws = read_records(SNAPSHOT / f"{ecosystem.lower()}.osv.jsonl.gz")
    records = [orjson.loads(raw.data) for raw in raws]
    return [one for one in records if {entry["package"]["ecosystem"] for entry in one["affected"]} == {ecosystem}]


def _renamed(entry: dict[str, object], number: int) -> dict[str, object]:
    package = dict(entry["package"])  # type: ignore[call-overload]  # an object of the OSV schema
    return entry | {"package": package | {"name": f"{package['name']}-{number % 20_000}"}}


def _bare(folder: Path) -> float:
    began = time.perf_counter()
    for path in sorted(folder.glob("*.zip")):
        for data in _members(path):
            orjson.loads(data)
    return time.perf_counter() - began


def _members(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield archive.read(member)
