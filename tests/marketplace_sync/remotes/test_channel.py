"""A live channel says where the head is, or closes with the reason."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest
from skillyard.marketplace_sync.errors import (
    RemoteAnswerError,
    RemoteError,
    RemoteRefusedError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.remotes.skillyard import SkillyardRemote
from skillyard.runtime import addresses
from skillyard.runtime.addresses import Target
from tests.marketplace_sync.hubs import remote_market, settings_of
from tests.marketplace_sync.remotes.liar import Liar
from websockets.asyncio.server import ServerConnection, serve


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([b"hello"], RemoteAnswerError),
        ([b'{"head": "5"}'], RemoteAnswerError),
        ([b"[" * (1024 * 1024 + 1)], RemoteAnswerError),
        ([b'{"head": 5, "epoch": 1}'] * 200, RemoteAnswerError),
        ([b'{"head": 5, "epoch": 1}'], RemoteUnavailableError),
    ],
    ids=["text", "no number", "large", "many", "ended"],
)
async def test_a_channel_that_says_nonsense_is_closed(
    tmp_path: Path, frames: list[bytes], error: type[RemoteError]
) -> None:
    async def talk(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame)

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        remote = SkillyardRemote(remote_market(f"http://127.0.0.1:{port}", None), settings_of(tmp_path))
        heard: list[int] = []
        with pytest.raises(error):
            await _listen(remote, heard)
        assert len(heard) <= 100
        await remote.close()


async def test_a_channel_is_opened_at_the_next_address_where_the_first_cannot_be_reached(tmp_path: Path) -> None:
    """A name with an address of each kind, on a machine that has a way to one of them alone."""

    async def talk(connection: ServerConnection) -> None:
        await connection.send(b'{"head": 5, "epoch": 1}')

    async with serve(talk, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        remote = SkillyardRemote(remote_market(f"http://127.0.0.1:{port}", None), settings_of(tmp_path))
        http = remote._http
        url = httpx.URL(http.base)
        ips = (IPv4Address("255.255.255.255"), IPv4Address("127.0.0.1"))
        http._targets[addresses.origin(url)] = (float("inf"), Target(url, ips))
        heard: list[int] = []
        with pytest.raises(RemoteUnavailableError, match="closed"):
            await _listen(remote, heard)
        assert heard == [5]
        await remote.close()


async def test_a_channel_that_is_refused_says_why(liar: Liar, tmp_path: Path) -> None:
    remote = SkillyardRemote(remote_market(liar.url, "t"), settings_of(tmp_path))
    for status, error in (
        (401, RemoteRefusedError),
        (429, RemoteUnavailableError),
        (200, RemoteAnswerError),
        (302, RemoteAnswerError),
    ):
        liar.says("/v1/marketplace/live", b"{}", status, Location="http://127.0.0.1:1/")
        with pytest.raises(error):
            await anext(remote.heads())
    await remote.close()


async def _listen(remote: SkillyardRemote, heard: list[int]) -> None:
    async with asyncio.timeout(60), aclosing(remote.heads()) as heads:  # type: ignore[type-var]
        async for head in heads:
            heard.append(head)  # noqa: PERF401 - what was heard before the error counts
