"""Python packages, resolved by ``uv pip compile`` on the host without building or running anything.

Two runs: the first solves and says who asked for whom (annotations of the requirements format), the second takes the
first's exact versions and lists every wheel with its hash (``pylock.toml``, which has no dependency graph). Pinned
input without dependencies leaves the second run nothing to decide, so both agree by construction; that is checked.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from skillyard.sandbox.errors import ResolveError, ResolverUnavailableError
from skillyard.sandbox.index import PackageIndex, uv_program
from skillyard.sandbox.resolvers.requirements import Pinned, Wanted, check_declared, read_compiled, write_requirements
from skillyard.sandbox.resolvers.uv_errors import failure
from skillyard.sandbox.tools import Ended, ToolError, run_tool
from skillyard.settings import Settings
from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.pylock import read_wheels
from skillyard.skills.skill import DeclaredPackage, Ecosystem

_INPUT = "requirements.in"
_PINS = "pins.in"


class UvResolver:
    """Implements ``Resolver`` for PyPI."""

    def __init__(self, *, index: PackageIndex, cache: Path) -> None:
        self._index = index
        self._cache = cache

    @property
    def ecosystem(self) -> Ecosystem:
        return Ecosystem.PYPI

    async def resolve(self, declared: tuple[DeclaredPackage, ...], target: Target) -> Lock:
        """See ``Resolver.resolve``. Markers are evaluated for ``target``, not for this machine."""
        wanted = check_declared(declared)
        if not wanted:
            return Lock(Ecosystem.PYPI, target, ())
        newest = self._newest()
        # The folder is new and private, so that no configuration lying about in the working directory is read.
        with tempfile.TemporaryDirectory(prefix="skillyard-resolve-") as name:
            file = Path(name) / _INPUT
            file.write_text(write_requirements(wanted), encoding="utf-8")
            annotated = ("--annotation-style", "split")
            solved = await self._compile(file, *annotated, target=target, newest=newest, wanted=wanted)
            pins = read_compiled(solved.stdout, _INPUT)
            if not pins:
                return Lock(Ecosystem.PYPI, target, ())
            file = Path(name) / _PINS
            file.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in pins), encoding="utf-8")
            hashed = ("--no-deps", "--generate-hashes", "--format", "pylock.toml")
            listed = await self._compile(file, *hashed, target=target, newest=newest, wanted=wanted)
        return Lock(Ecosystem.PYPI, target, _packages(pins, _wheels(listed.stdout), wanted))

    def _newest(self) -> str | None:
        """The moment after which releases are ignored; the same for both runs."""
        if not self._index.minimum_release_age_days:
            return None
        age = dt.timedelta(days=self._index.minimum_release_age_days)
        return (dt.datetime.now(dt.UTC) - age).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def _compile(
        self,
        requirements: Path,
        *extra: str,
        target: Target,
        newest: str | None,
        wanted: tuple[Wanted, ...],
    ) -> Ended:
        command = [
            *(uv_program(), "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-sources"),
            *("--only-binary", ":all:", "--python", sys.executable),
            *("--python-version", target.python, "--python-platform", target.platform),
            *(("--exclude-newer", newest) if newest else ()),
            *(*extra, requirements.name),
        ]
        environment = self._index.uv_environment(self._cache)
        try:
            ended = await run_tool(
                command, environment=environment, cwd=requirements.parent, timeout=self._index.timeout
            )
        except ToolError as error:
            raise ResolverUnavailableError(f"the packages could not be resolved: {error}") from error
        if ended.exit_code != 0:
            raise failure(self._index.scrub(ended.stderr), ended.exit_code, target, wanted)
        return ended


def create_resolver(settings: Settings) -> UvResolver:
    """The entry point ``pypi`` of the group ``skillyard.resolvers``."""
    return UvResolver(index=PackageIndex.from_settings(settings), cache=settings.home / "cache" / "uv")


def _wheels(text: str) -> Mapping[tuple[str, str], tuple[LockedArtefact, ...]]:
    try:
        return read_wheels(text, file="uv's pylock.toml")
    except LockFormatError as error:
        raise ResolverUnavailableError(f"uv answered with something else than a lock: {error}") from error


def _packages(
    pins: tuple[Pinned, ...],
    wheels: Mapping[tuple[str, str], tuple[LockedArtefact, ...]],
    wanted: tuple[Wanted, ...],
) -> tuple[LockedPackage, ...]:
    if {(pin.name, pin.version) for pin in pins} != set(wheels):
        raise ResolverUnavailableError("uv's two answers differ; the index may have changed meanwhile: try again")
    return tuple(
        LockedPackage(
            name=pin.name,
            version=pin.version,
            artefacts=_admitted(pin, wheels[pin.name, pin.version], wanted),
            required_by=pin.required_by,
            direct=pin.direct,
        )
        for pin in sorted(pins, key=lambda pin: pin.name)
    )


def _admitted(
    pin: Pinned, artefacts: tuple[LockedArtefact, ...], wanted: tuple[Wanted, ...]
) -> tuple[LockedArtefact, ...]:
    """The wheels that the skill's own ``--hash`` options admit, where it gives any."""
    if not artefacts:
        raise ResolveError(f"{pin.name} {pin.version} has no wheel for the target")
    for want in wanted:
        if want.declared.name == pin.name and want.hashes:
            artefacts = tuple(found for found in artefacts if found.sha256 in want.hashes)
            if not artefacts:
                origin = want.declared.origin
                message = f"no wheel of {pin.name} {pin.version} matches the hashes given for it"
                raise ResolveError(message, file=origin.file, line=origin.line, field=origin.field)
    return artefacts
