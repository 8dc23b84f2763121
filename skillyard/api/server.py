"""Serving the application on a socket with uvicorn, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvicorn

from skillyard.api.application import create_app
from skillyard.api.state import MARKETPLACE
from skillyard.errors import MachineError
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.marketplace import Marketplace
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.settings import Settings

GRACE_SECONDS = 30
"""How long open requests may take to end once the server was told to stop; calls that still run are then cancelled."""
BACKLOG = 2048

_KEEP_SECONDS = 75
"""So long a connection that nothing is asked on stays open: longer than clients keep one, so that none asks on a
connection that is just being closed."""
_MOST_FRAME = 64 * 1024
_PING_SECONDS = 30.0
_PONG_SECONDS = 10.0


class AddressError(MachineError):
    """The server cannot listen on the address it is set to."""

    code = "address"


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers: its address, and the first person's token where this was the first start ever."""

    url: str
    first_token: str | None


def ignore(_serving: Serving) -> None:
    """The null observer."""


async def serve(settings: Settings, *, on_ready: Callable[[Serving], None] = ignore) -> None:
    """Serve until SIGINT, SIGTERM or a cancel; then let open requests end, and stop what runs.

    ``on_ready`` is told once the server answers. Raises ``AddressError``, and what starting the runtime raises.
    """
    with listen(settings) as listener:
        async with await create_runtime(settings) as runtime:
            keep_what_is_loaded()
            await serve_runtime(runtime, listener, on_ready=on_ready)


def keep_what_is_loaded() -> None:
    """What is there once a process is up stays until it ends. Looking through it for garbage again and again is an
    eighth of what a first sync costs (``benchmarks.first_sync``)."""
    gc.collect()
    gc.freeze()


async def serve_runtime(
    runtime: Runtime,
    listener: socket.socket,
    *,
    only: WorkspaceId | None = None,
    grace_seconds: int = GRACE_SECONDS,
    on_ready: Callable[[Serving], None] = ignore,
) -> None:
    """The same over a runtime that stays its owner's. ``only`` lets tokens of that workspace in, and no others."""
    app = create_app(runtime.settings, runtime=runtime, only=only)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # An address that a client states in a header must not decide whose failures are counted.
        proxy_headers=False,
        timeout_graceful_shutdown=grace_seconds,
        timeout_keep_alive=_KEEP_SECONDS,
        lifespan="on",
        # Live channels: followers send nothing there, and one that does not answer a ping in time is gone.
        ws="websockets-sansio",
        ws_max_size=_MOST_FRAME,
        ws_ping_interval=_PING_SECONDS,
        ws_ping_timeout=_PONG_SECONDS,
        ws_per_message_deflate=False,
    )
    serving = Serving(_url(listener), runtime.first_token)

    def stop_waiting() -> None:
        runtime.waiting.shut()
        marketplace: Marketplace | None = getattr(app.state, MARKETPLACE, None)
        if marketplace is not None:
            marketplace.shut()

    server = _Server(config, ready=lambda: on_ready(serving), stopping=stop_waiting)
    await _to_the_end(server, listener)


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it answers and when it begins to stop, and ends by returning instead of by a
    signal."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Open requests are waited for now: those that only wait themselves are told to end.
        self._stopping()
        await super().shutdown(sockets=sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which would end the process before the runtime is closed.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


async def _to_the_end(server: uvicorn.Server, listener: socket.socket) -> None:
    """A cancelled server is told to stop and waited for, so that no request is cut off in the middle."""
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        await asyncio.wait([task])
        raise


def listen(settings: Settings) -> socket.socket:
    """A socket that listens where the settings say. Raises ``AddressError``."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        # Connections inherit the protocol's number, and asyncio turns Nagle's algorithm off for those that have it;
        # with it on, every answer waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise AddressError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
