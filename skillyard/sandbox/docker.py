"""Sandboxes as hardened containers of a Docker Engine."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import orjson

from skillyard.sandbox.engine import Engine, ImageGoneError
from skillyard.sandbox.errors import StartError
from skillyard.sandbox.folders import Staging
from skillyard.sandbox.guest_code import Guest, GuestCode
from skillyard.sandbox.hostconfig import (
    BUNDLE_TARGET,
    ENVIRONMENT_TARGET,
    ContainerPlan,
    container_config,
    host_config,
)
from skillyard.sandbox.images import SKILL_UID, BaseImage, BaseImages
from skillyard.sandbox.listener import Listener
from skillyard.sandbox.running import DockerRunningSandbox
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.settings import Settings
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import SkillKind


class Images(Protocol):
    """Where base images come from."""

    async def python_image(self) -> BaseImage: ...


def create_sandbox(settings: Settings) -> DockerSandbox:
    """The entry point ``docker`` of ``skillyard.sandboxes``."""
    engine = Engine(address=settings.docker_host)
    return DockerSandbox(
        engine=engine,
        images=BaseImages(engine=engine, settings=settings),
        guest=GuestCode(root=settings.home / "guest", engine=engine),
        channels=Staging(settings.home / "channels") if _direct(settings) else None,
        uid=SKILL_UID,
        start_timeout=settings.start_timeout,
        runtime=settings.runtime_name,
    )


def _direct(settings: Settings) -> bool:
    """Whether guests connect to a socket: on this machine they can, with an ordinary runtime."""
    if settings.channel != "auto":
        return settings.channel == "socket"
    return settings.runtime_name is None and (settings.docker_host or "unix://").startswith("unix://")


class DockerSandbox:
    """Starts containers. ``start_timeout`` (seconds) is for one start, an image that must first be made not counted."""

    def __init__(
        self,
        *,
        engine: Engine,
        images: Images,
        guest: Guest,
        uid: int,
        start_timeout: float,
        channels: Staging | None = None,
        runtime: str | None = None,
    ) -> None:
        """``channels`` is where the sockets are that guests connect to; ``None`` takes their attached streams."""
        self._engine = engine
        self._images = images
        self._guest = guest
        self._uid = uid
        self._start_timeout = start_timeout
        self._channels = channels
        self._swept = False
        self._image: BaseImage | None = None
        """What the last start was made of. The engine says so where it is gone: asking it first costs every start."""
        self._runtime = runtime

    async def start(self, spec: SandboxSpec, granted: Granted) -> DockerRunningSandbox:
        """As the protocol says. On any failure, and when cancelled, no container stays."""
        if spec.kind is SkillKind.NODE:
            raise StartError("skills with Node code cannot run in this sandbox")
        if self._image is not None:
            try:
                return await self._start(spec, granted, self._image)
            except ImageGoneError:
                self._image = None
        image = await self._images.python_image()
        running = await self._start(spec, granted, image)
        self._image = image
        return running

    async def _start(self, spec: SandboxSpec, granted: Granted, image: BaseImage) -> DockerRunningSandbox:
        running: DockerRunningSandbox | None = None
        try:
            async with AsyncExitStack() as starting:
                listener = None if self._channels is None else await self._listen(self._channels, starting)
                plan = ContainerPlan(
                    image=image.reference,
                    python=image.python,
                    guest=await self._guest.folder(image),
                    channel=None if listener is None else listener.folder,
                    uid=self._uid,
                    granted=granted,
                    bundle=spec.bundle,
                    environment=spec.environment,
                    labels=spec.labels,
                    runtime=self._runtime,
                )
                running = await self._greet(await self._open(plan), listener, spec, granted)
        except BaseException:
            # Cancelled while the socket's folder was removed, with a sandbox that nobody would hear of.
            if running is not None:
                await asyncio.shield(running.stop())
            raise
        return running

    async def _listen(self, channels: Staging, starting: AsyncExitStack) -> Listener:
        """A socket for as long as the start takes; the container keeps the mount of its empty folder."""
        if not self._swept:
            await asyncio.to_thread(_make_private, channels)
            self._swept = True
        place = await starting.enter_async_context(channels.place())
        listener = Listener(place.path)
        starting.callback(listener.close)
        return listener

    async def _open(self, plan: ContainerPlan) -> _Opened:
        opening = asyncio.create_task(_Opening(self._engine, plan).run())
        try:
            async with asyncio.timeout(self._start_timeout):
                return await asyncio.shield(opening)
        except TimeoutError as error:
            await _abandon(self._engine, opening)
            raise StartError(f"no container started within {self._start_timeout:g} s") from error
        except BaseException:
            await _abandon(self._engine, opening)
            raise

    async def close(self) -> None:
        """Let go of the connection to the engine."""
        await self._engine.close()

    async def _greet(
        self, opened: _Opened, listener: Listener | None, spec: SandboxSpec, granted: Granted
    ) -> DockerRunningSandbox:
        running = DockerRunningSandbox(engine=self._engine, container=opened.container, granted=granted)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._start_timeout):
                attached = running.channel.attached(carrying=listener is None)
                await loop.connect_accepted_socket(lambda: attached, opened.stream)
                if listener is not None:
                    await running.connect(listener.listening)
                    # Nothing foreign runs before the guest is greeted; nobody finds a socket after it.
                    listener.close()
                await running.greet(_hello(spec, granted))
        except TimeoutError as error:
            stderr = running.channel.stderr
            await running.stop()
            raise StartError(f"the guest was not ready within {self._start_timeout:g} s", stderr=stderr) from error
        except BaseException:
            await running.stop()
            raise
        return running


def _make_private(channels: Staging) -> None:
    """Nobody else on the host reaches what is below; the engine mounts folders by themselves. Dead starts are swept."""
    channels.root.mkdir(parents=True, exist_ok=True)
    channels.root.chmod(0o700)
    channels.sweep()


def _hello(spec: SandboxSpec, granted: Granted) -> bytes:
    return orjson.dumps(
        {
            "bundle": BUNDLE_TARGET,
            "environment": None if spec.environment is None else ENVIRONMENT_TARGET,
            "preload": spec.preload,
            "stream_bytes": granted.stream_bytes,
            "result_bytes": granted.result_bytes,
            "artefact_bytes": granted.artefact_bytes,
        }
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    container: str
    stream: socket.socket


class _Opening:
    """Creates, attaches, starts. Runs to its own end even when its starter is cancelled, so that it can clean up."""

    def __init__(self, engine: Engine, plan: ContainerPlan) -> None:
        self._engine = engine
        self._plan = plan

    async def run(self) -> _Opened:
        name = f"skillyard-{secrets.token_hex(8)}"
        container = await self._engine.create(container_config(self._plan), host_config(self._plan), name=name)
        stream: socket.socket | None = None
        try:
            # Attached before the start, so that nothing the guest says is lost.
            stream = await self._engine.attach(container)
            await self._engine.start(container)
        except BaseException:
            if stream is not None:
                stream.close()
            await self._engine.remove(container)
            raise
        return _Opened(container, stream)


async def _abandon(engine: Engine, opening: asyncio.Task[_Opened]) -> None:
    """Wait for an opening nobody wants any more (the engine limits each of its steps) and undo it."""
    await asyncio.wait({opening})
    if opening.cancelled() or opening.exception() is not None:
        return
    opened = opening.result()
    opened.stream.close()
    await engine.remove(opened.container)
