"""Room for uploads: nobody keeps the others out, and what is published gives it back."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.errors import IncomingFullError
from skillyard.marketplace_sync.hub.incoming import Incoming

MIB = 2**20
OURS, THEIRS = WorkspaceId(1), WorkspaceId(2)


async def zeros(mebibytes: int, end: bytes) -> AsyncIterator[bytes]:
    for _ in range(mebibytes):
        yield bytes(MIB)
    yield end


def sha(mebibytes: int, end: bytes) -> str:
    return hashlib.sha256(bytes(mebibytes * MIB) + end).hexdigest()


async def send(incoming: Incoming, end: bytes, *, workspace: WorkspaceId, said: bool = True) -> str:
    """A file of a little more than seven mebibytes."""
    digest = sha(7, end)
    size = 7 * MIB + len(end) if said else None
    assert await incoming.take(digest, zeros(7, end), workspace=workspace, sender="a", offset=0, size=size)
    return digest


async def test_a_workspace_that_publishes_nothing_leaves_half_of_the_room_to_others(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "incoming", keep_seconds=60, most_bytes=24 * MIB)
    first = await send(incoming, b"1", workspace=OURS)
    with pytest.raises(IncomingFullError, match="your workspace"):
        await send(incoming, b"2", workspace=OURS)
    assert incoming.begun(sha(7, b"2"), workspace=OURS, sender="a") == (0, False)
    theirs = await send(incoming, b"1", workspace=THEIRS)
    # What is there is not sent again, and takes no room twice.
    assert await send(incoming, b"1", workspace=OURS) == first
    # Who does not say how large a file is gets in only where any file would.
    with pytest.raises(IncomingFullError):
        await send(incoming, b"3", workspace=THEIRS, said=False)
    incoming.forget([first], workspace=OURS)
    assert incoming.whole(theirs, workspace=THEIRS) is not None
    assert await send(incoming, b"2", workspace=OURS)


async def test_a_part_that_was_cut_off_counts_and_goes_on(tmp_path: Path) -> None:
    incoming = Incoming(tmp_path / "incoming", keep_seconds=60, most_bytes=24 * MIB)
    whole = bytes(7 * MIB) + b"1"

    async def from_(begin: int, end: int) -> AsyncIterator[bytes]:
        yield whole[begin:end]

    digest, cut = sha(7, b"1"), 6 * MIB
    assert not await incoming.take(digest, from_(0, cut), workspace=OURS, sender="a", offset=0, size=len(whole))
    with pytest.raises(IncomingFullError, match=f"take {cut} bytes"):
        await send(incoming, b"2", workspace=OURS)
    rest = from_(cut, len(whole))
    assert await incoming.take(digest, rest, workspace=OURS, sender="a", offset=cut, size=len(whole))
    # Another process counts the same.
    beside = Incoming(tmp_path / "incoming", keep_seconds=60, most_bytes=24 * MIB)
    with pytest.raises(IncomingFullError, match=f"take {len(whole)} bytes"):
        await send(beside, b"2", workspace=OURS)
