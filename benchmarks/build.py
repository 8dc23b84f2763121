"""Images as peers build them: ``docker build``, and gone again."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.docker_cli import docker
from benchmarks.leftovers import labels, prefix

_SECONDS = 300


class Builds:
    """Builds images; each has a name that nobody else uses."""

    def __init__(self) -> None:
        self.images: list[str] = []

    async def image(self, dockerfile: str, context: Mapping[str, Path] | None = None) -> str:
        """Build, with nothing of earlier builds and with the host's network. ``context``: folders and files, by name.

        The label comes right after the first ``FROM``, so that what a build that fails leaves can be found.
        """
        tag = f"skillyard-bench:{secrets.token_hex(6)}"
        marks = "".join(f"LABEL {label}={value}\n" for label, value in labels().items())
        first, _, rest = dockerfile.partition("\n")
        with tempfile.TemporaryDirectory(prefix=prefix()) as folder:
            Path(folder, "Dockerfile").write_text(f"{first}\n{marks}{rest}")
            for name, source in (context or {}).items():
                (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder, name))
            self.images.append(tag)
            options = ("--no-cache", "--force-rm", "--network=host", f"--tag={tag}")
            await docker("build", *options, folder, seconds=_SECONDS)
        return tag

    async def remove(self, image: str) -> None:
        await docker("image", "rm", "--force", image)
        self.images.remove(image)


@asynccontextmanager
async def building() -> AsyncIterator[Builds]:
    builds = Builds()
    try:
        yield builds
    finally:
        for image in [*builds.images]:
            await builds.remove(image)
