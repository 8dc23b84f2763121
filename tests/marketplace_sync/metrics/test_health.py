"""What is meant to rest, or to be done rarely, takes no server out of service; what is late does."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from skillyard.database import Database
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person, WorkspaceState
from skillyard.governance.tables import WorkspaceRow
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.jobs import store as jobs_store
from skillyard.marketplace_sync.jobs.values import Job, JobKey
from skillyard.marketplace_sync.metrics import store
from skillyard.marketplace_sync.metrics.health import HealthState, judge
from skillyard.marketplace_sync.metrics.values import Footing
from skillyard.marketplace_sync.remotes import store as remote_store
from skillyard.marketplace_sync.remotes.remote import CLAUDE, SKILLYARD, Filters, RemoteId, RemoteState
from skillyard.marketplace_sync.upwards import store as uploads_store
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind, UploadState
from skillyard.times import utcnow
from sqlalchemy import update

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = Footing(
    id=RemoteId(1),
    workspace=WorkspaceId(1),
    workspace_name="default",
    name="hub",
    kind=SKILLYARD,
    state=RemoteState.ENABLED,
    live_wanted=False,
    created_at=NOW - timedelta(days=9),
    succeeded_at=NOW - timedelta(minutes=1),
    failures=0,
    error=None,
    paused=False,
    seconds=None,
    dead=0,
    set_aside=0,
)


OTHER = replace(FRESH, id=RemoteId(2), name="other")


def old(**ago: float) -> Footing:
    return replace(FRESH, succeeded_at=NOW - timedelta(**ago))


@pytest.mark.parametrize(
    ("footings", "state", "codes"),
    [
        ([FRESH], HealthState.HEALTHY, []),
        ([old(minutes=50)], HealthState.DEGRADED, ["stale"]),
        ([old(minutes=61)], HealthState.UNHEALTHY, ["stale"]),
        ([old(minutes=61), OTHER], HealthState.DEGRADED, ["stale"]),
        ([replace(old(hours=20), seconds=86_400.0)], HealthState.HEALTHY, []),
        ([replace(old(days=3.5), seconds=86_400.0)], HealthState.DEGRADED, ["stale"]),
        ([replace(old(days=5), seconds=86_400.0)], HealthState.UNHEALTHY, ["stale"]),
        ([replace(old(days=5), paused=True)], HealthState.HEALTHY, []),
        (
            [replace(OTHER, succeeded_at=NOW - timedelta(days=5), paused=True), old(minutes=61)],
            HealthState.UNHEALTHY,
            ["stale"],
        ),
        ([replace(FRESH, dead=2, paused=True)], HealthState.DEGRADED, ["dead_uploads"]),
        ([replace(FRESH, set_aside=1)], HealthState.DEGRADED, ["set_aside"]),
        ([replace(FRESH, set_aside=1, kind=CLAUDE)], HealthState.HEALTHY, []),
        ([replace(FRESH, state=RemoteState.DISTRUSTED)], HealthState.UNHEALTHY, ["distrusted"]),
        ([replace(old(days=5), state=RemoteState.DISABLED)], HealthState.HEALTHY, []),
    ],
)
def test_a_remote_is_late_by_how_often_it_is_wanted(
    footings: list[Footing], state: HealthState, codes: list[str]
) -> None:
    def period(one: Footing) -> timedelta:
        return timedelta(seconds=one.seconds or 900.0)

    found = judge(footings, running=True, open_channels=frozenset(), period=period, now=NOW)
    assert (found.state, [one.code for one in found.troubles]) == (state, codes)


async def test_what_is_suspended_is_not_counted_and_what_rests_is_known(database: Database, admin: Person) -> None:
    async with database.transaction() as session:
        hub = await remote_store.add(
            session,
            by=Administrator(admin.workspace, admin.id, admin.actor),
            at=utcnow(),
            name="hub",
            url="http://127.0.0.1:9",
            token=None,
            kind=SKILLYARD,
            filters=Filters(),
            strategy=Strategy.REMOTE_WINS,
            live=False,
            public_key=None,
        )
        job = await jobs_store.ensure(session, JobKey(Job.CATALOGUE, hub.id), hub.workspace)
        await jobs_store.change(session, job.id, paused=True, seconds=300.0, next_at=None)
        draft = UploadDraft(UploadKind.COUNTS, "acme/csv-report#x", "{}", "system")
        await uploads_store.enqueue(session, hub, [draft], at=utcnow())
        (upload,) = await uploads_store.list_uploads(session, admin.workspace)
        await uploads_store._set(session, upload.id, {"state": UploadState.DEAD})
    async with database.reading() as session:
        (footing,) = await store.footings(session)
        (standing,) = await store.standings(session, None)
    assert (footing.label, footing.paused, footing.seconds, footing.dead) == ("default/hub", True, 300.0, 1)
    assert (standing.label, standing.paused, standing.seconds, standing.dead) == ("default/hub", True, 300.0, 1)
    async with database.transaction() as session:
        await session.execute(update(WorkspaceRow).values(state=WorkspaceState.SUSPENDED))
    async with database.reading() as session:
        assert await store.footings(session) == ()
        assert await store.standings(session, None) == ()
        assert len(await store.standings(session, admin.workspace)) == 1
