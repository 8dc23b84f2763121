"""Two real servers: a hub, and one that follows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from skillyard.database import open_database
from skillyard.marketplace_sync.catalogue import store
from skillyard.marketplace_sync.catalogue.documents import SkillDocument, moment
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.times import utcnow
from tests.api.conftest import Server, made, serving
from tests.marketplace_sync.hubs import Unindexed, category

LABEL = "default/hub"


@dataclass(frozen=True)
class Pair:
    """``admin`` is an operator of the follower; ``upstream`` of the hub."""

    hub: Server
    follower: Server
    admin: httpx.Client
    upstream: httpx.Client

    def status(self) -> dict[str, object]:
        (remote,) = made(self.admin.get("/v1/admin/sync/status"))["remotes"]  # type: ignore[misc]
        return dict(remote)  # type: ignore[call-overload]

    def run(self, job: str = "catalogue") -> None:
        """Run a job now, and wait for its end."""
        wait(lambda: self.admin.post("/v1/admin/sync/trigger", json={"remote": "hub", "job": job}).status_code == 202)
        wait(lambda: all(not one["running"] for one in self.status()["jobs"]))  # type: ignore[attr-defined]

    def figures(self) -> dict[str, float]:
        text = self.admin.get("/metrics", headers={"Accept": "text/plain"}).text
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


def wait(found: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def publish(server: Server, *names: str) -> None:
    """Write skills into a hub's catalogue, from another process than the one that serves it."""
    changes = [category("data")]
    for name in names:
        document = SkillDocument(description=f"What {name} does", updated_at=moment(datetime.now(UTC)))
        changes.append(Change(EntryId(EntryKind.SKILL, f"acme/{name}"), document.text))
    asyncio.run(_write(server, changes))


async def _write(server: Server, changes: list[Change]) -> None:
    database = await open_database(server.database)
    try:
        async with database.transaction() as session:
            own = await store.own(session, at=utcnow())
            await store.write(session, own, changes, projection=Unindexed(), at=utcnow())
    finally:
        await database.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    homes = tmp_path_factory.mktemp("sync")
    # Two servers on one database would be one server: the hub has a file of its own, wherever the follower is.
    database = f"sqlite+aiosqlite:///{homes / 'hub' / 'skillyard.db'}"
    with (
        serving(homes / "hub", database_url=database) as running,
        serving(
            homes / "follower", marketplace_allow_private="true", marketplace_upload_max_age_hours="0.001"
        ) as follower,
        running.client(running.token) as upstream,
        follower.client(follower.token) as admin,
    ):
        hub = replace(running, database=database)
        publish(hub, "csv-report", "pdf-tools")
        expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        issued = made(
            upstream.post(
                "/v1/marketplace/tokens",
                json={"name": "follower", "scopes": ["read", "publish", "rate"], "expires_at": expires},
            )
        )
        made(admin.post("/v1/remotes", json={"name": "hub", "url": hub.url, "token": issued["token"]}))
        yield Pair(hub, follower, admin, upstream)
