"""Who is alive: decided by a lock where it can be tried, else by what an observer saw and never by another's clock."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.database import Database
from skillyard.runtime import leases
from skillyard.runtime.instance import home_id, take_lease
from skillyard.runtime.leases import LeaseRecord, Machine, Observer
from skillyard.runtime.tenure import LeaseLapsedError, Tenure
from skillyard.times import utcnow
from tests.runtime.conftest import until

ELSEWHERE = Machine("another-host", "another-kernel")
TTL = 30.0


def record(machine: Machine = ELSEWHERE, *, home: str = "h" * 32, beats: int = 0) -> LeaseRecord:
    # A clock that is far off must not matter.
    then = datetime(1999, 1, 1, tzinfo=UTC)
    return LeaseRecord(uuid.uuid4().hex, home, machine, 1, "0", then, then, beats)


def observer(home: Path, *, gap: float = TTL) -> Observer:
    return Observer(home=home, home_id=home_id(home), ttl=TTL, longest_gap=gap)


async def rows(database: Database) -> tuple[LeaseRecord, ...]:
    async with database.reading() as session:
        return await leases.every(session)


def test_a_process_elsewhere_is_dead_once_it_was_watched_in_vain_for_as_long_as_its_lease(tmp_path: Path) -> None:
    watcher, other = observer(tmp_path), record()
    watcher.observe([other], now=100.0)
    assert watcher.is_alive(other.id)
    watcher.observe([other], now=100.0 + TTL - 1)
    assert watcher.is_alive(other.id)
    watcher.observe([replace(other, beats=1)], now=100.0 + TTL)
    assert watcher.is_alive(other.id), "it was renewed"
    watcher.observe([replace(other, beats=1)], now=100.0 + 2 * TTL + 1)
    assert not watcher.is_alive(other.id)


def test_time_in_which_nobody_looked_counts_for_nothing(tmp_path: Path) -> None:
    watcher, other = observer(tmp_path, gap=5.0), record()
    watcher.observe([other], now=0.0)
    watcher.observe([other], now=3600.0)
    assert watcher.is_alive(other.id), "the observer slept, or the database was away for everybody"


def test_where_the_lock_can_be_tried_it_decides_whatever_the_row_says(tmp_path: Path) -> None:
    held, watcher = take_lease(tmp_path), observer(tmp_path)
    here = record(Machine.this(), home=home_id(tmp_path))
    ours, dead = replace(here, id=held.id), replace(here, id=uuid.uuid4().hex)
    watcher.observe([ours, dead], now=0.0)
    watcher.observe([ours, dead], now=10 * TTL)
    assert watcher.is_alive(ours.id)
    assert not watcher.is_alive(dead.id), "a fresh row of a process whose lock is gone"
    held.release()
    assert not watcher.is_alive(ours.id)


def test_a_machine_with_our_name_and_another_home_is_not_judged_by_our_locks(tmp_path: Path) -> None:
    watcher, namesake = observer(tmp_path), record(Machine.this(), home="another home")
    watcher.observe([namesake], now=0.0)
    assert watcher.is_alive(namesake.id)


@pytest.mark.parametrize("lease", ["", ".", "..", "../instance-id", "a" * 31, "A" * 32])
def test_what_is_no_lease_is_held_by_nobody(tmp_path: Path, lease: str) -> None:
    assert not observer(tmp_path).is_alive(lease)


def lapsed(tenure: Tenure) -> bool:
    try:
        tenure.require()
    except LeaseLapsedError:
        return True
    return False


class Holder:
    """A tenure whose surrenders are counted."""

    def __init__(self, database: Database, home: Path, ttl: float = TTL) -> None:
        self.lease = take_lease(home)
        self.given_up = 0
        self.tenure = Tenure(
            database=database, lease=self.lease, home_id=home_id(home), ttl=ttl, give_up_all=self._give_up
        )

    async def _give_up(self) -> None:
        with pytest.raises(LeaseLapsedError):
            self.tenure.require()
        self.given_up += 1


async def test_a_process_registers_renews_and_leaves_no_row(database: Database, tmp_path: Path) -> None:
    holder = Holder(database, tmp_path / "home")
    with pytest.raises(LeaseLapsedError):
        holder.tenure.require()
    before = utcnow()
    await holder.tenure.begin()
    holder.tenure.require()
    (first,) = await rows(database)
    assert (first.id, first.pid, first.machine) == (holder.lease.id, os.getpid(), Machine.this())
    assert before <= first.started_at == first.heartbeat_at
    await holder.tenure.beat()
    (second,) = await rows(database)
    assert (second.beats, second.started_at) == (1, first.started_at)
    assert second.heartbeat_at > first.heartbeat_at
    await holder.tenure.end()
    assert await rows(database) == ()
    assert holder.given_up == 0
    holder.lease.release()


async def test_who_was_taken_for_dead_gives_up_everything_before_it_goes_on(database: Database, tmp_path: Path) -> None:
    holder = Holder(database, tmp_path / "home")
    await holder.tenure.begin()
    (seen,) = await rows(database)
    async with database.transaction() as session:
        assert await leases.take_away(session, seen)
    await holder.tenure.beat()
    assert holder.given_up == 1
    holder.tenure.require()
    assert [one.id for one in await rows(database)] == [holder.lease.id]
    holder.lease.release()


async def test_a_renewal_in_time_beats_who_takes_it_for_dead(database: Database, tmp_path: Path) -> None:
    holder = Holder(database, tmp_path / "home")
    await holder.tenure.begin()
    (seen,) = await rows(database)
    await holder.tenure.beat()
    async with database.transaction() as session:
        assert not await leases.take_away(session, seen)
    assert len(await rows(database)) == 1
    holder.lease.release()


async def test_who_did_not_renew_in_time_admits_nothing_until_it_has(database: Database, tmp_path: Path) -> None:
    holder = Holder(database, tmp_path / "home", ttl=0.02)
    await holder.tenure.begin()
    await until(lambda: lapsed(holder.tenure))
    await holder.tenure.beat()
    assert holder.given_up == 0, "nobody had taken anything away"
    holder.lease.release()


async def test_a_lock_file_that_was_removed_comes_back(database: Database, tmp_path: Path) -> None:
    home = tmp_path / "home"
    holder, watcher = Holder(database, home), observer(home)
    await holder.tenure.begin()
    (home / "leases" / holder.lease.id).unlink()
    assert not watcher.is_alive(holder.lease.id)
    await holder.tenure.beat()
    assert watcher.is_alive(holder.lease.id)
    assert holder.given_up == 1, "others may have taken it for dead meanwhile"
    holder.lease.release()
    assert list((home / "leases").iterdir()) == []
