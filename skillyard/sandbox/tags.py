"""Which of a package's wheels fits a target best (the platform compatibility tags specification, PEP 600)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from skillyard.sandbox.errors import WheelError
from skillyard.skills.lock import LockedArtefact, LockedPackage, Target

_PLATFORM = re.compile(r"^(x86_64|aarch64)-manylinux_2_(\d+)$")
_OLDEST = {"x86_64": 5, "aarch64": 17}
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


def target_tags(target: Target) -> tuple[Tag, ...]:
    """Every tag the target accepts, best first. Raises ``WheelError`` for a target we have no base image for."""
    platforms = list(_platforms(target.platform))
    try:
        major, minor = (int(part) for part in target.python.split(".")[:2])
    except ValueError as error:
        raise WheelError(f"{target.python} is no Python version such as 3.11") from error
    version = (major, minor)
    interpreter = f"cp{major}{minor}"
    return (
        *cpython_tags(python_version=version, platforms=platforms),
        *compatible_tags(python_version=version, interpreter=interpreter, platforms=platforms),
    )


def cache_tag(target: Target) -> str:
    """The interpreter part of an environment's key, as in ``__pycache__`` names (PEP 3147): ``cpython-311``."""
    return "cpython-" + "".join(target.python.split(".")[:2])


def best_wheel(package: LockedPackage, target: Target) -> LockedArtefact:
    """The wheel that an installer would take: best tag first, then the highest build number, then the file name."""
    rank = {tag: place for place, tag in enumerate(target_tags(target))}
    fitting: list[tuple[int, tuple[int, str], str, LockedArtefact]] = []
    for artefact in package.artefacts:
        try:
            _, _, build, tags = parse_wheel_filename(artefact.filename)
        except InvalidWheelFilename as error:
            raise WheelError(f"{package.name} {package.version}: {artefact.filename} is no wheel") from error
        places = [rank[tag] for tag in tags if tag in rank]
        if places:
            # A higher build number wins (the wheel format specification), so its sign is turned for sorting.
            number = (-build[0], build[1]) if build else (0, "")
            fitting.append((min(places), number, artefact.filename, artefact))
    if not fitting:
        raise WheelError(
            f"{package.name} {package.version} has no wheel for Python {target.python} on {target.platform}"
        )
    return min(fitting, key=lambda found: found[:3])[3]


def _platforms(platform: str) -> Iterator[str]:
    found = _PLATFORM.match(platform)
    if found is None:
        raise WheelError(f"no base image runs {platform}; there are x86_64-manylinux_2_N and aarch64-manylinux_2_N")
    machine, newest = found[1], int(found[2])
    for minor in range(newest, _OLDEST[machine] - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if minor in _LEGACY:
            yield f"{_LEGACY[minor]}_{machine}"
    yield f"linux_{machine}"
