"""A version's folder, put together from files that were sent and files that the hub has already."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from skillyard.errors import MachineError
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.skills.bundle import MAX_FILES
from skillyard.skills.skill import BundleFile
from skillyard.skills.source import Fetched
from skillyard.skills.sources.staging import Staging, emptied_on_failure, in_thread

_CHUNK = 256 * 1024


class FilesGoneError(MachineError):
    """A file that was sent went away, because something else was published of it; send the publication again."""

    code = "files_gone"


class AssembledSource:
    """The ``Source`` of a published version. ``places`` says where each SHA-256 lies; what is there is read and its
    hash comes out again in the bundle, which is compared with the manifest by whoever publishes."""

    def __init__(self, name: str, files: Sequence[BundleFile], places: Mapping[str, Path], *, origin: str) -> None:
        self._name = name
        self._files = files
        self._places = places
        self._origin = origin

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``."""
        async with emptied_on_failure(into):
            folder = await in_thread(lambda stop: self._copy(into / self._name, stop))
        return Fetched(folder, self._origin, None)

    def _copy(self, folder: Path, stop: threading.Event) -> Path:
        folder.mkdir()
        staging = Staging(folder, stop)
        for one in self._files:
            try:
                staging.write(one.path, _chunks(self._places[one.sha256]), executable=one.executable)
            except FileNotFoundError as error:
                raise FilesGoneError(f"{one.path} went away while it was being read") from error
        return folder


def require_manifest(files: Sequence[BundleFile]) -> None:
    """A manifest that could be a bundle's. Names and sizes are checked as the files are copied."""
    if not files:
        raise DocumentError("a version has files", field="files")
    if len(files) > MAX_FILES:
        raise DocumentError(f"more than {MAX_FILES} files", field="files")
    if len({one.path for one in files}) != len(files):
        raise DocumentError("a path occurs twice", field="files")


def same_files(one: Sequence[BundleFile], other: Sequence[BundleFile]) -> bool:
    """Whether two manifests make one bundle: its digest is over path, content and executable bit alone."""
    return set(one) == set(other)


def _chunks(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
