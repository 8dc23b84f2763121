"""The shelf of base images: ours, by their names on the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from skillyard.sandbox.engine import Engine, EngineError, StoredImage
from skillyard.sandbox.images import REPOSITORY, BaseImages
from skillyard.sandbox.shelf import LookAgain, References, Removal, Scale

_CANDIDATE = f"{REPOSITORY}:candidate-"
_CANDIDATE_SECONDS = 3600.0
"""A candidate that is being tested is minutes old; an older one is of a builder that died."""


class ImageShelf:
    """Images that this home made or tested, and candidates that nobody tests any more.

    Other homes may share the engine: what only they know is theirs to collect.
    """

    kind = "images"

    def __init__(self, *, engine: Engine, images: BaseImages) -> None:
        self._engine = engine
        self._images = images

    async def names(self) -> frozenset[str]:
        found = await self._engine.images(REPOSITORY)
        return await asyncio.to_thread(lambda: frozenset(name for name, one in found.items() if self._ours(name, one)))

    async def needed(self, references: References) -> frozenset[str]:
        """What the settings name, and what any container on the engine is made of."""
        del references
        found = await self._engine.images(REPOSITORY)
        return self._images.references() | {name for name, one in found.items() if one.containers != 0}

    async def weigh(self, names: Collection[str], scale: Scale) -> int | None:
        del scale
        return _together([_freed(one, names) for one in self._chosen(await self._engine.images(REPOSITORY), names)])

    async def remove(self, names: Collection[str], look_again: LookAgain) -> Removal:
        going = sorted(frozenset(names) - await self.needed(await look_again()))
        removed, freed, failures = [], [], []
        for name in going:
            found = await self._engine.images(REPOSITORY)
            if name not in found:
                continue
            try:
                # Without force: the engine refuses where a container came between.
                await self._engine.remove_image(name)
            except EngineError as error:
                failures.append(f"{name}: {error}")
                continue
            removed.append(name)
            freed.append(_freed(found[name], [name]))
            if found[name].tags == (name,):
                await asyncio.to_thread(self._images.forget, found[name].id)
        return Removal(tuple(removed), _together(freed), tuple(failures))

    def _ours(self, name: str, image: StoredImage) -> bool:
        if name.startswith(_CANDIDATE):
            return time.time() - image.created > _CANDIDATE_SECONDS
        return self._images.knows(image.id)

    @staticmethod
    def _chosen(found: Mapping[str, StoredImage], names: Collection[str]) -> list[StoredImage]:
        return list({one.id: one for name, one in found.items() if name in names}.values())


def _freed(image: StoredImage, names: Collection[str]) -> int | None:
    """What goes with these names of an image: nothing while it has another."""
    return image.own_bytes if set(image.tags) <= set(names) else 0


def _together(sizes: list[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
