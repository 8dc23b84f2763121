"""Remotes of a workspace: what is kept of them, who may change it, and what a change does to the mirror."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from skillyard.database import Database
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import audit, people
from skillyard.governance.administrators import Administrator
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import SYSTEM, Person, PersonPrincipal, Role, TokenId
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.errors import RemoteRefusedError
from skillyard.marketplace_sync.remotes import store
from skillyard.marketplace_sync.remotes.indexed import archives_of
from skillyard.marketplace_sync.remotes.remote import Filters, Remote, RemoteMarket, RemoteState
from skillyard.marketplace_sync.remotes.remotes import RemoteDraft, RemoteEdit, RemoteKindMissingError, Remotes
from skillyard.marketplace_sync.remotes.testing import MemoryMarketplace, MemoryRemote
from skillyard.times import utcnow
from tests.marketplace_sync.hubs import Unindexed, category, settings_of

URL = "http://127.0.0.1:8751"


def administrator(person: Person) -> Administrator:
    return Administrator.of(PersonPrincipal(TokenId(1), person))


@pytest.fixture
async def remotes(database: Database, tmp_path: Path) -> AsyncIterator[Remotes]:
    made = Remotes(database=database, settings=settings_of(tmp_path), projection=Unindexed())
    await made.start()
    yield made
    await made.close()


def draft(name: str = "hub", **more: Any) -> RemoteDraft:
    return RemoteDraft(**{"name": name, "url": URL, "token": "first", **more})


async def actions(database: Database, admin: Person) -> list[str]:
    async with database.reading() as session:
        found = [entry async for page in audit.store.pages(session, admin.workspace) for entry in page]
    return [one.action for one in found]


async def test_a_remote_has_a_mirror_from_the_first_moment(remotes: Remotes, database: Database, admin: Person) -> None:
    made = await remotes.add(draft(filters=Filters(publishers=("acme",))), by=administrator(admin))
    assert (made.state, made.public_key, made.filters.publishers) == (RemoteState.ENABLED, None, ("acme",))
    assert "first" not in repr(made)
    async with database.reading() as session:
        mirror = await catalogue_store.find(session, made.catalogue)
    assert (mirror.workspace, mirror.seq, mirror.live) == (admin.workspace, 0, 0)
    assert await remotes.list(admin.workspace) == (made,)
    assert await remotes.get(admin.workspace, "hub") == made == await remotes.find(made.id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Hub"},
        {"name": "a" * 65},
        {"name": "a--b"},
        {"url": "ftp://127.0.0.1"},
        {"url": "http://user:password@127.0.0.1"},
        {"url": "http://127.0.0.1/?token=x"},
        {"url": "http://127.0.0.1/#x"},
        {"url": "http://192.0.2.1"},
        {"token": "two words"},
        {"token": "x" * 513},
        {"public_key": "abc"},
        {"filters": Filters(publishers=("../x",))},
        {"filters": Filters(categories=tuple(f"c{n}" for n in range(201)))},
    ],
    ids=str,
)
async def test_a_draft_that_is_none_is_refused_with_its_field(
    remotes: Remotes, admin: Person, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as caught:
        await remotes.add(draft(**wrong), by=administrator(admin))
    assert caught.value.field is not None
    assert await remotes.list(admin.workspace) == ()


async def test_private_addresses_are_refused_unless_a_setting_allows_them(
    database: Database, admin: Person, tmp_path: Path
) -> None:
    strict = Remotes(
        database=database, settings=settings_of(tmp_path, marketplace_allow_private=False), projection=Unindexed()
    )
    await strict.start()
    for url in (URL, "https://10.0.0.5", "https://[::ffff:10.0.0.5]", "https://169.254.169.254/latest"):
        with pytest.raises(InputError, match="private"):
            await strict.add(draft(url=url), by=administrator(admin))
    await strict.close()


async def test_only_admins_of_its_own_workspace_change_a_remote(
    remotes: Remotes, database: Database, admin: Person
) -> None:
    await remotes.add(draft(), by=administrator(admin))
    async with database.transaction() as session:
        member = await people.add_person(session, admin.workspace, "m", Role.MEMBER, by=admin.actor, at=utcnow())
        other = await people.create_workspace(session, "elsewhere", by=SYSTEM, at=utcnow())
        stranger = await people.add_person(session, other.id, "stranger", Role.ADMIN, by=SYSTEM, at=utcnow())
    with pytest.raises(AdminRoleError):
        await remotes.remove(admin.workspace, "hub", by=administrator(member))
    with pytest.raises(NotFoundError):
        await remotes.get(other.id, "hub")
    with pytest.raises(NotFoundError):
        await remotes.disable(other.id, "hub", by=administrator(stranger))
    assert (await remotes.add(draft(), by=administrator(stranger))).workspace == other.id


async def test_a_name_is_taken_once_also_by_two_at_once(remotes: Remotes, admin: Person) -> None:
    by = administrator(admin)
    found = await asyncio.gather(remotes.add(draft(), by=by), remotes.add(draft(), by=by), return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["ConflictError", "RemoteMarket"]
    for n in range(store.MOST_REMOTES - 1):
        await remotes.add(draft(f"r{n}"), by=by)
    with pytest.raises(ConflictError, match="50 remotes at most"):
        await remotes.add(draft("one-more"), by=by)


async def test_another_origin_is_never_shown_the_token_of_the_one_before(remotes: Remotes, admin: Person) -> None:
    by = administrator(admin)
    await remotes.add(draft(), by=by)
    same = await remotes.change(admin.workspace, "hub", RemoteEdit(url=f"{URL}/market"), by=by)
    assert (same.token, same.resync) == ("first", True)
    other = await remotes.change(admin.workspace, "hub", RemoteEdit(url="http://127.0.0.1:9999"), by=by)
    assert other.token is None


async def test_other_filters_begin_with_a_snapshot_and_the_same_ones_do_not(remotes: Remotes, admin: Person) -> None:
    by = administrator(admin)
    await remotes.add(draft(), by=by)
    edit = RemoteEdit(filters=Filters(), strategy=Strategy.MANUAL, live=False)
    changed = await remotes.change(admin.workspace, "hub", edit, by=by)
    assert (changed.resync, changed.strategy, changed.live_wanted) == (False, Strategy.MANUAL, False)
    filtered = RemoteEdit(filters=Filters(categories=("data",)))
    assert (await remotes.change(admin.workspace, "hub", filtered, by=by)).resync


async def test_a_removed_remote_takes_its_mirror_with_it_and_its_name_is_free(
    remotes: Remotes, database: Database, admin: Person
) -> None:
    by = administrator(admin)
    market = MemoryMarketplace()
    await market.write(category("a"), category("b"))
    made = await remotes.add(draft(), by=by)
    async with database.transaction() as session:
        mirror = await catalogue_store.find(session, made.catalogue)
        page = await MemoryRemote(market).changes(None, limit=10)
        await catalogue_store.apply(session, mirror, page.entries, projection=Unindexed())
    await remotes.remove(admin.workspace, "hub", by=by)
    async with database.reading() as session:
        assert await catalogue_store.page(session, made.catalogue, after=0, limit=10) == ()
    with pytest.raises(NotFoundError):
        await remotes.find(made.id)
    assert (await remotes.add(draft(), by=by)).catalogue != made.catalogue


async def test_a_key_is_pinned_once_and_another_only_by_a_person(
    remotes: Remotes, database: Database, admin: Person
) -> None:
    by = administrator(admin)
    made = await remotes.add(draft(), by=by)
    first, second = MemoryMarketplace(), MemoryMarketplace()
    async with database.transaction() as session:
        await store.trust(session, made.id, first.head())
        await store.trust(session, made.id, second.head())
    assert (await remotes.find(made.id)).public_key == first.key.public.hex
    offered = second.key.public.hex
    async with database.transaction() as session:
        await store.distrust(session, made.id, "signed by another key", offered_key=offered)
    stands = await remotes.find(made.id)
    assert (stands.state, stands.offered_key, stands.error) == (
        RemoteState.DISTRUSTED,
        offered,
        "signed by another key",
    )
    with pytest.raises(InputError):
        await remotes.accept_key(admin.workspace, "hub", offered[:16], by=by)
    accepted = await remotes.accept_key(admin.workspace, "hub", offered, by=by)
    assert (accepted.state, accepted.public_key, accepted.offered_key) == (RemoteState.ENABLED, offered, None)
    assert (accepted.resync, accepted.head, accepted.error) == (True, None, None)
    assert "remote.key_accepted" in await actions(database, admin)


async def test_what_somebody_disabled_is_not_enabled_by_a_run(
    remotes: Remotes, database: Database, admin: Person
) -> None:
    by = administrator(admin)
    made = await remotes.add(draft(), by=by)
    await remotes.disable(admin.workspace, "hub", by=by)
    async with database.transaction() as session:
        await store.distrust(session, made.id, "rollback", offered_key=None)
    assert (await remotes.find(made.id)).state is RemoteState.DISABLED
    assert (await remotes.enable(admin.workspace, "hub", by=by)).state is RemoteState.ENABLED


async def test_runs_are_counted_until_one_succeeds(remotes: Remotes, admin: Person) -> None:
    made = await remotes.add(draft(), by=administrator(admin))
    at = datetime(2026, 5, 1, tzinfo=UTC)
    for _ in range(3):
        await remotes.record(made, error="x" * 2000, at=at)
    stands = await remotes.find(made.id)
    assert (stands.failures, stands.tried_at, stands.succeeded_at, len(stands.error or "")) == (3, at, None, 500)
    await remotes.record(made, error=None, at=at)
    stands = await remotes.find(made.id)
    assert (stands.failures, stands.succeeded_at, stands.error) == (0, at, None)


class _Picky:
    """Speaks to a marketplace that takes one token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.market = MemoryMarketplace()

    def open(self, market: RemoteMarket) -> Remote:
        remote = MemoryRemote(self.market)
        if market.token != self.token:
            return _Refusing(self.market)
        return remote

    async def close(self) -> None:
        """Nothing to close."""


class _Refusing(MemoryRemote):
    async def changes(self, cursor: str | None, *, limit: int, wait: float = 0.0) -> Any:
        assert (cursor, limit, wait) == (None, 1, 0.0)
        raise RemoteRefusedError("it refused with status 401")


async def test_a_token_that_is_refused_does_not_take_the_place_of_a_good_one(
    remotes: Remotes, database: Database, admin: Person
) -> None:
    by = administrator(admin)
    made = await remotes.add(draft(), by=by)
    remotes._openers = {"skillyard": _Picky("second")}
    with pytest.raises(RemoteRefusedError):
        await remotes.rotate_token(admin.workspace, "hub", "wrong", by=by)
    assert (await remotes.find(made.id)).token == "first"
    assert (await remotes.rotate_token(admin.workspace, "hub", "second", by=by)).token == "second"
    assert "remote.token_rotated" in await actions(database, admin)


async def test_what_a_home_keeps_of_a_remote_goes_with_it(remotes: Remotes, admin: Person) -> None:
    made = await remotes.add(draft(), by=administrator(admin))
    folder = archives_of(remotes._settings.home)
    for name in (str(int(made.id)), "999999", "no-number"):
        (folder / name).mkdir(parents=True)
        (folder / name / "archive").write_bytes(b"x")
    await remotes.sweep()
    assert {one.name for one in folder.iterdir()} == {str(int(made.id)), "no-number"}


async def test_a_kind_that_nothing_speaks_is_said(remotes: Remotes, admin: Person) -> None:
    made = await remotes.add(draft(), by=administrator(admin))
    remotes._openers = {}
    with pytest.raises(RemoteKindMissingError, match="not installed"):
        remotes.client(made)
