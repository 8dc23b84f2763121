"""HTTPS to remotes: the certificate is checked, for requests and for the channel, by a private CA where one is set."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from skillyard.marketplace_sync.errors import RemoteError, RemoteUnavailableError
from skillyard.marketplace_sync.remotes.skillyard import PROTOCOL, SkillyardRemote
from tests.marketplace_sync.hubs import remote_market, settings_of
from tests.marketplace_sync.remotes.liar import KEY, page, row
from tests.runtime.test_webhooks import certificate
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

ABOUT = {"protocol": PROTOCOL, "public_key": KEY.public.hex, "features": []}


async def _talk(connection: ServerConnection) -> None:
    await connection.send(b'{"head": 7, "epoch": 1}')
    await connection.wait_closed()


async def _answer(_connection: ServerConnection, request: Request) -> Response | None:
    """One server for both: what is no WebSocket is a page, or who the marketplace is."""
    if request.path.endswith("/live"):
        return None
    body = orjson.dumps(page(row()) if "snapshot" in request.path else ABOUT)
    return Response(200, "OK", Headers({"Content-Length": str(len(body)), "Connection": "close"}), body)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    own = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    async with serve(_talk, "127.0.0.1", 0, ssl=context, process_request=_answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"https://localhost:{port}", own


async def test_a_private_ca_is_trusted_where_the_setting_names_it(place: tuple[str, Path], tmp_path: Path) -> None:
    url, own = place
    remote = SkillyardRemote(remote_market(url, "t"), settings_of(tmp_path, marketplace_ca_bundle=own))
    assert len((await remote.changes(None, limit=5)).entries) == 1
    heads = remote.heads()
    assert await anext(heads) == 7
    await heads.aclose()  # type: ignore[attr-defined]
    await remote.close()


async def test_a_certificate_of_nobody_or_of_another_name_is_refused(place: tuple[str, Path], tmp_path: Path) -> None:
    url, own = place
    other = certificate(tmp_path, "elsewhere.example.org")
    for wrong in (
        SkillyardRemote(remote_market(url, "t"), settings_of(tmp_path)),
        SkillyardRemote(remote_market(url, "t"), settings_of(tmp_path, marketplace_ca_bundle=other)),
        SkillyardRemote(
            remote_market(url.replace("localhost", "127.0.0.1"), "t"), settings_of(tmp_path, marketplace_ca_bundle=own)
        ),
    ):
        with pytest.raises(RemoteUnavailableError, match="certificate"):
            await wrong.changes(None, limit=5)
        with pytest.raises(RemoteError):
            await anext(wrong.heads())
        await wrong.close()


async def test_a_bundle_that_is_none_is_said(place: tuple[str, Path], tmp_path: Path) -> None:
    remote = SkillyardRemote(
        remote_market(place[0], "t"), settings_of(tmp_path, marketplace_ca_bundle=tmp_path / "none.pem")
    )
    with pytest.raises(RemoteError, match="marketplace_ca_bundle"):
        await remote.changes(None, limit=5)
    await remote.close()
