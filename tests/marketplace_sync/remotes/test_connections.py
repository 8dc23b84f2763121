"""However a connection leads or breaks, it costs its limits, gives nothing away, and what came by it is whole."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from skillyard.marketplace_sync.errors import (
    CursorGoneError,
    RemoteAddressError,
    RemoteAnswerError,
    RemoteError,
    RemoteUnavailableError,
)
from skillyard.marketplace_sync.remotes.skillyard import SkillyardRemote
from skillyard.settings import Settings
from skillyard.skills.skill import BundleFile
from tests.fault_proxy import Answer, Corrupt, Cut, Delay, Drip, Endless, Refuse, Truncate, fault_proxy
from tests.marketplace_sync.hubs import remote_market, settings_of
from tests.marketplace_sync.remotes.liar import Liar, lying, page, read, row


async def test_a_redirect_is_followed_without_the_token_and_only_where_it_may_lead(tmp_path: Path) -> None:
    with lying() as liar, lying() as other:
        other.says("/v1/marketplace/snapshot", page(row()))
        target = f"{other.url}/v1/marketplace/snapshot"
        liar.says("/v1/marketplace/snapshot", b"", 307, Location=target)
        found = await read(liar.url, tmp_path)
        assert len(found.entries) == 1
        assert liar.asked[0][1]["authorization"] == "Bearer secret-token"
        assert "authorization" not in other.asked[0][1]
        liar.says("/v1/marketplace/snapshot", b"", 302, Location="http://[fe80::1]/v1/marketplace/snapshot")
        with pytest.raises(RemoteAddressError):
            await read(liar.url, tmp_path)
        for nowhere in ("file:///etc/passwd", "http://user:pass@127.0.0.1/", "http://", "https://xn--a/", ""):
            liar.says("/v1/marketplace/snapshot", b"", 302, Location=nowhere)
            with pytest.raises(RemoteError):
                await read(liar.url, tmp_path)
        liar.says("/v1/marketplace/snapshot", b"", 302, Location="/v1/marketplace/snapshot")
        before = len(liar.asked)
        with pytest.raises(RemoteAnswerError, match="redirects more than 3 times"):
            await read(liar.url, tmp_path)
        assert len(liar.asked) - before == 4


async def test_nothing_is_sent_to_private_addresses_unless_a_setting_says_so(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    with pytest.raises(RemoteAddressError, match="private"):
        await read(liar.url, tmp_path, marketplace_allow_private=False)
    with pytest.raises(RemoteAddressError, match="private"):
        await read(liar.url, tmp_path, marketplace_allow_private=False, marketplace_allow_http=True)
    assert liar.asked == []
    remote = SkillyardRemote(remote_market(liar.url, None), Settings(home=tmp_path))
    with pytest.raises(RemoteAddressError):
        await anext(remote.heads())
    await remote.close()


async def test_a_slow_or_endless_remote_costs_its_time_limit_and_no_more(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    async with fault_proxy(liar.url) as proxy:
        for fault, error in (
            (Delay(120), RemoteUnavailableError),
            (Drip(0.2), RemoteUnavailableError),
            (Endless(), RemoteError),
            (Endless(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 500), RemoteError),
        ):
            proxy.plan.append(fault)
            began = time.monotonic()
            with pytest.raises(error):
                await read(proxy.url, tmp_path, marketplace_timeout=2.0)
            assert time.monotonic() - began < 60, fault


async def test_a_connection_that_breaks_is_an_error_that_heals(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row()))
    async with fault_proxy(liar.url) as proxy:
        for fault in (Refuse(), Cut(), Cut(40), Cut(300), Truncate(40), Truncate(400), Answer(502), Corrupt(3)):
            proxy.plan.append(fault)
            with pytest.raises(RemoteError):
                await read(proxy.url, tmp_path)
        assert len((await read(proxy.url, tmp_path)).entries) == 1


async def test_a_corrupted_byte_is_never_taken_for_an_entry(liar: Liar, tmp_path: Path) -> None:
    liar.says("/v1/marketplace/snapshot", page(row("one"), row("two", seq=2)))
    good = {entry.sha256 for entry in (await read(liar.url, tmp_path)).entries}
    async with fault_proxy(liar.url) as proxy:
        for at in range(150, 700, 23):
            proxy.plan.extend((Corrupt(at), Corrupt(at)))
            try:
                found = await read(proxy.url, tmp_path)
            except (RemoteError, CursorGoneError):
                continue
            finally:
                proxy.plan.clear()
            assert {entry.sha256 for entry in found.entries} <= good


async def test_a_file_is_gone_on_from_where_it_ended_and_checked(liar: Liar, tmp_path: Path) -> None:
    content = bytes(range(256)) * 400
    file = BundleFile("data.bin", _sha256(content), len(content), executable=False)
    place = f"/v1/marketplace/files/{file.sha256}"
    target = tmp_path / "data.bin"
    liar.answers[place] = lambda: _ranged(content, liar.asked[-1][1].get("range"))
    remote = SkillyardRemote(remote_market(liar.url, "t"), settings_of(tmp_path))
    try:
        async with fault_proxy(liar.url) as proxy:
            broken = SkillyardRemote(remote_market(proxy.url, "t"), settings_of(tmp_path))
            proxy.plan.append(Cut(50_000))
            with pytest.raises(RemoteError):
                await broken.fetch_file(file, target, bundle=_NO_BUNDLE)
            await broken.close()
        have = (tmp_path / "data.bin.part").stat().st_size
        assert 0 < have < len(content)
        await remote.fetch_file(file, target, bundle=_NO_BUNDLE)
        assert target.read_bytes() == content
        assert liar.asked[-1][1]["range"] == f"bytes={have}-"
        # Another content under the same name is thrown away as a whole; so is one that does not end.
        for other in (bytes(len(content)), content + b"x"):
            liar.says(place, other)
            with pytest.raises(RemoteAnswerError):
                await remote.fetch_file(file, tmp_path / "other", bundle=_NO_BUNDLE)
            assert not (tmp_path / "other").exists()
            assert not (tmp_path / "other.part").exists()
    finally:
        await remote.close()


_NO_BUNDLE: Any = f"sha256:{'0' * 64}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _ranged(content: bytes, asked: str | None) -> tuple[int, dict[str, str], bytes]:
    if asked is None:
        return 200, {}, content
    begin = int(asked.removeprefix("bytes=").rstrip("-"))
    return 206, {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"}, content[begin:]
