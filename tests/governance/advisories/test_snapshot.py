"""What ships with the package: facts alone, known answers, and dates that say how old it is."""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name
from skillyard.governance.advisories.advisory import Advisory, Applies
from skillyard.governance.advisories.index import AdvisoryIndex, index_path
from skillyard.governance.advisories.match import affects
from skillyard.governance.advisories.sources import SNAPSHOT
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import ensure_index, update
from skillyard.governance.errors import AdvisoryIndexError
from skillyard.skills.skill import Ecosystem

ROOT = Path(__file__).parents[3]
KNOWN = {
    ("jinja2", "2.10"): {"PYSEC-2021-66", "PYSEC-2019-217"},
    ("requests", "2.19.1"): {"PYSEC-2023-74", "PYSEC-2018-28"},
    ("flask", "0.12"): {"PYSEC-2018-66", "PYSEC-2019-179", "PYSEC-2023-62"},
}
HONEST = {"requests", "numpy", "pandas", "flask", "django", "ctx", "ultralytics", "torch", "openai", "boto3", "lxml"}
FACTS = {"id", "modified", "published", "withdrawn", "aliases", "severity", "affected"}


async def test_known_answers_from_a_fresh_home(tmp_path: Path, now: datetime) -> None:
    index = AdvisoryIndex.open(await ensure_index(tmp_path, now=now))
    for (package, version), expected in KNOWN.items():
        matches = index.matches(Ecosystem.PYPI, package, version)
        assert {match.advisory.id for match in matches} == expected
        assert all(match.applies is Applies.AFFECTED for match in matches)


async def test_it_says_how_old_it_is_and_a_second_start_leaves_it_alone(tmp_path: Path, now: datetime) -> None:
    path = await ensure_index(tmp_path, now=now)
    status = AdvisoryIndex.open(path).status()
    assert status.data_date(Ecosystem.PYPI) == datetime(2024, 10, 10, tzinfo=UTC)
    assert status.data_date(Ecosystem.NPM) == datetime(2026, 4, 8, tzinfo=UTC)
    before = path.stat().st_ino
    assert (await ensure_index(tmp_path, now=now)).stat().st_ino == before


async def test_a_start_that_had_to_wait_does_not_replace_what_came_meanwhile(
    tmp_path: Path, now: datetime, record: Callable[..., bytes]
) -> None:
    await update(tmp_path / "newer.db", MemorySource([record()]), now=now)
    lock = index_path(tmp_path).with_name("advisories.db.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        starting = asyncio.create_task(ensure_index(tmp_path, now=now))
        await asyncio.to_thread(wait_for_another, lock)
        (tmp_path / "newer.db").rename(index_path(tmp_path))
    index = AdvisoryIndex.open(await starting)
    assert index.matches(Ecosystem.PYPI, "demo", "1.0")


def wait_for_another(lock: Path) -> None:
    """Until this process has the lock file open twice: once for the test, once for the start that waits for it."""
    while sum(_leads_to(handle, lock) for handle in Path("/proc/self/fd").iterdir()) < 2:
        time.sleep(0)  # Let the event loop's thread go on.


def _leads_to(handle: Path, lock: Path) -> bool:
    try:
        return handle.samefile(lock)
    except OSError:
        return False  # It was closed since it was listed.


async def test_a_damaged_index_is_not_papered_over_with_the_old_snapshot(tmp_path: Path, now: datetime) -> None:
    index_path(tmp_path).write_bytes(b"damaged")
    await ensure_index(tmp_path, now=now)
    assert index_path(tmp_path).read_bytes() == b"damaged"


PARTS: list[dict[str, Any]] = json.loads((SNAPSHOT / "snapshot.json").read_bytes())["sources"]


async def test_what_an_earlier_release_made_of_its_snapshot_is_made_anew_and_nothing_else_is(
    tmp_path: Path, now: datetime, record: Callable[..., bytes]
) -> None:
    path = await ensure_index(tmp_path, now=now)
    _as_of_an_earlier_release(path)
    assert AdvisoryIndex.open(await ensure_index(tmp_path, now=now)).matches(Ecosystem.PYPI, "jinja2", "2.10")
    await update(path, MemorySource([record(f"OWN-{n}", "p") for n in range(2_000)], name="own"), now=now)
    _as_of_an_earlier_release(path)
    before = path.read_bytes()
    await ensure_index(tmp_path, now=now)
    assert path.read_bytes() == before
    with pytest.raises(AdvisoryIndexError, match="format 1"):
        AdvisoryIndex.open(path)


def _as_of_an_earlier_release(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize("part", [part for part in PARTS if part["kind"] == "names"])
def test_names_are_names_alone_and_no_honest_package_is_among_them(part: dict[str, Any]) -> None:
    content = gzip.decompress((SNAPSHOT / part["file"]).read_bytes())
    assert hashlib.sha256(content).hexdigest() == part["sha256"]
    names = content.decode().splitlines()
    assert (len(names), names) == (part["records"], sorted(set(names)))
    assert all(canonicalize_name(name, validate=True) == name for name in names)
    assert HONEST.isdisjoint(names)
    ours = {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}
    assert ours.isdisjoint(names), "what this project itself is made of"


async def test_a_malicious_name_is_known_in_every_version_from_a_fresh_home(tmp_path: Path, now: datetime) -> None:
    index = AdvisoryIndex.open(await ensure_index(tmp_path, now=now))
    for version in ("0.0.1", "2026.1", "no version at all"):
        (match,) = index.matches(Ecosystem.PYPI, "BeautifulSoop", version)
        assert (match.advisory.id, match.applies) == ("MAL-LIST-beautifulsoop", Applies.AFFECTED)
        assert match.advisory.is_malicious
    assert index.matches(Ecosystem.PYPI, "beautifulsoup4", "4.12.3") == ()
    assert index.matches(Ecosystem.NPM, "beautifulsoop", "1.0.0") == ()


@pytest.mark.parametrize("part", [part for part in PARTS if part["kind"] == "advisories"])
def test_it_holds_facts_and_nothing_else(part: dict[str, Any]) -> None:
    content = gzip.decompress((SNAPSHOT / part["file"]).read_bytes())
    assert hashlib.sha256(content).hexdigest() == part["sha256"]
    records = [json.loads(line) for line in content.splitlines()]
    assert len(records) == part["records"]
    assert {key for record in records for key in record} <= FACTS
    assert {key for record in records for entry in record["affected"] for key in entry} <= {
        "package",
        "ranges",
        "versions",
        "severity",
    }


def test_everything_that_ships_is_attributed() -> None:
    attribution = (SNAPSHOT / "ATTRIBUTION.md").read_text()
    for part in json.loads((SNAPSHOT / "snapshot.json").read_bytes())["sources"]:
        assert all(part[key] in attribution for key in ("file", "project", "license", "date"))


def test_what_the_records_are_known_to_teach_is_still_in_them(snapshot: dict[str, tuple[Advisory, ...]]) -> None:
    every = [one for many in snapshot.values() for one in many]
    assert sum(one.withdrawn is not None for one in every) == 10
    assert {one.id for one in every if one.undetermined} == {"PYSEC-2021-371", "PYSEC-2022-15", "PYSEC-2019-125"}
    assert affects(snapshot["PYSEC-2022-15"][0], "0.5") is Applies.NOT_AFFECTED  # withdrawn


def test_the_script_makes_the_same_bytes_from_the_same_records(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "make_advisory_snapshot.py"), "--into", str(tmp_path)]
    inputs = ["--pypi", str(SNAPSHOT / "pypi.osv.jsonl.gz"), "--npm", str(SNAPSHOT / "npm.osv.jsonl.gz")]
    inputs += ["--names", str(SNAPSHOT / "pypi.malicious-names.txt.gz")]
    subprocess.run(script + inputs, check=True, timeout=120, capture_output=True)
    for name in (*(part["file"] for part in PARTS), "snapshot.json"):
        assert (tmp_path / name).read_bytes() == (SNAPSHOT / name).read_bytes()
