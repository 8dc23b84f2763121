"""Two real servers on one database: what is decided at one acts at once on what runs in the other.

On SQLite both are over one home; on PostgreSQL each has a home of its own, as on two machines.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import pytest
from skillyard.database import Kind
from tests.acceptance.people import Agent, Json, People, answered
from tests.acceptance.server import Server, clean_environment, serving
from tests.acceptance.skills import made

SKILL = "acme/nap"
CODE = (
    "import time\n\nimport six\n\n\ndef run(seconds: float = 0):\n    time.sleep(seconds)\n    return six.__version__\n"
)
LONG = 500.0
"""Seconds that a call naps; all that is waited for comes long before."""
SOON = 90.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def servers(
    database_kind: Kind, database_url: str, tmp_path: Path, package_cache: Path
) -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        homes = [tmp_path / "one"] if database_kind is Kind.SQLITE else [tmp_path / "one", tmp_path / "two"]
        running = [stack.enter_context(served(home, database_url, package_cache)) for home in (homes * 2)[:2]]
        yield running[0], running[1]


def served(home: Path, database_url: str, package_cache: Path) -> AbstractContextManager[Server]:
    home.mkdir(exist_ok=True)
    for shared in ("environments", "cache", "images"):
        (package_cache / shared).mkdir(exist_ok=True)
        if not (home / shared).exists():
            (home / shared).symlink_to(package_cache / shared)
    settings = {"home": str(home), "port": "0", "advisories_max_age_days": "100000", "database_url": database_url}
    settings |= {"skill_timeout": "600"}
    return serving(home, clean_environment() | {f"SKILLYARD_{name.upper()}": text for name, text in settings.items()})


class Scene:
    """A skill with an approved package, an agent that calls it at the first server, and an admin at both."""

    def __init__(self, servers: tuple[Server, Server]) -> None:
        self.here = People(servers[0])
        self.there = People(servers[1], self.here.token)
        self.here.install(made("nap", CODE, python="six==1.17.0"))
        rule = {"name": "six", "specifier": "==1.17.0", "min_maturity": "SUPERVISED"}
        answered(self.there.admin.post("/v1/packages/approve", json=rule))
        self.caller: Agent = self.here.agent("caller", "AUTONOMOUS")
        self._pool = ThreadPoolExecutor(1)

    def nap(self) -> tuple[str, Future[httpx.Response]]:
        """A call that runs at the first server, once it runs: its id, and its answer to come."""
        answer = self._pool.submit(self.caller.call, SKILL, {"seconds": LONG})
        give_up = time.monotonic() + SOON
        while True:
            items: list[Json] = answered(self.there.admin.get("/v1/invocations", params={"limit": 1}))["items"]
            if items and items[0]["state"] == "accepted" and not answer.done():
                return str(items[0]["id"]), answer
            assert time.monotonic() < give_up, answer.done() and answer.result().text
            time.sleep(0.02)

    def close(self) -> None:
        self._pool.shutdown()


@pytest.fixture
def scene(servers: tuple[Server, Server]) -> Iterator[Scene]:
    opened = Scene(servers)
    yield opened
    opened.close()


def test_a_ban_posted_to_one_server_stops_what_runs_in_the_other(
    scene: Scene, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scene.caller.call(SKILL).json()["outcome"]["result"] == "1.17.0"
    _, napping = scene.nap()
    asked = time.monotonic()
    answered(scene.there.admin.post("/v1/packages/ban", json={"name": "six", "reason": "taken over"}))
    committed_by = time.monotonic()
    ended = napping.result(SOON).json()
    took = {
        "after_asking_ms": (time.monotonic() - asked) * 1000,
        "after_answer_ms": (time.monotonic() - committed_by) * 1000,
    }
    for name, value in took.items():
        record_property(name, value)
    with capsys.disabled():
        sys.stdout.write(f"\nstopped in the other server: { {name: round(value) for name, value in took.items()} }\n")
    assert ended["outcome"]["state"] == "killed"
    assert "six==1.17.0" in ended["outcome"]["reason"]
    for people in (scene.here, scene.there):
        again = Agent(scene.caller.id, people.server.client(token_of(scene.caller))).call(SKILL)
        assert again.status_code == 403
        assert again.json()["decision"]["reasons"][0]["code"] == "banned_package"
    assert answered(scene.there.admin.get("/v1/audit/verify"))["broken"] is None


def test_a_call_is_cancelled_from_the_other_server(scene: Scene) -> None:
    assert scene.caller.call(SKILL).is_success
    invocation, napping = scene.nap()
    answered(scene.there.admin.post(f"/v1/invocations/{invocation}/cancel"))
    assert napping.result(SOON).json()["outcome"]["state"] == "cancelled"


def token_of(agent: Agent) -> str:
    return str(agent.client.headers["Authorization"].removeprefix("Bearer "))
