"""A TCP proxy that does to connections what networks and bad servers do: cut, delay, truncate, corrupt, drip, answer.

Each new connection takes the next fault of ``plan``, and ``otherwise`` when the plan is empty. A fault is for the bytes
that the server sends back; what the client sends passes.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 16 * 1024


@dataclass(frozen=True)
class Pass:
    """Nothing happens."""


@dataclass(frozen=True)
class Refuse:
    """The connection is reset as soon as it is there."""


@dataclass(frozen=True)
class Cut:
    """Reset after so many bytes of the answer."""

    after: int = 0


@dataclass(frozen=True)
class Truncate:
    """Ended in good order after so many bytes, as if that had been all."""

    after: int = 0


@dataclass(frozen=True)
class Delay:
    """So many seconds before the first byte."""

    seconds: float


@dataclass(frozen=True)
class Corrupt:
    """One byte of the answer is another, at this offset."""

    at: int
    mask: int = 0x20


@dataclass(frozen=True)
class Drip:
    """One byte at a time, so many seconds apart."""

    seconds: float = 0.05


@dataclass(frozen=True)
class Endless:
    """The answer's head, then bytes without end."""

    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    filler: bytes = b" " * _PIECE


@dataclass(frozen=True)
class Answer:
    """The proxy answers itself, whatever was asked, and ends the connection."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def raw(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Because", f"Content-Length: {len(self.body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


Fault = Pass | Refuse | Cut | Truncate | Delay | Corrupt | Drip | Endless | Answer


@dataclass
class FaultProxy:
    """In front of ``host:port``. Made by ``fault_proxy``."""

    host: str
    port: int
    plan: deque[Fault] = field(default_factory=deque)
    otherwise: Callable[[], Fault] = Pass
    connections: int = 0
    url: str = ""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def storm(self, seed: int, *, rate: float = 0.3) -> None:
        """From now on a fault of every sort with this probability, the same for the same seed."""
        dice = random.Random(seed)
        sorts: tuple[Callable[[], Fault], ...] = (
            Refuse,
            lambda: Cut(dice.randrange(4000)),
            lambda: Truncate(dice.randrange(4000)),
            lambda: Delay(dice.uniform(0, 0.3)),
            lambda: Corrupt(dice.randrange(4000), 1 << dice.randrange(8)),
            lambda: Answer(429, headers=(("Retry-After", "0"),)),
            lambda: Answer(dice.choice((500, 502, 503, 504))),
            lambda: Answer(200, b"<html><body>Welcome</body></html>", (("Content-Type", "text/html"),)),
        )
        self.otherwise = lambda: dice.choice(sorts)() if dice.random() < rate else Pass()

    def calm(self) -> None:
        """No faults any more."""
        self.plan.clear()
        self.otherwise = Pass

    def drop(self) -> None:
        """End every connection that is open: clients that keep theirs meet the next fault."""
        for task in self._tasks:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        fault = self.plan.popleft() if self.plan else self.otherwise()
        try:
            await self._serve(reader, writer, fault)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # One of the two ends went away, or the test did: either way this connection is over.
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        match fault:
            case Refuse():
                return
            case Answer():
                await _request(reader)
                writer.write(fault.raw)
                await _finish(writer)
                return
            case Endless():
                await _request(reader)
                writer.write(fault.head)
                while True:
                    writer.write(fault.filler)
                    await writer.drain()
            case _:
                await self._between(reader, writer, fault)

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
        there, back = await asyncio.open_connection(self.host, self.port)
        try:
            up = asyncio.create_task(_copy(reader, back))
            down = asyncio.create_task(_answer(there, writer, fault))
            try:
                done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                if up in done and not down.done():
                    await down
            finally:
                for task in (up, down):
                    task.cancel()
                await asyncio.gather(up, down, return_exceptions=True)
        finally:
            back.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
    sent = 0
    while piece := await reader.read(_PIECE):
        match fault:
            case Delay(seconds) if sent == 0:
                await asyncio.sleep(seconds)
            case Cut(after) if sent + len(piece) > after:
                writer.write(piece[: max(after - sent, 0)])
                await writer.drain()
                return
            case Truncate(after) if sent + len(piece) > after:
                writer.write(piece[: max(after - sent, 0)])
                await _finish(writer)
                return
            case Corrupt(at, mask) if sent <= at < sent + len(piece):
                place = at - sent
                piece = piece[:place] + bytes((piece[place] ^ mask,)) + piece[place + 1 :]
            case Drip(seconds):
                for byte in piece:
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    await asyncio.sleep(seconds)
                continue
            case _:
                pass
        sent += len(piece)
        writer.write(piece)
        await writer.drain()
    await _finish(writer)


async def _request(reader: asyncio.StreamReader) -> None:
    """Up to the end of a request's head; the body, if there is one, is let be."""
    await reader.readuntil(b"\r\n\r\n")


async def _finish(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await writer.drain()
        writer.write_eof()
    # The other side has to have read it before the connection is aborted.
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()


@asynccontextmanager
async def fault_proxy(url: str) -> AsyncIterator[FaultProxy]:
    """A proxy on a free loopback port in front of an ``http://host:port``."""
    host, _, port = url.removeprefix("http://").partition(":")
    proxy = FaultProxy(host, int(port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.drop()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
        await server.wait_closed()
