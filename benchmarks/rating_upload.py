"""How long 1,000 ratings take to a hub: from the outbox until it has said of each that it has it.

Two real servers' worth of work on one machine: a hub in a process of its own, and this process as the follower with its
outbox in a database, both on SQLite and, asked for by name, both on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
from pydantic import SecretStr
from skillyard.governance import people, tokens
from skillyard.governance.administrators import Administrator
from skillyard.ids import PersonId
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import RatingDocument, moment
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical
from skillyard.marketplace_sync.catalogue.stamp import Stamp
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.marketplace import Marketplace, create_marketplace
from skillyard.marketplace_sync.remotes.remote import PushItem, PushStatus, RemoteMarket
from skillyard.marketplace_sync.remotes.remotes import RemoteDraft
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.identity import origin_of, rater_of
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind
from skillyard.runtime.runtime import create_runtime
from skillyard.settings import Settings
from skillyard.times import utcnow

from benchmarks.effort import FULL, Effort
from benchmarks.leftovers import prefix
from benchmarks.postgres import postgres
from benchmarks.results import Result

RATINGS = 1000
SKILLS = 20
_PEER_ROUNDS = 2

_SERVE = """
import asyncio, json, sys, structlog
from skillyard.api.server import serve
from skillyard.settings import Settings
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def ready(serving): print(json.dumps({"url": serving.url, "token": serving.first_token}), flush=True)
asyncio.run(serve(Settings(), on_ready=ready))
"""


@dataclass(frozen=True, slots=True)
class _Hub:
    url: str
    admin: str
    settings: Settings


async def measure(effort: Effort = FULL) -> Result:
    """On SQLite, and on PostgreSQL."""
    count = effort.of(RATINGS)
    sqlite = [await _seconds(None, count) for _ in range(effort.rounds)]
    alone = [await _seconds(None, count, together=False) for _ in range(min(effort.rounds, _PEER_ROUNDS))]
    with postgres() as hub, postgres() as here:
        ours = {"p50": _middle(sqlite), "postgresql_p50": await _seconds((hub, here), count)}
    peers = {"one by one": _middle(alone)}
    return Result("ratings_1000", "s", "lower", ours=ours, peers=peers, floor=None, rounds=effort.rounds)


async def _seconds(databases: tuple[str, str] | None, count: int, *, together: bool = True) -> float:
    """Of a new hub and a new follower. Where they are not sent ``together``, each goes in a request of its own."""
    with tempfile.TemporaryDirectory(prefix=prefix()) as root:
        hub_home, home = Path(root) / "hub", Path(root) / "here"
        with _serving(hub_home, None if databases is None else databases[0]) as hub:
            await _fill(hub)
            token = _instance_token(hub)
            url = None if databases is None else databases[1]
            async with _follower(home, url) as market:
                remote = await _remote(market, hub, token)
                await market.follower.sync(remote)
                drafts = await _drafts(market, remote, count)
                if not together:
                    return await _one_by_one(market, remote, drafts)
                async with market.runtime.database.transaction() as session:
                    await store.enqueue(session, remote, drafts, at=utcnow())
                began = time.perf_counter()
                report = await market.uploads.send(remote)
                taken = time.perf_counter() - began
                if report.sent != count or report.dead or report.waiting:
                    raise RuntimeError(f"not all of {count} ratings arrived: {report}")
            return taken


@contextmanager
def _serving(home: Path, database: str | None) -> Iterator[_Hub]:
    """The hub, in a process of its own."""
    ours = {"SKILLYARD_HOME": str(home), "SKILLYARD_PORT": "0", "SKILLYARD_ADVISORIES_UPDATE_HOURS": "0"}
    kept: Mapping[str, str] = {} if database is None else {"SKILLYARD_DATABASE_URL": database}
    environment = {**os.environ, **ours, **kept}
    command = [sys.executable, "-c", _SERVE]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the hub did not start")
            said = json.loads(line)
            secret = None if database is None else SecretStr(database)
            yield _Hub(said["url"], said["token"], Settings(home=home, database_url=secret))
        finally:
            process.terminate()
            process.wait(timeout=60)


async def _fill(hub: _Hub) -> None:
    """Skills to be rated, put there through the database that the hub serves."""
    async with await create_runtime(hub.settings, first_person=False) as runtime:
        market = Marketplace(runtime)
        await market.hub.begin()
        async with runtime.database.transaction() as session:
            own = await catalogue_store.own(session, at=utcnow())
            document = canonical({"description": "Made for this.", "updated_at": moment(utcnow()).isoformat()})
            changes = [Change(EntryId(EntryKind.SKILL, f"bench/skill-{n}"), document) for n in range(SKILLS)]
            await catalogue_store.write(session, own, changes, projection=market.search, at=utcnow())


def _instance_token(hub: _Hub) -> str:
    headers = {"Authorization": f"Bearer {hub.admin}"}
    with httpx.Client(base_url=hub.url, headers=headers, trust_env=False, timeout=60) as client:
        expires = (utcnow() + timedelta(days=1)).isoformat()
        body = {"name": "bench", "scopes": ["read", "rate"], "expires_at": expires}
        answer = client.post("/v1/marketplace/tokens", json=body)
        answer.raise_for_status()
        return str(answer.json()["token"])


@asynccontextmanager
async def _follower(home: Path, database: str | None) -> AsyncIterator[Marketplace]:
    settings = Settings(
        home=home,
        database_url=None if database is None else SecretStr(database),
        marketplace_allow_private=True,
        advisories_update_hours=0,
    )
    async with await create_runtime(settings) as runtime, await create_marketplace(runtime, background=False) as market:
        yield market


async def _remote(market: Marketplace, hub: _Hub, token: str) -> RemoteMarket:
    async with market.runtime.database.reading() as session:
        workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
        admin = await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)
    by = Administrator(workspace.id, admin.id, admin.actor)
    return await market.remotes.add(RemoteDraft(name="hub", url=hub.url, token=token, live=False), by=by)


async def _drafts(market: Marketplace, remote: RemoteMarket, count: int) -> list[UploadDraft]:
    """As many persons as ratings: each says one thing."""
    async with market.runtime.database.transaction() as session:
        own = await catalogue_store.own(session, at=utcnow())
    origin = origin_of(own.feed_id, remote.workspace)
    drafts = []
    for number in range(count):
        rater = rater_of(own.feed_id, remote.workspace, PersonId(number))
        stamp = Stamp(int(utcnow().timestamp() * 1000), number, origin)
        document = RatingDocument(
            stars=1 + number % 5, review=f"Review {number}.", stamp=str(stamp), at=moment(utcnow())
        )
        key = f"bench/skill-{number % SKILLS}#{origin}/{rater}"
        drafts.append(UploadDraft(UploadKind.RATING, key, document.text, f"person {number}"))
    return drafts


async def _one_by_one(market: Marketplace, remote: RemoteMarket, drafts: Sequence[UploadDraft]) -> float:
    """The same ratings without an outbox, each in a request of its own."""
    client = market.remotes.client(remote)
    try:
        began = time.perf_counter()
        for number, draft in enumerate(drafts):
            item = PushItem(f"alone-{number}", EntryKind.RATING, draft.key, None, draft.document)
            (result,) = await client.push([item])
            if result.status is not PushStatus.APPLIED:
                raise RuntimeError(f"not taken: {result}")
        return time.perf_counter() - began
    finally:
        await client.close()


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    print(asyncio.run(measure(Effort(rounds=1, share=1.0))).text())
