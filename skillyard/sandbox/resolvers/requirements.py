"""Requirement lines: what a skill may ask for, the file uv gets, and what uv's answer says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from skillyard.sandbox.errors import ResolverUnavailableError
from skillyard.skills.errors import RequirementError
from skillyard.skills.skill import DeclaredPackage, Ecosystem

_HASH = re.compile(r"\s--hash[= ]sha256:([0-9a-f]{64})(?=\s|$)")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)$")
_VIA = re.compile(r"^\s+#\s+(?:via\s+)?(\S.*)$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A declared package after checking. ``hashes`` are the sha256 it was given with ``--hash``, if any."""

    declared: DeclaredPackage
    requirement: Requirement
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pinned:
    """One package of uv's answer. ``direct``: the skill asks for it; ``required_by``: packages that do, sorted."""

    name: str
    version: str
    required_by: tuple[str, ...]
    direct: bool


def check_declared(declared: tuple[DeclaredPackage, ...]) -> tuple[Wanted, ...]:
    """Refuse what would reach outside the index: addresses, files, version control, options (``RequirementError``)."""
    return tuple(_check(package) for package in declared)


def write_requirements(wanted: tuple[Wanted, ...]) -> str:
    """A requirements file in our own spelling, so that nothing of the declared text reaches uv unparsed."""
    return "".join(sorted({f"{want.requirement}\n" for want in wanted}))


def read_compiled(text: str, requirements: str) -> tuple[Pinned, ...]:
    """uv's requirements output with split annotations (``# via`` and one name a line), in its order.

    ``requirements`` is the name of the input file, which stands for the skill itself. Raises
    ``ResolverUnavailableError`` for anything else, because a line that is not understood could hide a package.
    """
    pins: list[Pinned] = []
    current: tuple[str, str] | None = None
    via: set[str] = set()
    for line in [*text.splitlines(), ""]:
        if current and (found := _VIA.match(line)):
            via.add(found[1])
        elif line.strip() in ("", "# via") or line.startswith("#"):
            continue
        else:
            pins += _pinned(current, via, requirements)
            current, via = _pin(line), set()
    pins += _pinned(current, via, requirements)
    names = {pin.name for pin in pins}
    for pin in pins:
        if strangers := set(pin.required_by) - names:
            raise ResolverUnavailableError(f"uv says that {min(strangers)} asks for {pin.name}, but does not list it")
    return tuple(pins)


def _pin(line: str) -> tuple[str, str]:
    found = _PIN.match(line)
    if found is None:
        raise ResolverUnavailableError(f"uv answered with a line that is not understood: {line[:200]}")
    return canonicalize_name(found[1]), found[2]


def _pinned(current: tuple[str, str] | None, via: set[str], requirements: str) -> Iterator[Pinned]:
    if current is None:
        return
    name, version = current
    own = f"-r {requirements}"
    asking = {canonicalize_name(entry) for entry in via - {own, "via"}} - {name}
    yield Pinned(name, version, tuple(sorted(asking)), own in via)


def _check(package: DeclaredPackage) -> Wanted:
    if package.ecosystem is not Ecosystem.PYPI:
        raise _refused(package, f"{package.name} is not a Python package")
    hashes = frozenset(_HASH.findall(package.requirement))
    text = _HASH.sub("", package.requirement).strip()
    if "--" in text or text.startswith("-") or "\n" in text or "\r" in text:
        raise _refused(package, f"options are not allowed in a requirement, but --hash=sha256:…: {text[:200]!r}")
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _refused(package, f"{text[:200]!r} is no requirement (PEP 508)") from error
    if requirement.url is not None:
        raise _refused(package, f"{requirement.name} names an address; only packages of the index are allowed")
    if canonicalize_name(requirement.name) != canonicalize_name(package.name):
        raise _refused(package, f"{text[:200]!r} does not ask for {package.name}")
    return Wanted(package, requirement, hashes)


def _refused(package: DeclaredPackage, message: str) -> RequirementError:
    origin = package.origin
    return RequirementError(message, file=origin.file, line=origin.line, field=origin.field)
