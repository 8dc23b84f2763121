"""An update either puts a whole new index in place or leaves the old one untouched, whatever happens on the way."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.index_format import DateBasis
from skillyard.governance.advisories.source import Progress
from skillyard.governance.advisories.sources import SNAPSHOT, FileSource
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import NotUpdated, Updated, update
from skillyard.governance.errors import AdvisoryIndexError, AdvisorySourceError, AdvisoryUpdateRunningError
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]
BASE_DATE = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def path(tmp_path: Path, now: datetime, record: MakeRecord) -> Path:
    """An index with ten PyPI records and four npm records, from two sources."""
    path = tmp_path / "home" / "advisories.db"
    python = [record(f"PY-{number}", f"p{number}") for number in range(10)]
    node = [record(f"JS-{number}", f"n{number}", ecosystem="npm") for number in range(4)]
    await update(path, MemorySource(python, name="python feed", validator='"one"'), now=now)
    await update(path, MemorySource(node, name="node feed"), now=now)
    return path


def ids(path: Path, package: str, ecosystem: Ecosystem = Ecosystem.PYPI, version: str = "1.0.0") -> list[str]:
    return [match.advisory.id for match in AdvisoryIndex.open(path).matches(ecosystem, package, version)]


def damage(path: Path) -> None:
    path.write_bytes(b"damaged")


def beside(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_an_update_of_one_ecosystem_keeps_the_other(path: Path, now: datetime, record: MakeRecord) -> None:
    feed = [record(f"NEW-{number}", f"p{number}") for number in range(8)]
    done = await update(path, MemorySource(feed, name="other python feed"), now=now)
    assert isinstance(done, Updated)
    assert ids(path, "p1") == ["NEW-1"]
    assert ids(path, "p9") == []
    assert ids(path, "n1", Ecosystem.NPM) == ["JS-1"]
    assert [one.source for one in done.status.datasets] == ["node feed", "other python feed"]


async def test_a_few_records_are_added_and_make_nothing_look_fresh(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    own = record("OWN-1", "p1", modified="2026-05-31T00:00:00Z")
    await update(path, MemorySource([own], name="own"), now=now)
    assert ids(path, "p1") == ["OWN-1", "PY-1"]
    assert AdvisoryIndex.open(path).status().data_date(Ecosystem.PYPI) == BASE_DATE
    feed = [record(f"PY-{number}", f"p{number}") for number in range(12)]
    await update(path, MemorySource(feed, name="python feed"), now=now)
    assert ids(path, "p1") == ["OWN-1", "PY-1"], "an update of the feed must not drop what was added"
    await update(path, MemorySource([record("OWN-2", "p2")], name="own"), now=now)
    assert ids(path, "p1") == ["PY-1"], "a source's additions are replaced by its next ones"


async def test_of_two_copies_of_a_record_the_later_one_counts(path: Path, now: datetime, record: MakeRecord) -> None:
    later = record("PY-1", "p1", modified="2026-05-31T00:00:00Z", withdrawn="2026-05-31T00:00:00Z")
    await update(path, MemorySource([later], name="own"), now=now)
    assert ids(path, "p1") == []
    twice = [record("A", "p1", fixed="9.0"), record("A", "p1", fixed="0.5", modified="2026-05-02T00:00:00Z")]
    for order in (twice, twice[::-1]):
        await update(path, MemorySource(order, name="twice", ecosystems=frozenset({Ecosystem.PYPI})), now=now)
        assert ids(path, "p1") == []


async def test_a_feed_that_shrank_is_refused_unless_that_is_meant(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    before = digest(path)
    feed = MemorySource([record("PY-1", "p1")], name="python feed")
    with pytest.raises(AdvisorySourceError, match="shrunk from 10 to 1"):
        await update(path, feed, now=now)
    assert digest(path) == before
    await update(path, feed, now=now, replace=True)
    assert ids(path, "p2") == []


async def test_a_few_records_about_another_ecosystem_do_not_replace_it(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    """An export of one ecosystem holds records that name packages of others too."""
    both = [
        {"package": {"ecosystem": "PyPI", "name": "p1"}, "versions": ["1.0.0"]},
        {"package": {"ecosystem": "npm", "name": "n1"}, "versions": ["1.0.0"]},
    ]
    feed = [record(f"PY-{number}", f"p{number}") for number in range(9)] + [record("BOTH", affected=both)]
    done = await update(path, MemorySource(feed, name="python feed"), now=now)
    assert isinstance(done, Updated)
    assert [one.ecosystem for one in done.imported] == [Ecosystem.PYPI]
    assert ids(path, "n1", Ecosystem.NPM) == ["JS-1"]


async def test_a_mixed_delivery_covers_all_it_names(tmp_path: Path, now: datetime, record: MakeRecord) -> None:
    feed = [record("A", "one"), record("B", "two", ecosystem="npm"), record("C", "x", ecosystem="Maven")]
    done = await update(tmp_path / "i.db", MemorySource(feed), now=now)
    assert isinstance(done, Updated)
    assert ({one.ecosystem for one in done.imported}, done.ignored) == (set(Ecosystem), 1)


async def test_the_date_is_the_newest_records_and_never_in_the_future(
    tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    feed = [record("A", modified="2026-05-01T00:00:00Z"), record("B", modified="2026-05-20T00:00:00Z")]
    await update(tmp_path / "i.db", MemorySource(feed), now=now)
    base = AdvisoryIndex.open(tmp_path / "i.db").status().base(Ecosystem.PYPI)
    assert (base.data_date, base.date_basis) == (datetime(2026, 5, 20, tzinfo=UTC), DateBasis.NEWEST_RECORD)
    await update(tmp_path / "i.db", MemorySource([*feed, record("C", modified="2099-01-01T00:00:00Z")]), now=now)
    assert AdvisoryIndex.open(tmp_path / "i.db").status().data_date(Ecosystem.PYPI) == now
    await update(tmp_path / "i.db", MemorySource(feed, data_date=BASE_DATE), now=now)
    base = AdvisoryIndex.open(tmp_path / "i.db").status().base(Ecosystem.PYPI)
    assert (base.data_date, base.date_basis) == (BASE_DATE, DateBasis.DECLARED)
    with pytest.raises(AdvisorySourceError, match="future"):
        await update(tmp_path / "i.db", MemorySource(feed, data_date=now + timedelta(days=1)), now=now)


async def test_an_unchanged_feed_changes_nothing_and_its_age_goes_on(path: Path, now: datetime) -> None:
    before = digest(path)
    done = await update(path, MemorySource([], name="python feed", validator='"one"'), now=now + timedelta(days=30))
    assert isinstance(done, NotUpdated)
    assert (digest(path), done.status.data_date(Ecosystem.PYPI)) == (before, BASE_DATE)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "holds no advisory"),
        ([b'{"id":"A","modified":"2026-01-01T00:00:00Z"}'], "holds no advisory"),
        ([b"{}"], r"records\.jsonl:1: not an OSV record: id is missing"),
        ([b'{"id":"A","modified":"2026-01-01T00:00:00Z","affected":[]}', b"<html>"], r"records\.jsonl:2: not JSON"),
    ],
)
async def test_a_bad_delivery_leaves_the_index_untouched(
    path: Path, now: datetime, records: list[bytes], says: str
) -> None:
    before, names = digest(path), beside(path)
    with pytest.raises(AdvisorySourceError, match=says):
        await update(path, MemorySource(records), now=now)
    assert (digest(path), beside(path)) == (before, names)


async def test_declared_ecosystems_must_be_there(path: Path, now: datetime, record: MakeRecord) -> None:
    source = MemorySource([record()], ecosystems=frozenset(Ecosystem))
    with pytest.raises(AdvisorySourceError, match="no advisory about npm"):
        await update(path, source, now=now)


async def test_a_damaged_index_is_replaced_and_that_is_said(path: Path, now: datetime, record: MakeRecord) -> None:
    damage(path)
    done = await update(path, MemorySource([record()]), now=now)
    assert isinstance(done, Updated)
    assert done.replaced_damaged is not None
    assert ids(path, "demo") == ["TEST-1"]


async def test_two_updates_at_once_do_not_lose_either(path: Path, now: datetime, record: MakeRecord) -> None:
    sources = [MemorySource([record(f"OWN-{number}", "p1")], name=f"own {number}") for number in range(4)]
    await asyncio.gather(*(update(path, source, now=now) for source in sources))
    assert ids(path, "p1") == ["OWN-0", "OWN-1", "OWN-2", "OWN-3", "PY-1"]


async def test_another_processs_update_is_waited_for_and_then_named(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    with path.with_name("advisories.db.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AdvisoryUpdateRunningError):
            await update(path, MemorySource([record()]), now=now, lock_timeout=0.1)


async def test_progress_is_told_and_a_cancelled_update_leaves_nothing(path: Path, now: datetime) -> None:
    before, names = digest(path), beside(path)
    told: list[Progress] = []

    def cancel_once_reading(progress: Progress) -> None:
        told.append(progress)
        task.cancel()

    source = FileSource(SNAPSHOT / "pypi.osv.jsonl.gz")
    task = asyncio.create_task(update(path, source, now=now, on_progress=cancel_once_reading))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told
    assert told[0].stage == "read"
    assert (digest(path), beside(path)) == (before, names)


async def test_a_cancelled_update_stops_reading(path: Path, now: datetime, record: MakeRecord) -> None:
    pipe = path.parent / "slow.jsonl"
    os.mkfifo(pipe)
    cancelled, hung_up = threading.Event(), []

    def write() -> None:
        with pipe.open("wb", buffering=0) as writer:
            writer.write((record() + b"\n") * 300)
            cancelled.wait()
            try:
                for _ in range(5_000):
                    writer.write(record() + b"\n")
            except BrokenPipeError:
                hung_up.append(True)

    def cancel_once_reading(_: Progress) -> None:
        task.cancel()
        cancelled.set()

    writing = asyncio.create_task(asyncio.to_thread(write))
    task = asyncio.create_task(update(path, FileSource(pipe), now=now, on_progress=cancel_once_reading))
    with pytest.raises(asyncio.CancelledError):
        await task
    await writing
    assert hung_up, "it went on reading to the end"


UPDATE = """
import asyncio, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.advisories.update import update
if len(sys.argv) > 3:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
asyncio.run(update(Path(sys.argv[1]), FileSource(Path(sys.argv[2])), now=datetime.now(UTC)))
"""


def kill_in_the_middle(path: Path, some: bytes) -> None:
    """Run an update that never gets to the end of its records, in a process of its own, and kill that."""
    pipe = path.parent / "endless.jsonl"
    os.mkfifo(pipe)
    process = subprocess.Popen([sys.executable, "-c", UPDATE, str(path), str(pipe)])
    with pipe.open("wb") as writer:  # Opening waits until the update is reading, in the middle of its build.
        writer.write(some)
        writer.flush()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    pipe.unlink()


async def test_a_kill_in_the_middle_leaves_the_old_index_and_the_next_update_tidies_up(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    before = digest(path)
    await asyncio.to_thread(kill_in_the_middle, path, record())
    assert digest(path) == before
    assert any(name.startswith(".advisories.db.part-") for name in beside(path)), "nothing was left to tidy up"
    await update(path, MemorySource([record("OWN-1", "p1")], name="own"), now=now)
    assert beside(path) == {"advisories.db", "advisories.db.lock"}
    assert ids(path, "p1") == ["OWN-1", "PY-1"]


def test_a_disk_that_takes_no_more_leaves_the_old_index(path: Path) -> None:
    before, names = digest(path), beside(path)
    command = [sys.executable, "-c", UPDATE, str(path), str(SNAPSHOT / "pypi.osv.jsonl.gz"), "65536"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    assert f"{AdvisoryIndexError.__name__}: the advisory index could not be written" in failed.stderr
    assert (digest(path), beside(path)) == (before, names)
