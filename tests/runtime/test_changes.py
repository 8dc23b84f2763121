"""Watching a skill's folder: however it is saved, moved or replaced, what changed is told once it has settled."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from skillyard.runtime.changes import Changed, FolderChange, Returned, Vanished, folder_changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "adder"
    (made / "scripts").mkdir(parents=True)
    (made / "SKILL.md").write_text("one")
    (made / "scripts" / "main.py").write_text("one")
    return made


@pytest.fixture
async def changes(folder: Path) -> AsyncGenerator[AsyncGenerator[FolderChange]]:
    """Watching has begun: what was there has been told."""
    async with aclosing(folder_changes(folder)) as told:
        assert await anext(told) == Returned(("SKILL.md", "scripts/main.py"))
        yield told


async def edit(changes: AsyncGenerator[FolderChange], path: Path, text: str = "more") -> FolderChange:
    """Change a file, and what is told next."""
    path.write_text(text)
    return await anext(changes)


async def test_a_file_saved_in_place_is_told(changes: AsyncGenerator[FolderChange], folder: Path) -> None:
    await edit(changes, folder / "SKILL.md")
    assert await edit(changes, folder / "scripts" / "main.py", "a longer text") == Changed(("scripts/main.py",))


async def test_a_file_renamed_over_the_old_one_is_told_by_its_own_name(
    changes: AsyncGenerator[FolderChange], folder: Path
) -> None:
    beside = folder / "scripts" / "main.py.tmp-1"
    beside.write_text("two")
    beside.replace(folder / "scripts" / "main.py")
    assert await anext(changes) == Changed(("scripts/main.py",))


async def test_a_burst_is_one_change(changes: AsyncGenerator[FolderChange], folder: Path) -> None:
    await edit(changes, folder / "SKILL.md")
    (folder / "a" / "b").mkdir(parents=True)
    for number in range(50):
        (folder / "a" / "b" / f"{number:02}.txt").write_text("x")
    assert await anext(changes) == Changed(tuple(f"a/b/{number:02}.txt" for number in range(50)))


async def test_what_editors_and_tools_leave_beside_it_is_no_change(
    changes: AsyncGenerator[FolderChange], folder: Path
) -> None:
    await edit(changes, folder / "SKILL.md")
    for name in (".SKILL.md.swp", "SKILL.md~", "4913"):
        (folder / name).write_text("x")
    (folder / ".#SKILL.md").symlink_to("somebody@somewhere.1")
    (folder / "scripts" / "__pycache__").mkdir()
    (folder / "scripts" / "__pycache__" / "main.pyc").write_text("x")
    (folder / ".git" / "objects").mkdir(parents=True)
    (folder / ".git" / "index").write_text("x")
    (folder / "4913").unlink()
    (folder / "scripts" / "main.py").write_text("the only change")
    assert await anext(changes) == Changed(("scripts/main.py",))


async def test_a_folder_that_is_moved_away_and_back_is_told(
    changes: AsyncGenerator[FolderChange], folder: Path
) -> None:
    await edit(changes, folder / "SKILL.md")
    away = folder.with_name("away")
    folder.rename(away)
    assert await anext(changes) == Vanished()
    (away / "SKILL.md").write_text("changed elsewhere")
    away.rename(folder)
    assert await anext(changes) == Returned(("SKILL.md",))
    assert await edit(changes, folder / "scripts" / "main.py", "and watched again") == Changed(("scripts/main.py",))


async def test_a_folder_that_is_removed_and_made_anew_is_told(
    changes: AsyncGenerator[FolderChange], folder: Path
) -> None:
    await edit(changes, folder / "SKILL.md")
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    shutil.rmtree(folder)
    while (told := await anext(changes)) != Vanished():
        assert isinstance(told, Changed), told
    shutil.copytree(kept, folder)
    told = await anext(changes)
    assert isinstance(told, Returned)
    # A copy is made file by file: what was not there yet at the first look comes as a change.
    paths = {*told.paths}
    while "SKILL.md" not in paths:
        told = await anext(changes)
        assert isinstance(told, Changed), told
        paths |= {*told.paths}


async def test_another_folder_in_its_place_is_seen_and_watched(
    changes: AsyncGenerator[FolderChange], folder: Path
) -> None:
    """As a release tool does it: the new tree is written beside and takes the name in two renames."""
    await edit(changes, folder / "SKILL.md")
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    (other / "scripts" / "main.py").write_text("of another tree")
    folder.rename(folder.with_name("old"))
    other.rename(folder)
    seen: set[str] = set()
    while "scripts/main.py" not in seen:
        told = await anext(changes)
        seen.update(() if isinstance(told, Vanished) else told.paths)
    assert await edit(changes, folder / "SKILL.md", "in the new tree") == Changed(("SKILL.md",))


async def test_a_link_to_the_folder_is_followed_also_when_it_is_turned(folder: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "current", tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "SKILL.md").write_text("of the other folder")
    link.symlink_to(folder)
    async with aclosing(folder_changes(link)) as changes:
        await anext(changes)
        await edit(changes, folder / "scripts" / "main.py")
        turned = tmp_path / "turned"
        turned.symlink_to(other)
        turned.replace(link)
        assert "SKILL.md" in paths_of(await anext(changes))


def paths_of(told: FolderChange) -> tuple[str, ...]:
    assert not isinstance(told, Vanished)
    return told.paths
