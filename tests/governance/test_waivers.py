"""Waivers on real databases: who gives and ends one, what is recorded, what no waiver may be about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from skillyard.database import Database
from skillyard.errors import InputError, NotFoundError
from skillyard.governance import epoch, people, rule_store
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Agent
from skillyard.governance.errors import AdminRoleError, RuleError
from skillyard.governance.identity import SYSTEM, Person, Role
from skillyard.governance.tables import AuditRecordRow
from skillyard.governance.waivers import store
from skillyard.governance.waivers.waiver import Waiver, WaiverDraft, WaiverError, draft_waiver
from skillyard.ids import WaiverId, WorkspaceId
from sqlalchemy import select

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FILE = "a" * 64


def draft(**fields: Any) -> WaiverDraft:
    about = {"ecosystem": "pypi", "name": "Jinja2", "version": "2.10", "advisory": "PYSEC-1"}
    values: dict[str, Any] = {**about, "reason": "not reachable", "expires_at": NOW + DAY, "now": NOW}
    return draft_waiver(**{**values, **fields})


OF_FILE = {"ecosystem": None, "name": None, "version": None, "advisory": None, "rule": "reverse_shell"}


@dataclass(frozen=True)
class House:
    """A workspace with an admin and a member, and a neighbour's with an admin."""

    database: Database
    admin: Administrator
    member: Administrator
    neighbour: Administrator
    agent: Agent

    async def add(self, wanted: WaiverDraft, by: Administrator | None = None, **more: Any) -> Waiver:
        async with self.database.transaction() as session:
            return await store.add(session, wanted, by=by or self.admin, at=NOW, **more)

    async def revoke(self, waiver: WaiverId, by: Administrator | None = None) -> Waiver:
        async with self.database.transaction() as session:
            return await store.revoke(session, waiver, by=by or self.admin, at=NOW)

    async def listed(self, workspace: WorkspaceId, *, ended: bool = False, at: datetime = NOW) -> list[WaiverId]:
        async with self.database.reading() as session:
            found = await store.list_waivers(session, workspace, after=0, limit=100, ended=ended, now=at)
        return [one.id for one in found]

    async def in_rules(self, workspace: WorkspaceId) -> list[WaiverId]:
        async with self.database.reading() as session:
            return [one.id for one in (await rule_store.load_rules(session, workspace)).waivers]

    async def epoch(self) -> int:
        async with self.database.reading() as session:
            return await epoch.current(session)


@pytest.fixture
async def house(database: Database, admin: Person, agent: Agent) -> House:
    async with database.transaction() as session:
        member = await people.add_person(session, admin.workspace, "mo", Role.MEMBER, by=SYSTEM, at=NOW)
        other = await people.create_workspace(session, "next-door", by=SYSTEM, at=NOW)
        neighbour = await people.add_person(session, other.id, "nia", Role.ADMIN, by=SYSTEM, at=NOW)
    acting = [Administrator(one.workspace, one.id, one.actor) for one in (admin, member, neighbour)]
    return House(database, *acting, agent)


async def test_a_waiver_binds_its_workspace_from_the_next_admission_on(house: House) -> None:
    before = await house.epoch()
    made = await house.add(draft())
    assert str(made.package) == "jinja2==2.10"
    assert await house.epoch() > before
    assert await house.in_rules(house.admin.workspace) == [made.id]
    assert await house.in_rules(house.neighbour.workspace) == []


async def test_revoking_raises_the_epoch_and_is_final(house: House) -> None:
    made, other = await house.add(draft()), await house.add(draft(**OF_FILE, file_sha256=FILE))
    before = await house.epoch()
    assert (await house.revoke(made.id)).revoked_at == NOW
    assert await house.epoch() > before
    assert await house.in_rules(house.admin.workspace) == [other.id]
    with pytest.raises(NotFoundError):
        await house.revoke(made.id)
    assert await house.listed(house.admin.workspace) == [other.id]
    assert await house.listed(house.admin.workspace, ended=True) == [made.id, other.id]
    assert await house.listed(house.admin.workspace, at=NOW + DAY) == []


async def test_only_admins_of_the_workspace_give_and_end_waivers(house: House) -> None:
    with pytest.raises(AdminRoleError):
        await house.add(draft(), by=house.member)
    made = await house.add(draft())
    with pytest.raises(AdminRoleError):
        await house.revoke(made.id, by=house.member)
    with pytest.raises(NotFoundError):
        await house.revoke(made.id, by=house.neighbour)
    assert await house.listed(house.neighbour.workspace, ended=True) == []
    assert await house.listed(house.admin.workspace) == [made.id]


async def test_the_owner_is_who_adds_it_or_a_person_of_the_workspace(house: House) -> None:
    assert (await house.add(draft())).owner == house.admin.person
    assert (await house.add(draft(), owner="mo")).owner_name == "mo"
    with pytest.raises(NotFoundError):
        await house.add(draft(), owner="nia")


async def test_both_ends_of_a_waiver_are_on_record(house: House) -> None:
    made = await house.add(draft())
    await house.revoke(made.id)
    async with house.database.reading() as session:
        row = AuditRecordRow
        found = await session.execute(
            select(row.action, row.subject, row.payload)
            .where(row.workspace_id == house.admin.workspace, row.action.like("waiver.%"))
            .order_by(row.seq)
        )
        records = [(action, subject, orjson.loads(payload)) for action, subject, payload in found]
    assert [(action, subject) for action, subject, _ in records] == [
        ("waiver.added", f"waiver/{made.id}"),
        ("waiver.revoked", f"waiver/{made.id}"),
    ]
    assert records[0][2]["about"] == "PYSEC-1 in jinja2==2.10"
    assert records[0][2]["reason"] == "not reachable"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"advisory": "MAL-2025-1"}, "advisory"),
        ({"advisory": "mal-2025-1"}, "advisory"),
        ({"advisory": "no advisory!"}, "advisory"),
        ({"advisory": None}, None),
        ({"rule": "reverse_shell"}, None),
        ({"rule": "reverse_shell", "file_sha256": FILE}, None),
        ({**OF_FILE, "file_sha256": None}, None),
        ({**OF_FILE, "file_sha256": "abc"}, "file_sha256"),
        ({**OF_FILE, "rule": "No Rule", "file_sha256": FILE}, "rule"),
        ({"version": ">=2"}, "version"),
        ({"name": "no name!"}, "name"),
        ({"ecosystem": "cargo"}, "ecosystem"),
        ({"reason": "  "}, "reason"),
        ({"expires_at": NOW}, "expires_at"),
        ({"expires_at": datetime(2027, 1, 1)}, "expires_at"),  # noqa: DTZ001 - a time without a zone is what is wrong
    ],
)
def test_what_is_no_waiver_names_the_field(fields: dict[str, Any], field: str | None) -> None:
    with pytest.raises((WaiverError, RuleError)) as raised:
        draft(**fields)
    assert isinstance(raised.value, InputError)
    assert raised.value.field == field
