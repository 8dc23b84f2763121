"""A skill on this machine as the archive that is sent to a server."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from skillyard.cli.exit_codes import UsageProblemError
from skillyard.skills.bundle import make_bundle, open_file

MAX_ARCHIVE_BYTES = 32 * 1024 * 1024


@contextmanager
def packed(spec: str) -> Iterator[tuple[IO[bytes], str]]:
    """An archive to read and its name: the file itself, or the bundle of a folder as a tar.

    Raises ``UsageProblemError`` for what is neither, and what ``make_bundle`` raises: a folder that no server would
    take is refused here, with the file's name. Nothing is left on disk.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        with tempfile.TemporaryFile() as archive:
            _pack(path.resolve(), archive)
            archive.seek(0)
            yield archive, f"{path.resolve().name or 'skill'}.tar"
    elif path.is_file():
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise UsageProblemError(f"is larger than {MAX_ARCHIVE_BYTES // 2**20} MiB", file=spec, field="SKILL")
        with path.open("rb") as archive:
            yield archive, path.name
    else:
        raise UsageProblemError(f"{spec!r} is neither a folder, an archive nor a Git address", field="SKILL")


def _pack(folder: Path, target: IO[bytes]) -> None:
    """Exactly the bundle's files below a folder of the skill's name; no owner and no time."""
    bundle = make_bundle(folder)
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in bundle.files:
            member = tarfile.TarInfo(f"{folder.name or 'skill'}/{file.path}")
            member.size = file.size
            member.mode = 0o755 if file.executable else 0o644
            with open_file(folder, file.path) as (content, _info):
                archive.addfile(member, content)
