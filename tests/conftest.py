"""What every test stands on: no setting of the developer's machine, no home of theirs, no time limit on properties."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog
from skillyard.database import Database, Kind, database_path, migrate, open_database
from skillyard.governance import people, tokens
from skillyard.governance.decision import Agent, Maturity
from skillyard.governance.identity import Person
from skillyard.governance.static.worker import Worker
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests import first_start
from tests.postgres import TEMPLATE, Cluster, shared_cluster

AGAIN_SECONDS = 60
"""How long a test that was timed out may take to clean up, at most, before the time-out is said again."""

# A slow machine must not fail a property; what is slow is found by `make bench`. Nor must it fail by how many of the
# first few dozen examples an assumption lets through, which is chance; where it lets none through, it still does.
_CHANCE = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much]
hypothesis.settings.register_profile("skillyard", deadline=None, print_blob=True, suppress_health_check=_CHANCE)
hypothesis.settings.load_profile("skillyard")


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, object, object]:
    """pytest-timeout says it once, by an exception. An event loop hands one that hits its own code to a log and goes
    on, and clean-up may hang as well: so it is said again."""
    done = yield
    if settings.timeout > 0 and settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, min(settings.timeout, AGAIN_SECONDS))
    return done


@pytest.fixture(scope="session", autouse=True)
def _only_our_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Settings made in a test start from the defaults and a home of their own, whatever the shell or ``.env`` says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SKILLYARD_")]:
            patch.delenv(name)
        patch.setenv("SKILLYARD_HOME", str(tmp_path_factory.mktemp("home")))
        # A server that lives long enough would go and fetch all advisories that there are.
        patch.setenv("SKILLYARD_ADVISORIES_UPDATE_HOURS", "0")
        patch.setitem(Settings.model_config, "env_file", None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _modules_logs() -> Iterator[None]:
    """A command that is run in this process sends logs to what is standard error for as long as the test lasts."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture(autouse=True)
def _tests_logs(_modules_logs: None) -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_unconfigure() -> None:
    first_start.forget()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers-on",
        choices=[kind.value for kind in Kind],
        default=Kind.SQLITE.value,
        help="where whole runtimes and servers that a test starts keep their state",
    )


@contextmanager
def _servers_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """With ``--servers-on=postgresql``, a fresh database is what settings name from here on."""
    if request.config.getoption("--servers-on") == Kind.SQLITE:
        yield
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = asyncio.run(cluster.create(template=None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLYARD_DATABASE_URL", cluster.url(name))
        yield
    asyncio.run(cluster.drop(name))


@pytest.fixture(scope="session", autouse=True)
def _sessions_worker() -> Worker:
    """Runtimes of one process share the process that scans; who holds it keeps it warm from test to test."""
    return Worker.of_this_process()


@pytest.fixture(scope="session", autouse=True)
def _sessions_database(_only_our_settings: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """For servers that live as long as the session."""
    with _servers_database(request):
        yield


@pytest.fixture(scope="module", autouse=True)
def _modules_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """For servers that a module's tests share."""
    with _servers_database(request):
        yield


@pytest.fixture(autouse=True)
def _tests_database(_modules_database: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """For those that a test starts by itself, unless it is about the file that SQLite keeps."""
    named = request.node.get_closest_marker("database")
    if named is not None and Kind.POSTGRESQL not in named.args:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("SKILLYARD_DATABASE_URL", raising=False)
            yield
        return
    with _servers_database(request):
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever keeps something in a database runs on both engines, unless it says which one it is about."""
    if "database_kind" in metafunc.fixturenames:
        named = metafunc.definition.get_closest_marker("database")
        metafunc.parametrize("database_kind", list(Kind) if named is None else named.args, ids=str)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The PostgreSQL cluster of this test session, started when the first test needs it."""
    root = tmp_path_factory.getbasetemp()
    with shared_cluster((root.parent if hasattr(request.config, "workerinput") else root) / "postgres") as cluster:
        yield cluster


@pytest.fixture
def database_url(database_kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where a test keeps its database; without a schema, unless it asks for ``migrated_url`` or ``database`` as well.

    On SQLite nothing is there at all, and the folder's name holds what URLs usually trip over.
    """
    if database_kind is Kind.SQLITE:
        yield f"sqlite+aiosqlite:///{tmp_path / 'state of mind' / 'skillyard.db'}"
        return
    cluster: Cluster = request.getfixturevalue("postgres")
    name = asyncio.run(cluster.create(TEMPLATE if "migrated_url" in request.fixturenames else None))
    yield cluster.url(name)
    asyncio.run(cluster.drop(name))


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly migrated database, made once and copied for every test that wants one."""
    path = tmp_path_factory.mktemp("migrated") / "skillyard.db"
    asyncio.run(migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def migrated_url(database_kind: Kind, database_url: str, request: pytest.FixtureRequest) -> str:
    """A database of its own with the schema of today, empty but for what the migrations put there."""
    if database_kind is Kind.SQLITE:
        path = database_path(database_url)
        path.parent.mkdir(mode=0o700)
        shutil.copy(request.getfixturevalue("_migrated_file"), path)
    return database_url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """A migrated database in a real file or on a real server."""
    opened = await open_database(migrated_url)
    yield opened
    await opened.close()


@pytest.fixture
async def admin(database: Database) -> Person:
    """The admin of the default workspace, as the first start makes both."""
    async with database.transaction() as session:
        await tokens.first_start(session, utcnow())
        workspace = await people.workspace_by_name(session, tokens.DEFAULT_WORKSPACE)
        return await people.person_by_name(session, workspace.id, tokens.FIRST_PERSON)


@pytest.fixture
async def agent(database: Database, admin: Person) -> Agent:
    """An INTERN of the default workspace, owned by the admin."""
    async with database.transaction() as session:
        return await people.add_agent(
            session,
            admin.workspace,
            "report-bot",
            owner=admin.id,
            maturity=Maturity.INTERN,
            by=admin.actor,
            at=utcnow(),
        )
