"""A real Docker Engine and its base image, sandboxes that are gone when their test ends, and a package index."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import os
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from skillyard.ids import BundleDigest
from skillyard.sandbox.docker import DockerSandbox
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.folders import Staging
from skillyard.sandbox.guest_code import GuestCode
from skillyard.sandbox.images import SKILL_UID, BaseImage, BaseImages, base_target
from skillyard.sandbox.outcome import Call, Outcome
from skillyard.sandbox.running import DockerRunningSandbox
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage
from skillyard.skills.permissions import MIB, Granted
from skillyard.skills.skill import Ecosystem, Entry, EntryKind, SkillKind

SKILL = Path(__file__).parent.parent / "assets" / "sandbox" / "skill"

GRANTED = Granted(
    memory_bytes=256 * MIB,
    timeout_seconds=90.0,
    processes=64,
    cpu_shares=1024,
    cpu_quota=None,
    scratch_bytes=32 * MIB,
    stream_bytes=MIB,
    result_bytes=2 * MIB,
    artefact_bytes=8 * MIB,
    open_files=256,
    file_bytes=16 * MIB,
)

Starter = Callable[..., Awaitable[DockerRunningSandbox]]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest on a slow machine says what it has to say later; what never says it is a test's own business."""
    for name in ("GRACE_SECONDS", "_READY_SECONDS", "_CANCEL_SECONDS"):
        monkeypatch.setattr(f"skillyard.sandbox.running.{name}", 60.0)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker Engine of this machine; a test that needs it fails where there is none."""
    opened = Engine()
    yield opened
    asyncio.run(opened.close())


@pytest.fixture(scope="session")
def image(engine: Engine) -> BaseImage:
    """The tested base image, made once if this machine does not have it yet."""
    return asyncio.run(BaseImages(engine=engine, settings=Settings()).python_image())


@pytest.fixture(scope="session")
def guest(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> GuestCode:
    return GuestCode(root=tmp_path_factory.mktemp("guest"), engine=engine)


class _Ready:
    def __init__(self, image: BaseImage) -> None:
        self._image = image

    async def python_image(self) -> BaseImage:
        return self._image


@pytest.fixture
def granted() -> Granted:
    """Small, so that every limit is near."""
    return GRANTED


@pytest.fixture
def sandbox(engine: Engine, image: BaseImage, guest: GuestCode, channels: Staging) -> DockerSandbox:
    return DockerSandbox(
        engine=engine, images=_Ready(image), guest=guest, channels=channels, uid=SKILL_UID, start_timeout=60.0
    )


@pytest.fixture
def attached_sandbox(engine: Engine, image: BaseImage, guest: GuestCode) -> DockerSandbox:
    """Its frames go over the attached streams, as with an engine on another machine."""
    return DockerSandbox(engine=engine, images=_Ready(image), guest=guest, uid=SKILL_UID, start_timeout=60.0)


@pytest.fixture(scope="session")
def channels(tmp_path_factory: pytest.TempPathFactory) -> Staging:
    return Staging(tmp_path_factory.mktemp("channels"))


@pytest.fixture
def instance() -> str:
    """What the test's containers are labelled with."""
    return f"test-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def spec(instance: str) -> SandboxSpec:
    return SandboxSpec(
        kind=SkillKind.PYTHON,
        bundle_digest=BundleDigest("sha256:" + "0" * 64),
        bundle=SKILL,
        environment=None,
        preload=(),
        labels={"instance": instance, "lease": uuid.uuid4().hex},
    )


@pytest.fixture
async def start(engine: Engine, sandbox: DockerSandbox, spec: SandboxSpec, instance: str) -> AsyncIterator[Starter]:
    """Starts sandboxes; keyword arguments replace fields of the spec, and ``limits`` those of the grant."""
    running: list[DockerRunningSandbox] = []

    async def starter(limits: dict[str, Any] | None = None, **fields: Any) -> DockerRunningSandbox:
        one = await sandbox.start(replace(spec, **fields), replace(GRANTED, **(limits or {})))
        running.append(one)
        return one

    yield starter
    await asyncio.gather(*(one.stop() for one in running))
    await gone(engine, instance)


async def gone(engine: Engine, instance: str) -> None:
    """Wait until no container of the test is left."""
    give_up = time.monotonic() + 60
    while left := await engine.containers({"skillyard.instance": instance}):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)


@pytest.fixture
def wait_until_gone(engine: Engine, instance: str) -> Callable[[], Awaitable[None]]:
    return lambda: gone(engine, instance)


def parse_entry(text: str) -> Entry:
    path, _, function = text.partition(":")
    return Entry(EntryKind.FUNCTION if function else EntryKind.SCRIPT, path, function or None)


@pytest.fixture
def entry() -> Callable[[str], Entry]:
    """``scripts/plain.py:echo`` is a function, ``scripts/tool.py`` a script."""
    return parse_entry


Caller = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def call() -> Caller:
    """Calls an entry: ``await call(running, "scripts/plain.py:echo", {"a": 1}, timeout_seconds=1)``."""

    async def caller(
        running: DockerRunningSandbox, entry: str, given: dict[str, Any] | None = None, **fields: Any
    ) -> Outcome:
        sink = fields.pop("on_output", None)
        made = Call(entry=parse_entry(entry), input_json=orjson.dumps(given or {}), **fields)
        return await (running.call(made) if sink is None else running.call(made, sink))

    return caller


def make_wheel(
    name: str, version: str, files: Mapping[str, bytes], *, record: Callable[[str], str] = lambda text: text
) -> bytes:
    """A pure wheel as the format specification says. ``record`` may rewrite its RECORD into a wrong one."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = "".join(f"{path},sha256={_record_hash(data)},{len(data)}\n" for path, data in content.items())
    content[f"{info}/RECORD"] = record(f"{lines}{info}/RECORD,,\n").encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, data in content.items():
            packed.writestr(zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0)), data)
    return archive.getvalue()


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Wheelhouse:
    """A package index (the simple repository API, PEP 503) on loopback, over HTTP, with what a test puts into it."""

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.served: Counter[str] = Counter()
        """How often each wheel was downloaded."""
        self.instead: dict[str, list[bytes]] = {}
        """File name → what to answer with, one download each, before the truth."""
        self.status = 200
        self.stall: set[str] = set()
        """Wheels whose download hangs until ``released`` is set; ``stalled`` says that one has begun to."""
        self.stalled = threading.Event()
        self.released = threading.Event()
        house = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # uv was killed meanwhile
                    house.answer(self)

            def do_HEAD(self) -> None:
                self.send_response(405)  # uv then fetches the whole wheel to read its metadata
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/simple"

    def add(self, name: str, version: str, files: Mapping[str, bytes], **kwargs: Any) -> LockedPackage:
        """Serve one more wheel; what a lock says about it."""
        data = make_wheel(name, version, files, **kwargs)
        filename = f"{name}-{version}-py3-none-any.whl"
        self.wheels[filename] = data
        artefact = LockedArtefact(filename, hashlib.sha256(data).hexdigest(), len(data))
        return LockedPackage(name, version, (artefact,), (), direct=True)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        filename = request.path.rpartition("/")[2]
        body, kind = b"", "application/octet-stream"
        if filename in self.wheels:
            self.served[filename] += 1
            if filename in self.stall:
                self.stalled.set()
                self.released.wait()
            waiting = self.instead.get(filename)
            body = waiting.pop(0) if waiting else self.wheels[filename]
        elif request.path.startswith("/simple/"):
            body, kind = self._page(request.path.split("/")[2]), "text/html"
        request.send_response(self.status if body else 404)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _page(self, project: str) -> bytes:
        found = [(name, data) for name, data in self.wheels.items() if name.partition("-")[0] == project]
        links = "".join(
            f'<a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>' for name, data in found
        )
        return f"<!DOCTYPE html><html><body>{links}</body></html>".encode() if found else b""

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def wheelhouse() -> Iterator[Wheelhouse]:
    """An empty package index on loopback."""
    house = Wheelhouse()
    yield house
    house.close()


@pytest.fixture
def settings(wheelhouse: Wheelhouse, tmp_path: Path) -> Settings:
    """A home of its own, and the wheelhouse as the only index."""
    return Settings(home=tmp_path / "home", index_url=SecretStr(wheelhouse.url))


@pytest.fixture
def make_lock() -> Callable[..., Lock]:
    """A lock of packages for the base image's target."""
    return lambda *packages: Lock(Ecosystem.PYPI, base_target(), tuple(sorted(packages, key=lambda p: p.name)))
