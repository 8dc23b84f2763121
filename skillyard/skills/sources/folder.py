"""A skill in a folder on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from skillyard.skills.bundle import make_bundle, open_file
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE
from skillyard.skills.source import Fetched
from skillyard.skills.sources.staging import Staging, emptied_on_failure, has_manifest, in_thread


class FolderSource:
    """Copies a folder's bundle, so that later changes to the folder do not reach what was installed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``. Tool state such as ``.git`` is not copied; a link or special file is refused."""
        path = self._path.resolve()
        async with emptied_on_failure(into):
            folder = await in_thread(lambda stop: _copy(path, into / (path.name or "skill"), stop))
        return Fetched(folder, str(path), None)


def _copy(path: Path, target: Path, stop: threading.Event) -> Path:
    if not has_manifest(path):
        make_bundle(path)  # what is wrong with the folder itself is said first
        raise SkillError(f"is missing; a skill is a folder with a {FILE}", file=FILE)
    return copy_bundle(path, target, stop)


def copy_bundle(path: Path, target: Path, stop: threading.Event) -> Path:
    """Copy what a bundle of the folder holds, skill or not. Raises ``SkillError`` or its kin."""
    bundle = make_bundle(path)
    target.mkdir()
    staging = Staging(target, stop)
    for member in bundle.files:
        staging.write(member.path, _chunks(path, member.path), executable=member.executable)
    return target


def _chunks(folder: Path, path: str) -> Iterator[bytes]:
    with open_file(folder, path) as (file, _info):
        while chunk := file.read(64 * 1024):
            yield chunk
