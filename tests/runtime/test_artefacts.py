"""Files that calls leave: found by those they belong to, under no path that leads elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.errors import NotFoundError
from skillyard.ids import InvocationId, WorkspaceId
from tests.runtime.conftest import Yard

WRITES = """
import os
from pathlib import Path


def run() -> None:
    Path("sub").mkdir()
    Path("sub/made.txt").write_text("here")
"""


async def made(yard: Yard) -> InvocationId:
    await yard.install(yard.skill(WRITES))
    return (await yard.invoke(await yard.agent("bot"), given={})).id


async def test_a_file_that_a_call_left_is_found_by_its_path(yard: Yard) -> None:
    invocation = await made(yard)
    found = await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")
    assert found.read_text() == "here"


@pytest.mark.parametrize(
    "path",
    ["../../skillyard.db", "/etc/passwd", "sub/../../../skillyard.db", "sub", "", "a\0b", "a" * 5000, "sub/made.txt/x"],
)
async def test_no_other_path_leads_anywhere(yard: Yard, path: str) -> None:
    invocation = await made(yard)
    with pytest.raises(NotFoundError):
        await yard.runtime.artefact(yard.admin.workspace, invocation, path)


async def test_links_are_not_followed_even_inside_the_folder(yard: Yard) -> None:
    invocation = await made(yard)
    folder = (await yard.runtime.artefact(yard.admin.workspace, invocation, "sub/made.txt")).parent
    (folder / "link").symlink_to(folder / "made.txt")
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "out").symlink_to(Path("/etc"))
    for path in ("sub/link", "sub/loop", "sub/out/passwd"):
        with pytest.raises(NotFoundError):
            await yard.runtime.artefact(yard.admin.workspace, invocation, path)


async def test_a_call_of_another_workspace_is_not_found(yard: Yard) -> None:
    invocation = await made(yard)
    with pytest.raises(NotFoundError, match="does not exist"):
        await yard.runtime.artefact(WorkspaceId(yard.admin.workspace + 1), invocation, "sub/made.txt")
