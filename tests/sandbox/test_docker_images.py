"""A start and the image it is made of: known from the start before, and looked for anew where it went away."""

from __future__ import annotations

from dataclasses import replace

import pytest
from skillyard.sandbox.docker import DockerSandbox
from skillyard.sandbox.engine import Engine, ImageGoneError
from skillyard.sandbox.guest_code import Guest
from skillyard.sandbox.images import SKILL_UID, BaseImage
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.skills.permissions import Granted


class _Images:
    def __init__(self, image: BaseImage) -> None:
        self.image = image
        self.asked = 0

    async def python_image(self) -> BaseImage:
        self.asked += 1
        return self.image


async def test_an_image_that_went_away_is_looked_for_anew(
    engine: Engine, image: BaseImage, guest: Guest, spec: SandboxSpec, granted: Granted, instance: str
) -> None:
    """The engine is not asked for the image before every start; a start that finds it gone asks then."""
    images = _Images(replace(image, reference=f"skillyard-test:{instance}"))
    await engine.tag(image.reference, repository="skillyard-test", tag=instance)
    sandbox = DockerSandbox(engine=engine, images=images, guest=guest, uid=SKILL_UID, start_timeout=60.0)
    for _ in range(2):
        await (await sandbox.start(spec, granted)).stop()
    assert images.asked == 1
    await engine.remove_image(f"skillyard-test:{instance}")
    images.image = image
    await (await sandbox.start(spec, granted)).stop()
    assert images.asked == 2


async def test_an_image_that_is_nowhere_fails_the_start(
    engine: Engine, image: BaseImage, guest: Guest, spec: SandboxSpec, granted: Granted
) -> None:
    images = _Images(replace(image, reference="skillyard-test:nowhere"))
    sandbox = DockerSandbox(engine=engine, images=images, guest=guest, uid=SKILL_UID, start_timeout=60.0)
    with pytest.raises(ImageGoneError, match="nowhere"):
        await sandbox.start(spec, granted)
