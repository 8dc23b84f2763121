"""The one door to the Docker Engine: every call to it goes through here, with a time limit, off the event loop.

Errors of the SDK are wrapped once: an engine that does not answer is ``EngineUnavailableError``, anything that it
refuses is ``EngineError`` with what it said.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import requests.exceptions
from docker.utils.socket import frames_iter

from skillyard.sandbox.errors import EngineUnavailableError, SandboxError

T = TypeVar("T")


class EngineError(SandboxError):
    """The Docker Engine refused a request; the message is the engine's."""

    code = "engine"


class ImageGoneError(EngineError):
    """The engine does not have the image that a container was to be made of."""

    code = "image_gone"


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount of a host folder or file."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A container that ran to its end. Streams are cut at 1 MiB each."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """``state`` is the engine's word (``created``, ``running``, ``paused``, ``exited`` …)."""

    id: str
    labels: Mapping[str, str]
    running: bool
    state: str = ""
    image: str = ""
    """The image it was made from, by the reference that was asked for or by id."""
    mounts: tuple[str, ...] = ()
    """Host folders and files that are bind-mounted."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    id: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image on the engine's disk. ``own_bytes`` are of layers that no other image has; ``None`` where not known."""

    id: str
    tags: tuple[str, ...]
    own_bytes: int | None
    containers: int
    """How many are made of it; -1 where the engine did not count."""
    created: float
    """Seconds since 1970 by the engine's clock."""


_STREAM_LIMIT = 1024 * 1024


@contextlib.contextmanager
def _wrapped() -> Iterator[None]:
    try:
        yield
    except docker.errors.ImageNotFound as error:
        raise ImageGoneError(str(error.explanation or error)) from error
    except docker.errors.APIError as error:
        raise EngineError(str(error.explanation or error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
        raise EngineUnavailableError(f"the Docker Engine does not answer: {error}") from error


def _knock(address: str) -> None:
    """Fail early and cleanly where nobody listens: the SDK leaves its socket open when a connection fails."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix("unix://"))


class Engine:
    """A connection to one Docker Engine. Safe to use from many tasks at once."""

    def __init__(self, *, address: str | None = None, timeout: int = 60) -> None:
        """``address`` as in ``unix:///var/run/docker.sock``; ``None`` takes the platform's default. Connects lazily."""
        self._address = address or "unix:///var/run/docker.sock"
        self._timeout = timeout
        self._client: docker.APIClient | None = None
        self._connecting = threading.Lock()

    def _api(self) -> docker.APIClient:
        _knock(self._address)
        with self._connecting:  # Two threads at once would make two clients, and nobody would close one of them.
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self._address, timeout=self._timeout, version="auto", num_pools=32
                )
            return self._client

    async def _do(self, work: Callable[[docker.APIClient], T]) -> T:
        def guarded() -> T:
            with _wrapped():
                return work(self._api())

        return await asyncio.to_thread(guarded)

    async def close(self) -> None:
        if self._client is not None:
            await asyncio.to_thread(self._client.close)
            self._client = None

    async def version(self) -> Mapping[str, Any]:
        """The engine's own description of itself (``Version``, ``ApiVersion``, ``Os``, ``Arch``)."""
        return await self._do(lambda api: dict(api.version()))

    async def info(self) -> Mapping[str, Any]:
        """The engine's ``info`` document (``CgroupVersion``, ``Driver``, ``Runtimes`` …)."""
        return await self._do(lambda api: dict(api.info()))

    # Images

    async def image(self, reference: str) -> ImageInfo | None:
        """The image, or ``None`` where the engine does not have it."""

        def look(api: docker.APIClient) -> ImageInfo | None:
            try:
                found = api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
            return ImageInfo(id=found["Id"], labels=found["Config"].get("Labels") or {})

        return await self._do(look)

    async def images(self, repository: str) -> Mapping[str, StoredImage]:
        """Every image with a name in a repository, by that name. Asks for sizes, which takes the engine a moment."""

        def look(api: docker.APIClient) -> Mapping[str, StoredImage]:
            found: dict[str, StoredImage] = {}
            for item in api.df().get("Images") or ():
                tags = tuple(item.get("RepoTags") or ())
                # -1 is the engine's way to say that it did not count.
                shared = item.get("SharedSize", -1)
                own = item["Size"] - shared if shared >= 0 else None
                image = StoredImage(item["Id"], tags, own, item.get("Containers", -1), float(item["Created"]))
                found |= {tag: image for tag in tags if tag.startswith(f"{repository}:")}
            return found

        return await self._do(look)

    async def pull(self, reference: str) -> None:
        """Raises ``EngineError`` where the registry cannot be reached or does not have it."""
        repository, _, tag = reference.partition(":")
        await self._do(lambda api: api.pull(repository, tag=tag or "latest"))

    async def import_image(self, archive: Path, *, repository: str, tag: str, changes: Sequence[str] = ()) -> None:
        """Import a root file system from a tar file, as ``docker import`` does."""

        def load(api: docker.APIClient) -> None:
            with archive.open("rb") as stream:
                api.import_image_from_data(stream, repository=repository, tag=tag, changes=list(changes))

        await self._do(load)

    async def tag(self, reference: str, *, repository: str, tag: str) -> None:
        """Give an image one more name, taking that name away from whatever had it."""
        await self._do(lambda api: api.tag(reference, repository, tag, force=True))

    async def remove_image(self, reference: str) -> None:
        await self._do(lambda api: api.remove_image(reference))

    # Containers

    async def create(
        self, config: Mapping[str, Any], host_config: Mapping[str, Any], *, name: str | None = None
    ) -> str:
        """Create a container from Docker Engine API fields; returns its id. Nothing runs yet.

        A caller that is cancelled leaves no container behind: the engine cannot be told to stop creating one, so that
        its answer is waited for, and what it made is removed.
        """
        body = {**config, "HostConfig": dict(host_config)}
        creating: asyncio.Task[dict[str, str]] = asyncio.create_task(
            self._do(lambda api: dict(api.create_container_from_config(body, name)))
        )
        try:
            return (await asyncio.shield(creating))["Id"]
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.create_task(self._uncreate(creating)))
            raise

    async def _uncreate(self, creating: asyncio.Task[dict[str, str]]) -> None:
        await asyncio.wait({creating})
        if creating.exception() is None:
            await self.remove(creating.result()["Id"])

    async def start(self, container: str) -> None:
        await self._do(lambda api: api.start(container))

    async def attach(self, container: str) -> socket.socket:
        """The container's stdin, stdout and stderr as one connected, non-blocking socket, which the caller owns.

        Bytes written go to stdin as they are. Bytes read are the Engine's stream frames: one byte stream number
        (1 stdout, 2 stderr), three zero bytes, a four-byte big-endian length, and the data.
        """

        def open_socket(api: docker.APIClient) -> socket.socket:
            stream = api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            # The SDK hands out a file-like wrapper. Duplicating the descriptor takes the connection out of the hands
            # of the wrapper and of the response, whose garbage collection would otherwise close it under us.
            raw: socket.socket = stream._sock  # noqa: SLF001 - the SDK has no public way to the socket
            own = raw.dup()
            own.setblocking(False)
            stream.close()
            raw.close()
            return own

        return await self._do(open_socket)

    async def inspect(self, container: str) -> Mapping[str, Any] | None:
        """The engine's full description, or ``None`` where the container is gone."""

        def look(api: docker.APIClient) -> Mapping[str, Any] | None:
            try:
                return dict(api.inspect_container(container))
            except docker.errors.NotFound:
                return None

        return await self._do(look)

    async def kill(self, container: str) -> None:
        """SIGKILL to the container's first process. A container that is gone or not running is no error."""

        def end(api: docker.APIClient) -> None:
            try:
                api.kill(container)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise

        await self._do(end)

    async def remove(self, container: str) -> None:
        """Kill and remove; a container that is already gone or being removed is no error."""

        def drop(api: docker.APIClient) -> None:
            try:
                api.remove_container(container, force=True, v=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise

        await self._do(drop)

    async def containers(self, labels: Mapping[str, str]) -> tuple[ContainerInfo, ...]:
        """Every container, running or not, that carries all these labels."""

        def find(api: docker.APIClient) -> tuple[ContainerInfo, ...]:
            found = api.containers(all=True, filters={"label": [f"{key}={value}" for key, value in labels.items()]})
            return tuple(
                ContainerInfo(
                    id=item["Id"],
                    labels=item.get("Labels") or {},
                    running=item["State"] == "running",
                    state=item["State"],
                    image=item.get("Image") or "",
                    mounts=tuple(one["Source"] for one in item.get("Mounts") or () if one.get("Type") == "bind"),
                )
                for item in found
            )

        return await self._do(find)

    async def run_once(
        self,
        *,
        image: str,
        command: Sequence[str],
        mounts: Sequence[Mount] = (),
        labels: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
        user: str = "65534:65534",
        timeout: float = 120.0,
        memory_bytes: int = 1024 * 1024 * 1024,
        processes: int = 64,
    ) -> Finished:
        """Run one command to its end without a network, without capabilities, on a read-only root, and remove it.

        For our own chores (byte-compiling, checking an image), never for a skill's code. Raises ``EngineError`` on
        the time limit.
        """
        host = {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Memory": memory_bytes,
            "MemorySwap": memory_bytes,
            "PidsLimit": processes,
            "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=64m,mode=1777"},  # noqa: S108 - inside the container
            "LogConfig": {"Type": "none", "Config": {}},
            "Mounts": [
                {"Type": "bind", "Source": str(m.source), "Target": m.target, "ReadOnly": not m.writable}
                for m in mounts
            ],
        }
        config = {
            "Image": image,
            "Entrypoint": list(command),
            "Cmd": [],
            "User": user,
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "Labels": dict(labels),
            "AttachStdout": True,
            "AttachStderr": True,
            "NetworkDisabled": True,
        }
        container = await self.create(config, host)
        try:
            async with asyncio.timeout(timeout):
                return await self._run_to_end(container)
        except TimeoutError as error:
            raise EngineError(f"{command[0]} did not end within {timeout:g} s") from error
        finally:
            await asyncio.shield(self.remove(container))

    async def _run_to_end(self, container: str) -> Finished:
        def work(api: docker.APIClient) -> Finished:
            stream = api.attach_socket(container, {"stdout": 1, "stderr": 1, "stream": 1})
            connection: socket.socket = stream._sock  # noqa: SLF001 - closing the wrapper alone leaves it open
            try:
                api.start(container)
                streams = {1: b"", 2: b""}
                for number, data in frames_iter(stream, tty=False):
                    room = _STREAM_LIMIT - len(streams[number])
                    streams[number] += data[:room]
            finally:
                stream.close()
                connection.close()
            return Finished(int(api.wait(container)["StatusCode"]), streams[1], streams[2])

        return await self._do(work)
