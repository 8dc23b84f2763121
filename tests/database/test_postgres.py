"""What is so on PostgreSQL alone: turns, limits of time, lost servers, passwords, and what it will not keep."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import pytest
from skillyard.database import (
    BUSY_SECONDS,
    Database,
    DatabaseError,
    DatabaseUnavailableError,
    Kind,
    copy_rows,
    migrate,
    open_database,
    schema_state,
)
from skillyard.database import (
    postgres as engine,
)
from skillyard.errors import InputError
from skillyard.governance import epoch
from skillyard.governance.tables import WorkspaceRow
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from tests.postgres import OWNER, Cluster

pytestmark = pytest.mark.database(Kind.POSTGRESQL)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


async def until_waiting(postgres: Cluster, database: Database, *, purpose: str = "writing") -> None:
    """Until somebody in this database waits for a lock."""
    name = database.url.rpartition("/")[2]
    connection = await postgres.superuser()
    try:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = $1 AND wait_event_type = 'Lock' AND application_name = $2"
        )
        async with asyncio.timeout(30):
            while not await connection.fetchval(waiting, name, f"skillyard {purpose}"):
                await connection.execute("SELECT pg_sleep(0.01)")
    finally:
        await connection.close()


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_an_admission_that_waited_for_a_ban_sees_it(database: Database, postgres: Cluster) -> None:
    """The shared turn is granted after the commit, and a statement after it reads what was committed."""
    admission = await engine.connect(database.location, purpose="admitting")
    try:
        async with database.transaction() as session:
            raised = await epoch.bump(session)

            async def admit() -> int:
                async with admission.transaction():
                    await admission.execute(engine.TAKE_SHARED_TURN)
                    found: int = await admission.fetchval("SELECT epoch FROM rules_epoch")
                    return found

            admitting = asyncio.create_task(admit())
            await until_waiting(postgres, database, purpose="admitting")
        assert await admitting == raised
    finally:
        await admission.close()


async def test_a_ban_waits_for_admissions_under_way_and_holds_up_those_behind_it(
    database: Database, postgres: Cluster
) -> None:
    """Without a queue in order of arrival, calls that overlap without a gap would keep a ban out for ever."""
    first, second = [await engine.connect(database.location, purpose="admitting") for _ in range(2)]
    order: list[str] = []

    async def ban() -> None:
        async with database.transaction() as session:
            order.append("ban")
            await epoch.bump(session)

    async def admit_behind() -> None:
        async with second.transaction():
            await second.execute(engine.TAKE_SHARED_TURN)
            order.append("admission behind it")

    try:
        async with first.transaction():
            await first.execute(engine.TAKE_SHARED_TURN)
            banning = asyncio.create_task(ban())
            await until_waiting(postgres, database)
            behind = asyncio.create_task(admit_behind())
            await until_waiting(postgres, database, purpose="admitting")
            assert order == []
        await asyncio.gather(banning, behind)
    finally:
        await first.close()
        await second.close()
    assert order == ["ban", "admission behind it"]


async def test_admissions_run_side_by_side(database: Database) -> None:
    first, second = [await engine.connect(database.location, purpose="admitting") for _ in range(2)]
    try:
        async with first.transaction(), second.transaction():
            await first.execute(engine.TAKE_SHARED_TURN)
            await second.execute(engine.TAKE_SHARED_TURN)
    finally:
        await first.close()
        await second.close()


async def test_a_default_isolation_of_the_role_does_not_make_transactions_read_the_past(
    database: Database, database_url: str, postgres: Cluster
) -> None:
    """At a stricter level the snapshot would be from before the wait for the turn."""
    await postgres.run(
        f"ALTER ROLE {OWNER} IN DATABASE {database_url.rpartition('/')[2]} "
        "SET default_transaction_isolation = 'serializable'"
    )
    other = await open_database(database_url)

    async def raise_by_hand(handle: Database) -> None:
        async with handle.transaction() as session:
            seen = await epoch.current(session)
            assert await epoch.bump(session) == seen + 1

    try:
        await asyncio.gather(*(raise_by_hand(handle) for handle in (database, other) for _ in range(20)))
    finally:
        await other.close()


# --- limits and losses ------------------------------------------------------------------------------------------------


async def settings_of(session: object, *names: str) -> dict[str, str]:
    return {name: str(await session.scalar(text(f"SHOW {name}"))) for name in names}  # type: ignore[attr-defined]


async def test_every_connection_has_limits_and_commits_durably(migrated_url: str, postgres: Cluster) -> None:
    name = migrated_url.rpartition("/")[2]
    await postgres.run(f"ALTER ROLE {OWNER} IN DATABASE {name} SET synchronous_commit = 'off'")
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "synchronous_commit")
    reopened = await open_database(migrated_url)
    try:
        async with reopened.transaction() as session:
            assert list((await settings_of(session, *names)).values()) == ["1min", "15s", "1min", "on"]
        async with reopened.reading() as session:
            found = await settings_of(session, *names, "transaction_isolation", "transaction_read_only")
            assert list(found.values()) == ["1min", "15s", "10min", "on", "repeatable read", "on"]
    finally:
        await reopened.close()


async def test_a_server_that_ended_our_connection_is_a_machine_error_and_then_forgotten(
    database: Database, postgres: Cluster
) -> None:
    async def lose_it() -> None:
        async with database.transaction() as session:
            backend = await session.scalar(text("SELECT pg_backend_pid()"))
            await postgres.run(f"SELECT pg_terminate_backend({backend})")
            await epoch.bump(session)

    with pytest.raises(DatabaseUnavailableError):
        await lose_it()
    async with database.transaction() as session:
        assert await epoch.current(session) == 1


async def test_connections_that_were_lost_while_idle_are_replaced_unseen(
    database: Database, database_url: str, postgres: Cluster
) -> None:
    for opening in (database.transaction, database.reading):
        async with opening() as session:
            await epoch.current(session)
    name = database_url.rpartition("/")[2]
    await postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    # What was in use a moment ago is not asked.
    await asyncio.sleep(0.2)
    for opening in (database.transaction, database.reading):
        async with opening() as session:
            assert await epoch.current(session) == 1


async def test_rows_that_are_copied_are_refused_as_others_are(database: Database) -> None:
    """By COPY, which SQLAlchemy does not know of: the same errors, and nothing is left of a transaction that failed."""

    async def copy(*names: str) -> None:
        async with database.transaction() as session:
            rows = [(name, "active", NOON) for name in names]
            await copy_rows(session, "workspaces", ("name", "state", "created_at"), rows)

    await copy("here")
    with pytest.raises(InputError, match="cannot be kept"):
        await copy("there", "zero\0byte")
    with pytest.raises(DBAPIError, match="uq_workspaces_name"):
        await copy("there", "here")

    async def lose_it() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            await copy_rows(session, "workspaces", ("name",), [("lost",)])

    with pytest.raises(DatabaseUnavailableError):
        await lose_it()
    async with database.reading() as session:
        kept = await session.scalars(text("SELECT name FROM workspaces WHERE name IN ('here', 'there', 'lost')"))
        assert kept.all() == ["here"]


async def test_while_the_server_is_away_nothing_hangs_and_then_it_goes_on(migrated_url: str, postgres: Cluster) -> None:
    async with relayed(postgres.port) as (relay, port):
        reached = await open_database(migrated_url.replace(f":{postgres.port}/", f":{port}/"))
        for opening in (reached.transaction, reached.reading):
            async with opening() as session:
                await epoch.current(session)
        relay.refuse()

        async def read(opening: Callable[[], AbstractAsyncContextManager[AsyncSession]]) -> int:
            async with opening() as session:
                return await epoch.current(session)

        for opening in (reached.transaction, reached.reading):
            with pytest.raises(DatabaseUnavailableError):
                await read(opening)
        relay.take()
        for opening in (reached.transaction, reached.reading):
            assert await read(opening) == 1
        await reached.close()


async def test_waiting_for_a_turn_ends(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with database.transaction():  # The patience of a connection is settled when it is opened: here, the usual.
        pass
    monkeypatch.setattr(engine, "_milliseconds", lambda seconds: str(300 if seconds == BUSY_SECONDS else 60_000))
    other = await open_database(database_url)
    try:
        async with database.transaction():
            with pytest.raises(DatabaseUnavailableError, match="timeout"):
                async with other.transaction():
                    pass
    finally:
        await other.close()


async def test_a_frozen_writer_does_not_keep_the_others_out(database: Database, database_url: str) -> None:
    frozen = await open_database(database_url)
    holding = frozen.transaction()
    session = await holding.__aenter__()
    await epoch.bump(session)
    # Its limit from here on: what it is otherwise, another test looks at.
    await session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '300ms'"))
    async with database.transaction() as session:
        assert await epoch.current(session) == 1
    with pytest.raises(DatabaseUnavailableError):
        await holding.__aexit__(None, None, None)
    await frozen.close()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def test_a_server_that_never_answers_is_given_up(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.3)
    with pytest.raises(DatabaseUnavailableError, match="no answer within"):
        await migrate(f"postgresql+asyncpg://{OWNER}:hunter2@127.0.0.1:{silent_port}/x")


class Relay:
    """Stands between us and the server and, told to, falls silent: a cable that was pulled."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._silent = asyncio.Event()
        self._refusing = False

    def refuse(self) -> None:
        """Hang up, and again on whoever calls: a server that was stopped."""
        self._refusing = True
        self.close()

    def take(self) -> None:
        self._refusing = False

    def fall_silent(self) -> None:
        self._silent.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65536)) and not self._silent.is_set():
            writer.write(data)
            await writer.drain()
        if not self._silent.is_set():
            writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def relayed(target: int) -> AsyncIterator[tuple[Relay, int]]:
    relay = Relay(target)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield relay, server.sockets[0].getsockname()[1]
    finally:
        relay.close()
        server.close()
        await server.wait_closed()


async def test_a_server_that_falls_silent_in_a_transaction_is_given_up(
    migrated_url: str, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = engine.connect

    async def hasty(*args: object, **named: object) -> object:
        return await connect(*args, **{**named, "answer_seconds": 2.0})  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "connect", hasty)
    async with relayed(postgres.port) as (relay, port):
        reached = await open_database(migrated_url.replace(f":{postgres.port}/", f":{port}/"))

        async def ask_a_silent_server() -> None:
            async with reached.transaction() as session:
                await epoch.bump(session)
                relay.fall_silent()
                await epoch.current(session)

        with pytest.raises(DatabaseUnavailableError):
            await ask_a_silent_server()
        await reached.close()


async def test_what_is_not_there_or_not_ours_is_said_without_the_password(migrated_url: str, postgres: Cluster) -> None:
    there = migrated_url.rpartition("/")[0]
    wrong = migrated_url.replace(f":{postgres.password}@", ":hunter2@")
    elsewhere = migrated_url.replace(f":{postgres.port}/", ":1/")
    for url, said in ((f"{there}/nothing", "does not exist"), (wrong, "authentication failed"), (elsewhere, "refused")):
        for action in (migrate, open_database, schema_state):
            with pytest.raises(DatabaseUnavailableError, match=f"127.0.0.1.*{said}|Connect call failed") as refused:
                await action(url)
            assert "hunter2" not in str(refused.value)
            assert postgres.password not in str(refused.value)


async def test_a_role_that_may_not_make_tables_is_said_plainly(postgres: Cluster) -> None:
    name = await postgres.create(template=None)
    try:
        await postgres.run(f"ALTER DATABASE {name} OWNER TO postgres", database=name)
        with pytest.raises(DatabaseUnavailableError, match="permission denied"):
            await migrate(postgres.url(name))
    finally:
        await postgres.drop(name)


async def test_a_database_in_another_encoding_is_refused(postgres: Cluster) -> None:
    name = await postgres.create(template=None, options="ENCODING 'SQL_ASCII'")
    try:
        for action in (migrate, schema_state):
            with pytest.raises(DatabaseError, match=r"SQL_ASCII.*UTF8"):
                await action(postgres.url(name))
    finally:
        await postgres.drop(name)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a\0b", "x" * 300], ids=["zero byte", "too long"])
async def test_what_it_has_no_place_for_is_the_inputs_fault(database: Database, name: str) -> None:
    with pytest.raises(InputError, match="a value"):
        async with database.transaction() as session:
            session.add(WorkspaceRow(name=name, created_at=NOON))
    async with database.reading() as session:
        assert await session.scalar(select(func.count()).select_from(WorkspaceRow)) == 0


# --- what is left -----------------------------------------------------------------------------------------------------


async def connections(postgres: Cluster, url: str) -> int:
    admin = await postgres.superuser()
    try:
        return int(
            await admin.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", url.rpartition("/")[2])
        )
    finally:
        await admin.close()


async def test_closing_leaves_no_connection(database: Database, postgres: Cluster) -> None:
    async with database.reading() as session:
        await epoch.current(session)
    assert await connections(postgres, database.url) == 1
    await database.close()
    assert await connections(postgres, database.url) == 0


HOLDING = """
import asyncio, sys
from skillyard.database import open_database
from skillyard.governance import epoch

async def main(url):
    database = await open_database(url)
    async with database.transaction() as session:
        await epoch.bump(session)
        print("holding", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


async def test_a_killed_process_leaves_its_turn_to_the_next(database: Database) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDING, database.url, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"holding\n"
    holder.send_signal(signal.SIGKILL)
    async with database.transaction() as session:
        assert await epoch.bump(session) == 2
    await holder.wait()
