"""A process that is killed between sending and writing down that it sent: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from skillyard.database import Database
from skillyard.governance.identity import Person
from skillyard.marketplace_sync.catalogue.entry import EntryKind, canonical
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult, PushStatus
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind, UploadState
from skillyard.times import utcnow
from tests.marketplace_sync.upwards.conftest import SKILL, Outpost

_VICTIM = """
import asyncio, json, os, signal, sys
from datetime import timedelta
from pathlib import Path
from skillyard.database import open_database
from skillyard.marketplace_sync.conflicts.conflicts import Conflicts
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import PushResult, PushStatus, RemoteId
from skillyard.marketplace_sync.upwards.sender import Sender
from skillyard.skills.bundle_store import BundleStore

url, remote_id, journal, when = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]

class Remote:
    async def push(self, items):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        with journal.open("a") as file:
            for item in items:
                file.write(json.dumps([item.item, item.kind.value, item.key, item.base_rev, item.document]) + "\\n")
            file.flush()
            os.fsync(file.fileno())
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = await open_database(url)
    metrics = SyncMetrics()
    async with database.reading() as session:
        remote = await remote_store.find(session, RemoteId(remote_id))
    sender = Sender(
        database=database,
        conflicts=Conflicts(database=database, metrics=metrics),
        collisions=None,
        outgoing=BundleStore(journal.parent / "outgoing"),
        metrics=metrics,
        lease="victim",
        max_age=timedelta(days=3),
        hold=timedelta(seconds=1),
    )
    await sender.send(remote, Remote())

asyncio.run(main())
"""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_killed_around_a_push(
    outpost: Outpost, migrated_url: str, admin: Person, database: Database, tmp_path: Path, when: str
) -> None:
    assert admin
    drafts = [
        UploadDraft(UploadKind.COUNTS, f"{SKILL}#{n}", canonical({"installs": n, "calls": n}), "system")
        for n in range(30)
    ]
    async with database.transaction() as session:
        await store.enqueue(session, outpost.remote, drafts, at=utcnow())
    journal = tmp_path / "arrived"
    command = [sys.executable, "-c", _VICTIM, migrated_url, str(outpost.remote.id), str(journal), when]
    victim = await asyncio.to_thread(subprocess.run, command, check=False, timeout=60)
    assert victim.returncode == -signal.SIGKILL
    arrived = journal.read_text().splitlines() if journal.exists() else []
    assert len(arrived) == (30 if when == "after" else 0)
    _take(outpost.market, arrived)
    seen = outpost.market.seq

    await _claims_run_out(outpost)
    report = await outpost.uploads.send(outpost.remote)
    assert (report.sent, report.duplicates) == (30, len(arrived))
    counts = [one for one in outpost.market.entries.values() if one.id.kind is EntryKind.COUNTS]
    assert sorted(orjson.loads(str(one.document))["calls"] for one in counts) == list(range(30))
    assert {one.rev for one in counts} == {1}
    assert outpost.market.seq == (seen if when == "after" else seen + 30)
    uploads = await outpost.uploads.list(outpost.admin.workspace)
    assert {one.state for one, _ in uploads} == {UploadState.SENT}


def _take(market: MemoryMarketplace, arrived: list[str]) -> None:
    """The remote as the victim left it."""
    for line in arrived:
        item, kind, key, base_rev, document = orjson.loads(line)
        result: PushResult = market.push(PushItem(item, EntryKind(kind), key, base_rev, document))
        assert result.status is PushStatus.APPLIED


async def _claims_run_out(outpost: Outpost) -> None:
    """A claim outlives its process for as long as it was taken for."""
    async with asyncio.timeout(20):
        while True:
            async with outpost.database.transaction() as session:
                now = utcnow()
                free = await store.claim(
                    session, outpost.remote.id, by="looking", now=now, hold=timedelta(seconds=-1), limit=1
                )
            if free:
                return
            await asyncio.sleep(0.1)
