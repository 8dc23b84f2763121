"""Several sources make one index; each comes in by itself, and what became of it is there to be read."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from skillyard.governance.advisories.attempts import AttemptState, attempts_path, read_attempts
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.updates import update_all
from skillyard.governance.errors import AdvisoryIndexError, AdvisorySourceError
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "advisories.db"


def layers(path: Path) -> list[tuple[str, str, bool]]:
    return [(one.ecosystem.value, one.source, one.is_base) for one in AdvisoryIndex.open(path).status().datasets]


def ids(path: Path, package: str) -> list[str]:
    return [match.advisory.id for match in AdvisoryIndex.open(path).matches(Ecosystem.PYPI, package, "1.0.0")]


async def test_the_first_source_of_an_ecosystem_is_its_base_and_larger_ones_add_to_it(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    first = MemorySource([record("PYSEC-1", "a")], name="first", validator='"1"')
    second = MemorySource([record(f"GHSA-{n}", "a") for n in range(5)], name="second")
    node = MemorySource([record("JS", "a", ecosystem="npm")], name="node")
    expected = [("npm", "node", True), ("pypi", "first", True), ("pypi", "second", False)]
    for _ in range(2):  # The second time, the first source has nothing newer, and keeps its place all the same.
        done = await update_all(path, (first, second, node), now=now)
        assert done.errors == ()
        assert layers(path) == expected
        assert ids(path, "a") == ["GHSA-0", "GHSA-1", "GHSA-2", "GHSA-3", "GHSA-4", "PYSEC-1"]
    await update_all(path, (first, second, node), now=now, only={"second"})
    assert layers(path) == expected
    await update_all(path, (first, second, node), now=now, replace=True)
    assert layers(path) == expected


async def test_a_source_that_fails_keeps_nobody_else_out_and_is_noted(
    path: Path, now: datetime, record: MakeRecord, tmp_path: Path
) -> None:
    good = MemorySource([record("A", "a")], name="good", validator='"1"')
    bad = MemorySource([record("B", "b")], name="bad")
    await update_all(path, (good, bad), now=now)
    later = now + timedelta(days=1)
    broken = MemorySource([b"<html>"], name="bad")
    absent = FileSource(tmp_path / "absent.jsonl")
    done = await update_all(path, (absent, broken, good), now=later)
    assert [type(one) for one in done.errors] == [AdvisorySourceError, AdvisorySourceError]
    assert ids(path, "a") == ["A"]
    assert ids(path, "b") == ["B"], "what a source brought before stays"
    attempts = {one.source: (one.state, one.at, one.succeeded_at) for one in read_attempts(path)}
    assert attempts == {
        "good": (AttemptState.UNCHANGED, later, later),
        "bad": (AttemptState.FAILED, later, now),
        str(tmp_path / "absent.jsonl"): (AttemptState.FAILED, later, None),
    }
    (told,) = [one.error for one in read_attempts(path) if one.source == "bad"]
    assert told is not None
    assert "not JSON" in told


async def test_an_unreadable_note_is_an_error_to_read_and_no_hindrance_to_an_update(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    await update_all(path, (MemorySource([record()]),), now=now)
    attempts_path(path).write_text("{}")
    with pytest.raises(AdvisoryIndexError, match="cannot be read"):
        read_attempts(path)
    await update_all(path, (MemorySource([record()]),), now=now)
    assert [one.source for one in read_attempts(path)] == ["memory"]


UPDATE = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.advisories.updates import update_all
sources = [FileSource(Path(name)) for name in sys.argv[2:]]
asyncio.run(update_all(Path(sys.argv[1]), sources, now=datetime.now(UTC)))
"""


def killed_at_the_second(path: Path, first: Path, second: Path, some: bytes) -> None:
    """Update from two sources in a process of its own, and kill it while it reads the second."""
    os.mkfifo(second)
    process = subprocess.Popen([sys.executable, "-c", UPDATE, str(path), str(first), str(second)])
    with second.open("wb") as writer:  # Opening waits until the second source is being read.
        writer.write(some)
        writer.flush()
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    second.unlink()


async def test_a_kill_at_one_source_leaves_what_those_before_it_brought(
    path: Path, now: datetime, record: MakeRecord, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_bytes(record("A", "a"))
    await asyncio.to_thread(killed_at_the_second, path, first, second, record("B", "b"))
    assert (ids(path, "a"), ids(path, "b")) == (["A"], [])
    assert [(one.source, one.state) for one in read_attempts(path)] == [(str(first), AttemptState.UPDATED)]
    second.write_bytes(record("B", "b"))
    done = await update_all(path, (FileSource(first), FileSource(second)), now=now)
    assert (done.errors, ids(path, "a"), ids(path, "b")) == ((), ["A"], ["B"])
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, f"{path.name}.lock", f"{path.name}.attempts"}


async def test_an_open_index_stays_what_it_was_and_who_asks_again_gets_the_new_one(
    path: Path, now: datetime, record: MakeRecord
) -> None:
    await update_all(path, (MemorySource([record("A", "a"), record("B", "b")]),), now=now)
    file = IndexFile(path)
    old = file.current()
    await update_all(path, (MemorySource([record("A2", "a"), record("B2", "b")]),), now=now)
    assert [one.advisory.id for one in old.matches(Ecosystem.PYPI, "b", "1.0")] == ["B"]
    new = file.current()
    assert new.status().fingerprint != old.status().fingerprint
    assert [one.advisory.id for one in new.matches(Ecosystem.PYPI, "b", "1.0")] == ["B2"]
