"""A real server in a process of its own, on a free loopback port, with a real engine, and people to talk to it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from skillyard.database import open_database
from skillyard.governance import people, tokens
from skillyard.governance.identity import SYSTEM, Role
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.first_start import furnish

ASSETS = Path(__file__).parent.parent / "assets" / "api"
_SERVE = """
import gc
gc.disable()  # as the command line does while it imports
import asyncio, json, sys, structlog
from skillyard.api.server import serve
from skillyard.settings import Settings
gc.enable()
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def ready(serving): print(json.dumps({"url": serving.url, "token": serving.first_token}), flush=True)
asyncio.run(serve(Settings(), on_ready=ready))
"""


@dataclass(frozen=True)
class Server:
    """A running server. ``token`` is the first person's, ``None`` on a later start."""

    url: str
    token: str | None
    home: Path
    process: subprocess.Popen[str]
    database: str
    """The URL of its database."""

    def client(self, token: str | None, *, address: str | None = None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(local_address=address) if address else None
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False, transport=transport)


@contextmanager
def serving(home: Path, **settings: str) -> Iterator[Server]:
    """A server over a home, ended by SIGTERM; fails if it does not end cleanly."""
    furnish(home, database="database_url" not in settings)
    ours = {"SKILLYARD_HOME": str(home), "SKILLYARD_PORT": "0", "SKILLYARD_ADVISORIES_MAX_AGE_DAYS": "36500"}
    environment = os.environ | ours | {f"SKILLYARD_{name.upper()}": value for name, value in settings.items()}
    log = home.with_name(f"{home.name}.{uuid.uuid4().hex}.log")
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", _SERVE],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home.parent,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the server did not start:\n{log.read_text()}"
            ready = json.loads(line)
            yield Server(ready["url"], ready["token"], home, process, Settings(home=home).database)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == 0, f"the server ended with {code}:\n{log.read_text()}"


@dataclass(frozen=True)
class House:
    """A server with its people: clients by who they are."""

    server: Server
    admin: httpx.Client
    second: httpx.Client
    member: httpx.Client
    agent: httpx.Client
    stranger: httpx.Client
    """An admin of another workspace."""

    def new_agent(self, maturity: str) -> httpx.Client:
        """An agent of the first admin, with a token of its own."""
        name = f"agent-{uuid.uuid4().hex[:8]}"
        agent = made(self.admin.post("/v1/agents", json={"name": name, "maturity": maturity}))
        issued = made(self.admin.post("/v1/tokens", json={"name": "test", "agent": agent["id"]}))
        return self.server.client(issued["token"])


def made(response: httpx.Response) -> dict[str, object]:
    assert response.is_success, response.text
    value: dict[str, object] = response.json()
    return value


def skill_zip(name: str, *, rename: str | None = None, version: str | None = None) -> bytes:
    """A skill of the assets as a zip archive, under another name or version where wanted."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted((ASSETS / name).rglob("*")):
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            content = path.read_text()
            if path.name == "SKILL.md":
                content = content.replace(f"name: {name}", f"name: {rename or name}")
                content = content.replace('version: "1.0.0"', f'version: "{version or "1.0.0"}"')
            archive.writestr(f"{rename or name}/{path.relative_to(ASSETS / name)}", content)
    return packed.getvalue()


def upload(client: httpx.Client, content: bytes, route: str = "/v1/skills", **fields: str) -> httpx.Response:
    return client.post(route, data=fields, files={"file": ("skill.zip", content, "application/zip")})


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("api") / "home", webhook_allow_private="true") as running:
        yield running


@pytest.fixture(scope="session")
def house(server: Server) -> Iterator[House]:
    admin = server.client(server.token)

    def person(name: str, role: str) -> httpx.Client:
        added = made(admin.post("/v1/persons", json={"name": name, "role": role}))
        issued = made(admin.post("/v1/tokens", json={"name": "test", "person": added["id"]}))
        return server.client(str(issued["token"]))

    owned = made(admin.post("/v1/agents", json={"name": "robot", "maturity": "AUTONOMOUS"}))
    agent_token = made(admin.post("/v1/tokens", json={"name": "test", "agent": owned["id"]}))["token"]
    clients = House(
        server=server,
        admin=admin,
        second=person("second", "admin"),
        member=person("member", "member"),
        agent=server.client(str(agent_token)),
        stranger=server.client(asyncio.run(_stranger(server.home))),
    )
    made(upload(admin, skill_zip("echo")))
    yield clients
    for client in (clients.admin, clients.second, clients.member, clients.agent, clients.stranger):
        client.close()


async def _stranger(home: Path) -> str:
    """The token of an admin of another workspace. Workspaces are not made over HTTP."""
    database = await open_database(Settings(home=home).database)
    try:
        async with database.transaction() as session:
            workspace = await people.create_workspace(session, "elsewhere", by=SYSTEM, at=utcnow())
            admin = await people.add_person(session, workspace.id, "stranger", Role.ADMIN, by=SYSTEM, at=utcnow())
            _, text = await tokens.issue(session, admin, "test", by=SYSTEM, at=utcnow())
            return text
    finally:
        await database.close()
