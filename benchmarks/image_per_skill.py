"""A skill as an image of its own: a Dockerfile that installs its packages, and ``docker run``.

Packages come from the same index on loopback that ours uses, which no network or cache mount is faster than. pip and
uv are in the image that the Dockerfiles begin with, and what is measured begins after that.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uv
from skillyard.sandbox.images import BaseImage

from benchmarks.build import Builds, building
from benchmarks.docker_cli import docker
from benchmarks.leftovers import labels
from benchmarks.peers import CALL
from benchmarks.provision import provisions
from benchmarks.skills import SkillText

Installer = Literal["pip", "uv"]

_ADOPT = """
import pathlib, sysconfig
pathlib.Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").unlink(missing_ok=True)
"""


@dataclass(frozen=True, slots=True)
class ImagePerSkill:
    """``base`` has the installers; images are built on top of it."""

    builds: Builds
    base: str
    python: str
    index: str

    async def build(self, text: SkillText, skill: Path, installer: Installer) -> str:
        """The skill's image. Nothing of an earlier build is used."""
        command = {
            "pip": [self.python, "-m", "pip", "install", "--no-cache-dir", "--quiet", "--index-url", self.index],
            "uv": ["/tools/uv", "pip", "install", "--system", "--no-cache", "--quiet", "--default-index", self.index],
        }[installer]
        install = json.dumps([*command, *text.packages.split()])
        return await self.builds.image(f"FROM {self.base}\nRUN {install}\nCOPY skill /skill\n", {"skill": skill})

    async def call(self, image: str, text: SkillText) -> None:
        mark = (f"--label={name}={value}" for name, value in labels().items())
        options = ("--rm", "--interactive", "--network=none", *mark, image, self.python, "-I", "-c", CALL)
        answer = await docker("run", *options, stdin=text.input)
        if json.loads(answer) != json.loads(text.answer):
            raise RuntimeError(f"the image of {text.name} answered {answer!r}")

    async def size(self, image: str) -> int:
        """Bytes that the image adds to the base."""
        sizes = [int(await docker("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, self.base)]
        return sizes[0] - sizes[1]


@asynccontextmanager
async def open_image_per_skill(image: BaseImage, index: str) -> AsyncIterator[ImagePerSkill]:
    """All of its images are gone at the end."""
    dockerfile = (
        f"FROM {image.reference}\n"
        "ENV PYTHONPATH=/tools PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1\n"
        "COPY pip /tools/pip\n"
        "COPY uv /tools\n"
        f"RUN {json.dumps([image.python, '-c', _ADOPT])}\n"
    )
    async with building() as builds:
        tools = {"pip": provisions().packages / "pip", "uv": Path(str(uv.find_uv_bin()))}
        base = await builds.image(dockerfile, tools)
        yield ImagePerSkill(builds, base, image.python, index)
