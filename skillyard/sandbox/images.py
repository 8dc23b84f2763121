"""The base image that skills' containers and our chores run in: pulled, or built from Debian packages.

An image gets its name (``skillyard/python:…``) only after it was tested, and the name carries a hash of the recipe:
whoever finds the name has a tested image of just this recipe, and a changed recipe makes a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import platform
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from skillyard.sandbox.chores import chore_labels
from skillyard.sandbox.debian import DEBIAN_PYTHON, DebianRecipe, build_archive
from skillyard.sandbox.engine import Engine, EngineError
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.sandbox.errors import ImageError
from skillyard.sandbox.folders import Place, Staging, disk_full_named, locked, write_synced
from skillyard.settings import Settings
from skillyard.skills.lock import Target

SKILL_UID = 10001
"""User and group id that skills run as; it owns nothing in the image."""

REPOSITORY = "skillyard/python"
PYTHON_VERSION = "3.11"
_PULL_TIMEOUT = {"auto": 20.0, "pull": 600.0}
_PULL_CHANGES = "1"

# Prints one JSON document; anything it cannot do ends it with a traceback instead. It imports what packages lean on
# and what a minimal root file system lacks first: compiled modules, the C++ library, time zones, certificates.
_TEST = """
import bz2, ctypes, decimal, hashlib, json, lzma, multiprocessing, sqlite3, ssl, sys, zlib, zoneinfo
ctypes.CDLL("libstdc++.so.6")
zoneinfo.ZoneInfo("Europe/Berlin")
ssl.create_default_context()
sqlite3.connect(":memory:").execute("select 1").fetchone()
assert open("/etc/ssl/certs/ca-certificates.crt", "rb").read(1)
assert open("/etc/passwd", "rb").read(1) and open("/etc/nsswitch.conf", "rb").read(1)
open("/bin/sh", "rb").close()
print(json.dumps([sys.executable, list(sys.version_info[:3]), sys.implementation.cache_tag]))
"""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A tested image. ``python`` is the interpreter's path inside, ``version`` its full version (``3.11.2``)."""

    reference: str
    python: str
    version: str


def base_target() -> Target:
    """What packages are resolved for: the base image's interpreter, on this machine's architecture."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return Target(python=PYTHON_VERSION, platform=f"{machine}-manylinux_2_28")


class BaseImages:
    """Finds, pulls or builds the base image. Concurrent callers, also in other processes, do it once."""

    def __init__(self, *, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._staging = Staging(settings.home / "images" / "staging")
        self._facts = settings.home / "images"

    async def python_image(self, on_progress: ProgressSink = silent) -> BaseImage:
        """Raises ``ImageError`` (says why each way failed) or ``EngineUnavailableError``."""
        if (found := await self._existing()) is not None:
            return found
        async with locked(self._facts / "python.lock"):
            return await self._existing() or await self._obtain(on_progress)

    async def present(self) -> str | None:
        """The image that would be used, if the engine has it already. Makes and tests nothing."""
        for tag in self._tags().values():
            if await self._engine.image(f"{REPOSITORY}:{tag}") is not None:
                return f"{REPOSITORY}:{tag}"
        return None

    def references(self) -> frozenset[str]:
        """The images that the settings can lead to, whether or not they are there."""
        return frozenset(f"{REPOSITORY}:{tag}" for tag in self._tags().values())

    def knows(self, image_id: str) -> bool:
        """Whether this home made or tested the image. Blocks."""
        return self._facts_file(image_id).is_file()

    def forget(self, image_id: str) -> None:
        """Drop what testing an image found. Blocks."""
        self._facts_file(image_id).unlink(missing_ok=True)

    async def sweep(self) -> int:
        """Remove what builders that died have left on disk; how many there were."""
        return await asyncio.to_thread(self._staging.sweep)

    @property
    def staging_root(self) -> Path:
        return self._staging.root

    def _tags(self) -> dict[str, str]:
        """Way of making → tag, in the order of preference that the settings give."""
        pulled = hashlib.sha256(f"{_PULL_CHANGES}\n{self._settings.python_base_image}\n{_TEST}".encode()).hexdigest()
        debian = hashlib.sha256(f"{self._recipe().digest}\n{_TEST}".encode()).hexdigest()
        tags = {
            "pull": f"{PYTHON_VERSION}-pulled-{pulled[:12]}",
            "debian": f"{PYTHON_VERSION}-debian-{debian[:12]}",
        }
        source = self._settings.base_image_source
        return tags if source == "auto" else {source: tags[source]}

    def _recipe(self) -> DebianRecipe:
        return DebianRecipe(suite=self._settings.debian_suite, skill_uid=SKILL_UID)

    async def _existing(self) -> BaseImage | None:
        for tag in self._tags().values():
            reference = f"{REPOSITORY}:{tag}"
            if (info := await self._engine.image(reference)) is not None:
                known = await asyncio.to_thread(_read_facts, self._facts_file(info.id), reference)
                return known or await self._tested_again(reference)
        return None

    async def _tested_again(self, reference: str) -> BaseImage:
        """An image of another Skillyard home: it was tested there, but what was found is not written down here."""
        async with self._staging.place() as place:
            return await self._test(reference, reference, place)

    async def _obtain(self, on_progress: ProgressSink) -> BaseImage:
        failures: list[str] = []
        for way, tag in self._tags().items():
            try:
                return await self._make(way, tag, on_progress)
            except (ImageError, EngineError) as error:
                failures.append(f"{way}: {error}")
        raise ImageError("there is no base image to run skills in. " + " ".join(failures))

    async def _make(self, way: str, tag: str, on_progress: ProgressSink) -> BaseImage:
        async with self._staging.place() as place:
            if way == "pull":
                on_progress(Progress("pulling the base image", 0, None))
                return await self._adopt(await self._pull(), tag, place)
            on_progress(Progress("building the base image from Debian packages", 0, None))
            archive = await build_archive(
                self._recipe(), place, engine=self._engine, environment=self._settings.tool_environment
            )
            async with self._candidate(archive) as candidate:
                return await self._adopt(candidate, tag, place)

    async def _pull(self) -> str:
        reference = self._settings.python_base_image
        limit = _PULL_TIMEOUT[self._settings.base_image_source]
        try:
            async with asyncio.timeout(limit):
                await self._engine.pull(reference)
        except TimeoutError as error:
            raise ImageError(f"pulling {reference} took longer than {limit:g} s.") from error
        return reference

    @contextlib.asynccontextmanager
    async def _candidate(self, archive: Path) -> AsyncIterator[str]:
        """The archive as an image under a name that nobody else uses, which goes again whatever happens."""
        tag = f"candidate-{uuid.uuid4().hex}"
        await self._engine.import_image(archive, repository=REPOSITORY, tag=tag, changes=self._recipe().changes)
        try:
            yield f"{REPOSITORY}:{tag}"
        finally:
            await asyncio.shield(self._engine.remove_image(f"{REPOSITORY}:{tag}"))

    async def _adopt(self, candidate: str, tag: str, place: Place) -> BaseImage:
        """Test an image and give it its name."""
        image = await self._test(candidate, f"{REPOSITORY}:{tag}", place)
        await self._engine.tag(candidate, repository=REPOSITORY, tag=tag)
        return image

    async def _test(self, candidate: str, reference: str, place: Place) -> BaseImage:
        python = DEBIAN_PYTHON if "-debian-" in reference else "python3"
        finished = await self._engine.run_once(
            image=candidate,
            command=[python, "-I", "-B", "-c", _TEST],
            labels=chore_labels("image-test", place),
            user=f"{SKILL_UID}:{SKILL_UID}",
        )
        if finished.exit_code != 0:
            said = finished.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise ImageError(f"{candidate} is no usable base image: {said or f'exit code {finished.exit_code}'}.")
        try:
            executable, version, _tag = orjson.loads(finished.stdout)
        except ValueError as error:
            raise ImageError(f"{candidate} is no usable base image: its Python printed something else.") from error
        if version[:2] != [int(part) for part in PYTHON_VERSION.split(".")]:
            raise ImageError(f"{candidate} has Python {version[0]}.{version[1]}, not {PYTHON_VERSION}.")
        image = BaseImage(reference, str(executable), ".".join(str(part) for part in version))
        info = await self._engine.image(candidate)
        if info is None:
            raise ImageError(f"{candidate} vanished while it was tested.")
        await asyncio.to_thread(_write_facts, self._facts_file(info.id), image, place)
        return image

    def _facts_file(self, image_id: str) -> Path:
        return self._facts / f"{image_id.removeprefix('sha256:')}.json"


def _read_facts(file: Path, reference: str) -> BaseImage | None:
    """What testing an image once found; ``None`` where it was not tested by this home, or the file is damaged."""
    try:
        facts = orjson.loads(file.read_bytes())
        return BaseImage(reference, str(facts["python"]), str(facts["version"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _write_facts(file: Path, image: BaseImage, place: Place) -> None:
    with disk_full_named(file.parent):
        beside = place.path / "facts.json"
        write_synced(beside, orjson.dumps({"python": image.python, "version": image.version}))
        beside.replace(file)
