"""The engine behind a socket of the tests' own: one that can die, and one that takes its time."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Self


class Forwarded:
    """The engine's socket behind one of our own, so that it can die while the engine lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writers: set[asyncio.StreamWriter] = set()

    @classmethod
    async def open(cls, path: Path, **fields: Any) -> Self:
        self = cls(path, **fields)
        self._server = await asyncio.start_unix_server(self._serve, path)
        return self

    async def close(self) -> None:
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection("/var/run/docker.sock")
        self._writers |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


class SlowEngine(Forwarded):
    """The engine's socket, on which requests with ``held`` in them take until ``answers`` is set."""

    def __init__(self, path: Path, *, held: bytes) -> None:
        super().__init__(path)
        self._held = held
        self.answers = asyncio.Event()
        self.answers.set()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._held in data:
                    await self.answers.wait()
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
