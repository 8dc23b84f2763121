"""A TCP proxy that does to connections what networks and bad servers do: cut, delay, truncate, corrupt, drip, answer.

Each new connection takes the next fault of ``plan``, and ``otherwise`` when the plan is empty. A fault is for the bytes
that the server sends back; what the client sends passes. ``Rewrite`` alone knows what HTTP is.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 16 * 1024
_WHOLE_SECONDS = 10
"""For an answer that is rewritten; a waiting one is given up."""


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


@dataclass(frozen=True)
class Rewrite:
    """The body of the first answer is another, and the connection ends with it: a hub that lies."""

    change: Callable[[bytes], bytes]


Fault = Pass | Refuse | Cut | Truncate | Delay | Corrupt | Drip | Endless | Answer | Rewrite


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

    def storm(
        self,
        seed: int,
        *,
        rate: float = 0.3,
        more: Callable[[random.Random], Sequence[Callable[[], Fault]]] | None = None,
    ) -> None:
        """From now on a fault of every sort with this probability, the same for the same seed. ``more`` makes further
        sorts of the same dice."""
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
            Drip,
            Endless,
            *(more(dice) if more is not None else ()),
        )
        self.otherwise = lambda: dice.choice(sorts)() if dice.random() < rate else Pass()

    def calm(self) -> None:
        """No faults any more."""
        self.plan.clear()
        self.otherwise = Pass

    def refuse(self) -> None:
        """Nothing gets through until it is calm."""
        self.plan.clear()
        self.otherwise = Refuse
        self.drop()

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
            case Rewrite(change):
                await self._rewritten(reader, writer, change)
            case _:
                await self._between(reader, writer, fault)

    async def _rewritten(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
    ) -> None:
        head = await _request(reader)
        lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if any(line.lower().startswith(b"upgrade:") for line in lines):
            return  # Frames of a channel are not what it knows how to read.
        kept = [line for line in lines if not line.lower().startswith((b"accept-encoding:", b"connection:"))]
        there, back = await asyncio.open_connection(self.host, self.port)
        try:
            back.write(b"\r\n".join([*kept, b"Accept-Encoding: identity", b"Connection: close"]) + b"\r\n\r\n")
            up = asyncio.create_task(_copy(reader, back))
            try:
                async with asyncio.timeout(_WHOLE_SECONDS):
                    whole = await there.read()
                    while piece := await there.read():
                        whole += piece
            finally:
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
        finally:
            back.transport.abort()
        writer.write(_changed(whole, change))
        await _finish(writer)

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


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A request's head; the body, if there is one, is let be."""
    return await reader.readuntil(b"\r\n\r\n")


def _changed(whole: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """An answer to its end, with another body, and framed by its length."""
    head, _, body = whole.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    fields = [line.lower() for line in lines]
    if b"transfer-encoding: chunked" in fields:
        body = b"".join(_chunks(body))
    framing = (b"transfer-encoding:", b"content-length:", b"connection:")
    kept = [line for line, field_ in zip(lines, fields, strict=True) if not field_.startswith(framing)]
    body = change(body)
    kept += [b"Content-Length: %d" % len(body), b"Connection: close"]
    return b"\r\n".join([status, *kept]) + b"\r\n\r\n" + body


def _chunks(body: bytes) -> Iterator[bytes]:
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            return
        yield rest[:length]
        body = rest[length + 2 :]


async def _finish(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await writer.drain()
        writer.write_eof()
    # The other side has to have read it before the connection is aborted.
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(10):
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
