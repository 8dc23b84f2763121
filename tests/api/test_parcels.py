"""A skill on its way out as a file leaves nothing behind, however its reader goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
from skillyard.api.routes.parcels import HeldResponse
from starlette.types import Message


@contextmanager
def packed(path: Path) -> Iterator[Path]:
    path.write_bytes(b"a parcel")
    try:
        yield path
    finally:
        path.unlink()


@pytest.mark.parametrize("stays", [True, False])
async def test_the_packed_file_goes_with_the_reader_also_with_one_who_went_before_the_first_piece(
    tmp_path: Path, stays: bool
) -> None:
    sent: list[Message] = []
    ended = asyncio.Event()

    async def receive() -> Message:
        if stays:
            await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("more_body") is False:
            ended.set()
        await asyncio.sleep(0)

    async def content(path: Path) -> AsyncIterator[bytes]:
        yield path.read_bytes()

    stack = AsyncExitStack()
    path = stack.enter_context(packed(tmp_path / "parcel.tar"))
    response = HeldResponse(content(path), held=stack, media_type="application/x-tar", headers={})
    await response({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
    assert not path.exists()
    assert b"".join(one.get("body", b"") for one in sent) == (b"a parcel" if stays else b"")
