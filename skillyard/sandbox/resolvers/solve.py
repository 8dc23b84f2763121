"""Checked requirements in, a solution out: exact versions, who asked for whom, and every file with its hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from skillyard.sandbox.builds.recipe import HOW_TO_ALLOW
from skillyard.sandbox.errors import ResolveError, ResolverUnavailableError
from skillyard.sandbox.resolvers.compile import NO_SOURCES, Question, Sources, UvCompile
from skillyard.sandbox.resolvers.requirements import Pinned, Wanted, read_compiled, write_requirements
from skillyard.sandbox.resolvers.uv_errors import OnlySourceError, failure, says_no_source
from skillyard.skills.errors import LockFormatError
from skillyard.skills.lock import LockedArtefact, LockedPackage, exact_pin
from skillyard.skills.pylock import ListedSource, read_sources, read_wheels

_INPUT = "requirements.in"
_PINS = "pins.in"

_ByVersion = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Solution:
    """``pins`` by name; files by (name, version), source archives for the packages that are taken as source only."""

    pins: tuple[Pinned, ...]
    wheels: Mapping[_ByVersion, tuple[LockedArtefact, ...]]
    sources: Mapping[_ByVersion, ListedSource]


class Solver:
    """Asks uv twice; see ``uv`` for why."""

    def __init__(self, compiler: UvCompile) -> None:
        self._compiler = compiler

    async def solve(self, question: Question, wanted: tuple[Wanted, ...], sources: Sources = NO_SOURCES) -> Solution:
        """Raises ``OnlySourceError`` where wheels are lacking, ``ResolveError``, ``ResolverUnavailableError`` or
        ``DiskFullError``."""
        text = write_requirements(wanted)
        annotated = ("--annotation-style", "split")
        solved = await self._run(question, _INPUT, text, *annotated, sources=sources, wanted=wanted)
        pins = read_compiled(solved, _INPUT)
        if not pins:
            return Solution((), {}, {})
        text = "".join(f"{exact_pin(pin.name, pin.version)}\n" for pin in pins)
        hashed = ("--no-deps", "--generate-hashes", "--format", "pylock.toml")
        listed = await self._run(question, _PINS, text, *hashed, sources=sources, wanted=wanted)
        try:
            wheels = read_wheels(listed, file="uv's pylock.toml")
            archives = read_sources(listed, file="uv's pylock.toml")
        except LockFormatError as error:
            raise ResolverUnavailableError(f"uv answered with something else than a lock: {error}") from error
        if {(pin.name, pin.version) for pin in pins} != set(wheels):
            raise ResolverUnavailableError("uv's two answers differ; the index may have changed meanwhile: try again")
        built = {key: archive for key, archive in archives.items() if key[0] in sources.names}
        return Solution(tuple(sorted(pins, key=lambda pin: pin.name)), wheels, built)

    async def refuse(self, error: OnlySourceError, question: Question, wanted: tuple[Wanted, ...]) -> NoReturn:
        """Raise with the reason why source is not built, where there is source; else the error as it is."""
        name = error.names[0]
        text = write_requirements(wanted)
        probed = await self._compiler.run(question, "probe.in", text, sources=Sources(names=(name,)))
        if says_no_source(probed.stderr, name):
            raise error
        asker = f"{' and '.join(error.askers)} asks for it" if error.askers else "the skill itself asks for it"
        message = f"{error.message} {name} has a source archive, and {asker}; {HOW_TO_ALLOW}."
        raise ResolveError(message, file=error.file, line=error.line, field=error.field) from error

    async def _run(
        self, question: Question, file: str, text: str, *extra: str, sources: Sources, wanted: tuple[Wanted, ...]
    ) -> str:
        ended = await self._compiler.run(question, file, text, *extra, sources=sources)
        if ended.exit_code != 0:
            raise failure(ended.stderr, ended.exit_code, question.target, wanted)
        return ended.stdout


def locked_packages(solution: Solution, wanted: tuple[Wanted, ...]) -> tuple[LockedPackage, ...]:
    """The packages of a solution with the files that a lock binds."""
    return tuple(
        LockedPackage(
            name=pin.name,
            version=pin.version,
            artefacts=_admitted(pin, _files(pin, solution), wanted),
            required_by=pin.required_by,
            direct=pin.direct,
        )
        for pin in solution.pins
    )


def _files(pin: Pinned, solution: Solution) -> tuple[LockedArtefact, ...]:
    source = solution.sources.get((pin.name, pin.version))
    return solution.wheels[pin.name, pin.version] if source is None else (source.artefact,)


def _admitted(
    pin: Pinned, artefacts: tuple[LockedArtefact, ...], wanted: tuple[Wanted, ...]
) -> tuple[LockedArtefact, ...]:
    """The files that the skill's own ``--hash`` options admit, where it gives any."""
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
