"""Picking records: every filter picks what it says, pages lose and repeat nothing, and a page's work is bounded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from skillyard.database import Database
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.audit import Action, AuditRecord, Entry, listing
from skillyard.governance.audit.listing import Filter, listed
from skillyard.governance.identity import SYSTEM, Actor, ActorKind, Person
from skillyard.ids import AgentId, InvocationId, WorkspaceId

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
BOT = Actor(ActorKind.AGENT, 7)
ADMIN = Actor(ActorKind.PERSON, 7)


@pytest.fixture
async def workspace(database: Database, admin: Person) -> WorkspaceId:
    """Three records of the first start and nine of a little life."""
    told = [
        (ADMIN, Action.AGENT_ADDED, "agent/7"),
        (BOT, Action.INVOCATION_ADMITTED, "invocation/a"),
        (BOT, Action.INVOCATION_FINISHED, "invocation/a"),
        (ADMIN, Action.PACKAGE_BANNED, "pypi/jinja2"),
        (BOT, Action.INVOCATION_DENIED, "invocation/b"),
        (ADMIN, Action.PACKAGE_APPROVED, "pypi/jinja2"),
        (ADMIN, Action.AGENT_SUSPENDED, "agent/7"),
        (SYSTEM, Action.GARBAGE_COLLECTED, "home"),
        (Actor(ActorKind.AGENT, 77), Action.INVOCATION_ADMITTED, "invocation/a%"),
    ]
    for number, (actor, action, subject) in enumerate(told):
        async with database.transaction() as session:
            at = NOON + timedelta(minutes=number)
            await audit.append(session, AuditRecord(admin.workspace, at, actor, action, subject, {}))
    async with database.transaction() as session:
        await people.create_workspace(session, "other", by=SYSTEM, at=NOON)
    return admin.workspace


async def picked(database: Database, workspace: WorkspaceId, wanted: Filter, **options: object) -> tuple[Entry, ...]:
    async with database.reading() as session:
        return (await listed(session, workspace, wanted, limit=100, **options)).entries  # type: ignore[arg-type]


MINUTE = timedelta(minutes=1)


def by_bot(one: Entry) -> bool:
    return (one.actor_kind, one.actor_id) == ("agent", 7)


CASES: list[tuple[Filter, Callable[[Entry], bool], int]] = [
    (Filter(), lambda one: one.seq > 0, 12),
    (Filter(actor="agent/7"), by_bot, 3),
    (Filter(actor="person/7"), lambda one: (one.actor_kind, one.actor_id) == ("person", 7), 4),
    (Filter(actor="system", action="garbage"), lambda one: one.subject == "home", 1),
    (Filter(action="package."), lambda one: one.action.startswith("package."), 2),
    (Filter(action="package_"), lambda one: one.seq < 0, 0),
    (Filter(action="invocation.admitted"), lambda one: one.action == "invocation.admitted", 2),
    (Filter(subject="pypi/jinja2"), lambda one: one.subject == "pypi/jinja2", 2),
    (Filter(agent=AgentId(7)), lambda one: by_bot(one) or one.subject == "agent/7", 5),
    (Filter(invocation=InvocationId("a")), lambda one: one.subject == "invocation/a", 2),
    (Filter(since=NOON + 2 * MINUTE, until=NOON + 4 * MINUTE), lambda one: one.seq in (6, 7), 2),
    (Filter(actor="agent/7", action="invocation.", since=NOON + 3 * MINUTE), lambda one: one.seq == 8, 1),
]


@pytest.mark.parametrize(("wanted", "fits", "count"), CASES)
async def test_a_filter_picks_what_it_says_of_this_workspace(
    database: Database, workspace: WorkspaceId, wanted: Filter, fits: Callable[[Entry], bool], count: int
) -> None:
    found = await picked(database, workspace, wanted)
    assert len(found) == count
    assert all(fits(one) and one.workspace_id == workspace for one in found)
    assert [one.seq for one in found] == sorted(one.seq for one in found)
    backwards = await picked(database, workspace, wanted, newest_first=True)
    assert backwards == tuple(reversed(found))


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("looked_at", [1, 3, 5, 1000])
async def test_pages_lose_and_repeat_nothing_however_little_each_looks_at(
    database: Database, workspace: WorkspaceId, monkeypatch: pytest.MonkeyPatch, newest: bool, looked_at: int
) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", looked_at)
    for wanted, fits, _ in CASES:
        whole = [one.seq for one in await picked_everything(database, workspace, newest=newest) if fits(one)]
        found: list[int] = []
        cursor: int | None = None
        for _ in range(100):
            async with database.reading() as session:
                page = await listed(session, workspace, wanted, limit=2, cursor=cursor, newest_first=newest)
            assert len(page.entries) <= min(2, looked_at)
            found += [one.seq for one in page.entries]
            cursor = page.next
            if cursor is None:
                break
        assert found == whole, wanted


async def picked_everything(database: Database, workspace: WorkspaceId, *, newest: bool) -> list[Entry]:
    async with database.reading() as session:
        entries = [entry async for page in audit.store.pages(session, workspace) for entry in page]
    return entries[::-1] if newest else entries


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("actor", "person"),
        ("actor", "agent/0"),
        ("actor", "robot/1"),
        ("actor", "agent/" + "9" * 30),
        ("actor", "system/1"),
        ("action", "Package"),
        ("action", "package.%"),
        ("action", ""),
    ],
)
def test_what_no_record_can_be_like_is_refused_with_its_field(field: str, value: str) -> None:
    with pytest.raises(InputError) as refused:
        Filter(**{field: value})  # type: ignore[arg-type]
    assert refused.value.field == field


async def test_a_workspace_that_does_not_exist_has_no_empty_list(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await picked(database, WorkspaceId(404), Filter())
