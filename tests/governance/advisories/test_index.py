"""An index that is missing, damaged or foreign must never look like one without advisories."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from skillyard.governance.advisories.advisory import Applies
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.index_format import content_digest
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import update
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.skills.skill import Ecosystem

MakeRecord = Callable[..., bytes]


@pytest.fixture
def path(tmp_path: Path, embedded_index: Path) -> Path:
    return Path(shutil.copy(embedded_index, tmp_path))


def _statement(sql: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(sql)
            connection.commit()

    return damage


def _foreign(path: Path) -> None:
    path.unlink()
    _statement("CREATE TABLE advisory (id TEXT)")(path)


def _overwritten(path: Path) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)


def _renamed(path: Path) -> None:
    """One letter of a package's name goes, and with it the package, while SQLite finds nothing wrong."""
    data = path.read_bytes()
    assert b"pypijinja2PYSEC" in data
    path.write_bytes(data.replace(b"pypijinja2PYSEC", b"pypijinjb2PYSEC"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"SQLite format 3\0 but no"),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        _overwritten,
        _renamed,
        _foreign,
        _statement("PRAGMA user_version = 1"),
        _statement("DELETE FROM advisory WHERE package = 'jinja2'"),
        _statement("DELETE FROM advisory"),
        _statement("DELETE FROM dataset"),
        _statement("DELETE FROM seal"),
        _statement("UPDATE dataset SET data_date = '2026-05-31T00:00:00+00:00'"),
        _statement("UPDATE advisory SET body = '[1]' WHERE package = 'jinja2'"),
        _statement("UPDATE dataset SET data_date = 'soon'"),
        _statement("UPDATE dataset SET ecosystem = 'cargo' WHERE ecosystem = 'npm'"),
        _statement("DROP TABLE advisory"),
    ],
)
def test_a_damaged_or_foreign_file_is_an_error(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with pytest.raises(AdvisoryIndexError) as refusal:
        AdvisoryIndex.open(path)
    assert not isinstance(refusal.value, AdvisoryIndexMissingError)
    assert str(path) not in str(refusal.value)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE advisory SET body = '[1]' WHERE package = 'jinja2'",
        "UPDATE dataset SET data_date = 'soon'",
        "UPDATE dataset SET ecosystem = 'cargo' WHERE ecosystem = 'npm'",
        "DELETE FROM dataset",
    ],
)
def test_a_row_that_this_format_never_writes_is_an_error_even_under_its_seal(path: Path, damage: str) -> None:
    _statement(damage)(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE seal SET sha256 = ?", (content_digest(connection),))
        connection.commit()
    with pytest.raises(AdvisoryIndexError):
        AdvisoryIndex.open(path).matches(Ecosystem.PYPI, "jinja2", "2.10")


def test_no_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(AdvisoryIndexMissingError):
        AdvisoryIndex.open(tmp_path / "advisories.db")


async def test_an_ecosystem_without_data_is_missing_and_not_clean(
    tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    await update(tmp_path / "i.db", MemorySource([record()]), now=now)
    index = AdvisoryIndex.open(tmp_path / "i.db")
    assert index.matches(Ecosystem.PYPI, "demo", "1.0")
    with pytest.raises(AdvisoryIndexMissingError, match="npm"):
        index.matches(Ecosystem.NPM, "demo", "1.0.0")


def test_names_are_found_under_any_spelling(path: Path) -> None:
    index = AdvisoryIndex.open(path)
    assert index.matches(Ecosystem.PYPI, "Jinja2", "2.10") == index.matches(Ecosystem.PYPI, "jinja2", "2.10") != ()


def test_withdrawn_and_fixed_do_not_match_and_unorderable_versions_do(path: Path) -> None:
    index = AdvisoryIndex.open(path)
    assert index.matches(Ecosystem.PYPI, "jinja2", "99.0") == ()
    unsure = index.matches(Ecosystem.PYPI, "jinja2", "two-point-ten")
    assert unsure
    assert {match.applies for match in unsure} == {Applies.CANNOT_TELL}


def test_threads_get_the_same_answers(path: Path) -> None:
    index = AdvisoryIndex.open(path)
    asked = [("jinja2", "2.10"), ("requests", "2.19.1"), ("flask", "0.12"), ("tensorflow", "2.3.0")] * 8
    alone = [AdvisoryIndex.open(path).matches(Ecosystem.PYPI, *one) for one in asked[:4]] * 8
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda one: index.matches(Ecosystem.PYPI, *one), asked)) == alone


async def test_a_replaced_file_is_seen_and_a_removed_one_is_missing(
    tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    path = tmp_path / "i.db"
    file = IndexFile(path)
    with pytest.raises(AdvisoryIndexMissingError):
        file.current()
    await update(path, MemorySource([record("TEST-1")]), now=now)
    first = file.current()
    assert file.current() is first
    await update(path, MemorySource([record("TEST-2")]), now=now)
    assert [match.advisory.id for match in file.current().matches(Ecosystem.PYPI, "demo", "1.0")] == ["TEST-2"]
    assert [match.advisory.id for match in first.matches(Ecosystem.PYPI, "demo", "1.0")] == ["TEST-1"]
    path.unlink()
    with pytest.raises(AdvisoryIndexMissingError):
        file.current()


async def test_readers_during_updates_see_one_state_or_the_other(
    tmp_path: Path, now: datetime, record: MakeRecord
) -> None:
    path = tmp_path / "i.db"
    states = [[record(f"{prefix}-{number}", f"p{number}") for number in range(40)] for prefix in ("OLD", "NEW")]
    await update(path, MemorySource(states[0]), now=now)
    file, done, seen = IndexFile(path), threading.Event(), []

    def read() -> None:
        while not done.is_set():
            index = file.current()
            found = {index.matches(Ecosystem.PYPI, f"p{number}", "1.0")[0].advisory.id[:3] for number in range(40)}
            seen.append(found)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(1, 8):
        await update(path, MemorySource(states[turn % 2]), now=now)
    done.set()
    for reader in readers:
        reader.join()
    assert seen
    assert all(len(found) == 1 for found in seen)
