"""The guest's compiled copy: made once, whole or not at all, and used by sandboxes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from skillyard.sandbox.engine import Engine
from skillyard.sandbox.guest_code import GuestCode
from skillyard.sandbox.hostconfig import GUEST_SOURCE
from skillyard.sandbox.images import BaseImage


async def test_each_module_is_there_with_its_bytecode_and_made_once(
    tmp_path: Path, engine: Engine, image: BaseImage
) -> None:
    one, other = (GuestCode(root=tmp_path, engine=engine) for _ in range(2))
    first, second = await asyncio.gather(one.folder(image), other.folder(image))
    assert first == second
    modules = {path.stem for path in GUEST_SOURCE.glob("*.py")}
    assert {path.stem for path in first.glob("*.py")} == modules
    assert {path.name.partition(".")[0] for path in (first / "__pycache__").iterdir()} == modules
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in first.rglob("*.py*"))


async def test_what_a_dead_process_left_is_swept_and_a_lost_copy_made_again(
    tmp_path: Path, engine: Engine, image: BaseImage
) -> None:
    left = tmp_path / "staging" / "dead"
    left.mkdir(parents=True)
    left.with_suffix(".lock").touch()
    code = GuestCode(root=tmp_path, engine=engine)
    folder = await code.folder(image)
    assert not left.exists()
    folder.rename(tmp_path / "gone")
    assert await code.folder(image) == folder
    assert (folder / "relay.py").is_file()
