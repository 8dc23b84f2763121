"""A skill as one file for machines without a network: bundle, locks, the wheels that they name, and the report.

A plain tar archive. ``parcel.json`` comes first and says what is in it; ``bundle.tar`` is the deterministic archive of
the bundle; ``wheels/<sha256>/<file name>`` are the wheels. The report is there to be read, and proves nothing: whoever
takes a parcel in scans for themselves.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from skillyard.errors import InputError
from skillyard.skills.bundle import write_archive
from skillyard.skills.lock import Lock, LockedArtefact
from skillyard.skills.skill import Bundle

FORMAT: Final = 1
NAME: Final = "parcel.json"
BUNDLE: Final = "bundle.tar"
MOST_BYTES: Final = 4 * 1024**3
_MOST_NAME_BYTES: Final = 16 * 1024**2
_MOST_BUNDLE: Final = 32 * 1024**2
_CHUNK: Final = 1024 * 1024

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


class Wheel(BaseModel):
    """A wheel of the parcel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.whl$")]
    sha256: Sha256


class Contents(BaseModel):
    """``parcel.json``. ``locks`` and ``report`` are in the form that the database keeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    publisher: Slug
    name: Slug
    version: Annotated[str, StringConstraints(max_length=128)]
    origin: Annotated[str, StringConstraints(max_length=2000)]
    bundle: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    locks: tuple[Lock, ...]
    report: str
    wheels: Annotated[tuple[Wheel, ...], Field(max_length=4000)]


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A parcel on disk: its contents, the bundle's archive, and each wheel by its SHA-256."""

    contents: Contents
    bundle: Path
    wheels: Mapping[str, Path]


def pack(contents: Contents, *, folder: Path, bundle: Bundle, wheels: Mapping[str, Path], into: Path) -> None:
    """Write a parcel. ``folder`` is where the bundle is kept. Blocks."""
    plain = into.with_name(f"{into.name}.bundle")
    try:
        with plain.open("wb") as file:
            write_archive(folder, bundle, file)
        described = into.with_name(f"{into.name}.json")
        described.write_bytes(contents.model_dump_json().encode())
        with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, described, NAME)
            _add(archive, plain, BUNDLE)
            for wheel in contents.wheels:
                _add(archive, wheels[wheel.sha256], f"wheels/{wheel.sha256}/{wheel.filename}")
        described.unlink()
    finally:
        plain.unlink(missing_ok=True)


def unpack(parcel: Path, into: Path) -> Unpacked:
    """Read a parcel below an empty folder, everything counted and every wheel checked against its hash. Blocks.

    Raises ``InputError`` for what is none.
    """
    try:
        with tarfile.open(parcel, "r:") as archive:
            contents = _contents(archive)
            named = {f"wheels/{one.sha256}/{one.filename}": one.sha256 for one in contents.wheels}
            bundle, wheels = into / BUNDLE, dict[str, Path]()
            for member in archive:
                source = archive.extractfile(member) if member.isreg() else None
                if source is None:
                    raise InputError(f"{member.name[:80]!r} is no file", field="parcel")
                if member.name == BUNDLE:
                    _copy(source, bundle, most=_MOST_BUNDLE)
                elif member.name in named and named[member.name] not in wheels:
                    sha256 = named[member.name]
                    wheels[sha256] = into / sha256
                    if _copy(source, wheels[sha256], most=MOST_BYTES) != sha256:
                        raise InputError(f"{member.name} is not what its hash says", field="parcel")
                elif member.name != NAME:
                    raise InputError(f"{member.name[:80]!r} has no place in it", field="parcel")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"not a parcel: {error}", field="parcel") from error
    if not bundle.is_file() or wheels.keys() != set(named.values()):
        raise InputError("not a whole parcel: a file that it names is missing", field="parcel")
    return Unpacked(contents, bundle, wheels)


def missing_wheels(contents: Contents) -> tuple[str, ...]:
    """Packages of the locks that no wheel of the parcel is of."""
    brought = {wheel.sha256 for wheel in contents.wheels}
    return tuple(
        f"{package.name} {package.version}"
        for lock in contents.locks
        for package in lock.packages
        if brought.isdisjoint(artefact.sha256 for artefact in package.artefacts)
    )


def wheels_of(artefacts: Mapping[str, LockedArtefact]) -> tuple[Wheel, ...]:
    return tuple(Wheel(filename=one.filename, sha256=sha256) for sha256, one in sorted(artefacts.items()))


def _contents(archive: tarfile.TarFile) -> Contents:
    first = archive.next()
    source = archive.extractfile(first) if first is not None and first.isreg() else None
    if first is None or source is None or first.name != NAME or first.size > _MOST_NAME_BYTES:
        raise InputError(f"not a parcel: it does not begin with {NAME}", field="parcel")
    try:
        return Contents.model_validate_json(source.read(_MOST_NAME_BYTES))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in found["loc"])
        raise InputError(f"{NAME}: {place}: {found['msg']}", field="parcel") from error


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    with path.open("rb") as file:
        archive.addfile(member, file)


def _copy(source: IO[bytes], into: Path, *, most: int) -> str:
    digest, size = hashlib.sha256(), 0
    with into.open("xb") as target:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise InputError("larger than anything that belongs in a parcel", field="parcel")
            digest.update(chunk)
            target.write(chunk)
    return digest.hexdigest()
