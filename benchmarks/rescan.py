"""Matching 10,000 stored locks of 50 packages each against newer advisories, in a started runtime on its database.

Locks share packages as those of real skills do: 2,000 package versions in all, 500 of which advisories are about. The
new data is about a package that one lock in a hundred holds: those versions are quarantined, with audit and messages.
``unshared_s`` is the worst there can be, measured once: no two locks share a package version, 500,000 in all, and of
half of them the index has to be asked.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

from skillyard.governance.advisories.index import AdvisoryIndex, index_path
from skillyard.governance.advisories.records import read_records
from skillyard.governance.advisories.sources import SNAPSHOT, FileSource
from skillyard.governance.advisories.update import update
from skillyard.governance.decision import SkillState
from skillyard.governance.rematch import PRIMARY
from skillyard.governance.report import Evidence, EvidenceState
from skillyard.governance.report_json import report_to_json
from skillyard.governance.scan import report_of
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.tables import WorkspaceRow
from skillyard.runtime import rescan
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.stored import locks_to_json, skill_to_json
from skillyard.runtime.tables import SkillRow, SkillVersionRow, VersionMarkRow
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target, closure_digest
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow
from sqlalchemy import insert, select

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result

_LOCKS, _PACKAGES, _DISTINCT, _ON_RECORD, _HIT = 10_000, 50, 2_000, 500, 100
_SKILL = Path(__file__).parent.parent / "skills" / "writing-guide"
_ONCE = 500


async def measure(effort: Effort = FULL) -> Result:
    count = effort.of(_LOCKS)
    seconds = [[await _rescanned(count, shared=True)] for _ in range(min(effort.rounds, 3))]
    return Result(
        name="rescan",
        unit="s",
        better="lower",
        ours={
            "p50": typical(seconds, 0.5),
            "locks_found": float(count),
            "unshared_s": round(await _rescanned(count, shared=False), 2),
        },
        peers={},
        floor=None,
        rounds=len(seconds),
    )


async def _rescanned(count: int, *, shared: bool) -> float:
    """Seconds of one rescan of everything. Raises where it did not find what it has to."""
    rescan.LOOK_SECONDS = 86_400.0  # type: ignore[misc]  # what is measured is not to be done by the server meanwhile
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-rescan-") as folder:
        settings = Settings(home=Path(folder), advisories_max_age_days=100_000, advisories_update_hours=0)
        async with await create_runtime(settings) as runtime:
            names = await _fill(runtime, count, shared=shared)
            await runtime.rescanner.rescan()
            file = Path(folder) / "new.jsonl"
            file.write_text(json.dumps(_record(names[0])) + "\n")
            await update(index_path(settings.home), FileSource(file), now=utcnow())
            began = time.perf_counter()
            scanned, quarantined = await runtime.rescanner.rescan()
            took = time.perf_counter() - began
        if scanned != count or len(quarantined) != max(1, count // _HIT):
            raise RuntimeError(f"matched {scanned} of {count}, and quarantined {len(quarantined)}")
        return took


async def _fill(runtime: Runtime, count: int, *, shared: bool) -> list[str]:
    """Installed versions, written as an installation would have; the names of their packages, the one to hit first."""
    index = AdvisoryIndex.open(index_path(runtime.settings.home))
    on_record = list(islice(dict.fromkeys(_names_on_record(index)), _ON_RECORD))
    names = ["bench-to-be-hit", *on_record, *(f"bench-{one}" for one in range(_DISTINCT - len(on_record) - 1))]
    status = index.status()
    skill, now = parse_skill(_SKILL), utcnow()
    skill_json = skill_to_json(skill)
    ran = Evidence(PRIMARY, f"0+index.{status.fingerprint}", EvidenceState.RAN, status.data_date(Ecosystem.PYPI))
    async with runtime.database.transaction() as session:
        workspace = (await session.execute(select(WorkspaceRow.id))).scalar_one()
        for begin in range(0, count, _ONCE):
            some = range(begin, min(count, begin + _ONCE))
            skills, versions, marks = [], [], []
            for number in some:
                locks = (_lock(number, names, shared=shared),)
                report = report_of(
                    (),
                    (ran,),
                    policy=ScanPolicy(max_age=timedelta(days=100_000)),
                    now=now,
                    locks=locks,
                    bundle_digest=skill.bundle.digest,
                    lock_digest=closure_digest(locks),
                    asked="",
                )
                key = number + 1
                skills.append(
                    {"id": key, "workspace_id": workspace, "publisher": "bench", "name": f"s{key}", "created_at": now}
                )
                versions.append(
                    {
                        "id": key,
                        "workspace_id": workspace,
                        "skill_id": key,
                        "version": "1.0.0",
                        "bundle_digest": skill.bundle.digest,
                        "bundle_bytes": skill.bundle.size,
                        "lock_digest": closure_digest(locks),
                        "lock_json": locks_to_json(locks),
                        "report_json": report_to_json(report).decode(),
                        "skill_json": skill_json,
                        "state": SkillState.ACTIVE,
                        "origin": "bench",
                        "installed_at": now,
                    }
                )
                marks.append({"skill_version_id": key, "workspace_id": workspace, "revision": 1})
            await session.execute(insert(SkillRow), skills)
            await session.execute(insert(SkillVersionRow), versions)
            await session.execute(insert(VersionMarkRow), marks)
    return names


def _lock(number: int, names: list[str], *, shared: bool) -> Lock:
    """Packages at steps through all names; one lock in a hundred has the one that will be hit."""
    chosen = [1 + (number * 7 + one * 37) % (len(names) - 1) for one in range(_PACKAGES - 1)]
    chosen.append(0 if number % _HIT == 0 else 1 + (number * 7 + 49 * 37) % (len(names) - 1))
    if not shared:
        half = [1 + (number + one) % _ON_RECORD for one in range(_PACKAGES // 2)]
        chosen = [*half, *chosen[len(half) :]]
    packages = []
    for place, name in enumerate(sorted({names[one] for one in chosen})):
        version = "9000.1" if shared else f"9000.{number}.{place}"
        files = tuple(
            LockedArtefact(f"{name}-{version}-py3-none-{kind}.whl", f"{number:032x}{place:032x}", 123_456)
            for kind in ("any", "manylinux_2_28_x86_64")
        )
        packages.append(LockedPackage(name, version, files, (), place < 3))
    return Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), tuple(packages))


def _names_on_record(index: AdvisoryIndex) -> Iterator[str]:
    """Packages that advisories are about, and not about the versions that are made up here."""
    for raw in read_records(SNAPSHOT / "pypi.osv.jsonl.gz"):
        for entry in json.loads(raw.data)["affected"]:
            package = entry["package"]
            if package["ecosystem"] == "PyPI" and not index.matches(Ecosystem.PYPI, package["name"], "9000.1"):
                yield package["name"]


def _record(name: str) -> dict[str, object]:
    now = utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}]
    return {"id": "BENCH-1", "modified": now, "published": now, "affected": affected}
