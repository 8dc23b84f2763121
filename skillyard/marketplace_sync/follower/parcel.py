"""A skill as one file for machines without a network: bundle, locks, the packages that they name, and the report.

A plain tar archive. ``parcel.json`` comes first and says what is in it; ``bundle.tar`` is the deterministic archive of
the bundle; ``wheels/<sha256>/<file name>`` are the wheels, ``sources/<sha256>/<file name>`` the archives of packages
that are built where the parcel is taken in. One with sources has format 2, which older releases do not read; any other
has format 1. The report is there to be read, and proves nothing: whoever takes a parcel in scans for themselves.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from skillyard.errors import InputError
from skillyard.skills.bundle import write_archive
from skillyard.skills.lock import Lock, LockedArtefact
from skillyard.skills.skill import Bundle
from skillyard.skills.tar import StrictTarFile

NAME: Final = "parcel.json"
BUNDLE: Final = "bundle.tar"
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

    @property
    def place(self) -> str:
        """Where it is in the tar archive."""
        return f"wheels/{self.sha256}/{self.filename}"


class Source(BaseModel):
    """An archive of the parcel that a package is built from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    filename: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]{0,245}\.(zip|tgz|tar\.gz|tar\.bz2|tar\.xz)$"),
    ]
    sha256: Sha256

    @property
    def place(self) -> str:
        """Where it is in the tar archive."""
        return f"sources/{self.sha256}/{self.filename}"


class Contents(BaseModel):
    """``parcel.json``. ``locks`` and ``report`` are in the form that the database keeps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1, 2]
    publisher: Slug
    name: Slug
    version: Annotated[str, StringConstraints(max_length=128)]
    origin: Annotated[str, StringConstraints(max_length=2000)]
    bundle: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    locks: tuple[Lock, ...]
    report: str
    wheels: Annotated[tuple[Wheel, ...], Field(max_length=4000)]
    sources: Annotated[tuple[Source, ...], Field(max_length=400)] = ()

    @property
    def packages(self) -> tuple[Wheel | Source, ...]:
        """Everything that is brought along."""
        return (*self.wheels, *self.sources)

    @model_validator(mode="after")
    def _sources_are_of_format_2(self) -> Contents:
        if (self.format == 2) is not bool(self.sources):
            raise ValueError("format 2 has sources, and format 1 none")
        return self


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A parcel on disk: its contents, the bundle's archive, and each package by its SHA-256."""

    contents: Contents
    bundle: Path
    packages: Mapping[str, Path]


def pack(contents: Contents, *, folder: Path, bundle: Bundle, packages: Mapping[str, Path], into: Path) -> None:
    """Write a parcel. ``folder`` is where the bundle is kept; ``packages`` are by their SHA-256. Blocks."""
    plain = into.with_name(f"{into.name}.bundle")
    try:
        with plain.open("wb") as file:
            write_archive(folder, bundle, file)
        described = into.with_name(f"{into.name}.json")
        # What an older release reads has no field that it does not know.
        described.write_bytes(contents.model_dump_json(exclude_defaults=True).encode())
        with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, described, NAME)
            _add(archive, plain, BUNDLE)
            for one in contents.packages:
                _add(archive, packages[one.sha256], one.place)
        described.unlink()
    finally:
        plain.unlink(missing_ok=True)


def unpack(parcel: Path, into: Path) -> Unpacked:
    """Read a parcel below an empty folder, everything counted and every package checked against its hash. Blocks.

    What is unpacked takes no more room than the parcel itself: nothing in it is compressed, and every file has one
    place and is there once. Raises ``InputError`` for what is none.
    """
    room = _Room(parcel.stat().st_size)
    try:
        with StrictTarFile.open(parcel, "r:") as archive:
            contents = _contents(archive)
            named = {one.place: one.sha256 for one in contents.packages}
            bundle, packages, seen = into / BUNDLE, dict[str, Path](), set[str]()
            for member in archive:
                if member.name in seen:
                    raise InputError(f"{member.name[:80]!r} is there twice", field="parcel")
                seen.add(member.name)
                source = _content(archive, member)
                if source is None:
                    raise InputError(f"{member.name[:80]!r} is no file", field="parcel")
                if member.name == BUNDLE:
                    if member.size > _MOST_BUNDLE:
                        raise InputError("its bundle is larger than any may be", field="parcel")
                    room.copy(source, bundle)
                elif member.name in named and named[member.name] not in packages:
                    sha256 = named[member.name]
                    packages[sha256] = into / sha256
                    if room.copy(source, packages[sha256]) != sha256:
                        raise InputError(f"{member.name} is not what its hash says", field="parcel")
                elif member.name != NAME:
                    raise InputError(f"{member.name[:80]!r} has no place in it", field="parcel")
    except (tarfile.TarError, EOFError) as error:
        raise InputError(f"not a parcel: {error}", field="parcel") from error
    if not bundle.is_file() or packages.keys() != set(named.values()):
        raise InputError("not a whole parcel: a file that it names is missing", field="parcel")
    return Unpacked(contents, bundle, packages)


def missing_packages(contents: Contents) -> tuple[str, ...]:
    """Packages of the locks, and of what their builds need, that nothing in the parcel is of."""
    brought = {one.sha256 for one in contents.packages}
    return tuple(
        f"{package.name} {package.version}"
        for lock in contents.locks
        for package in (*lock.packages, *(one for build in lock.builds for one in build.requirements))
        if brought.isdisjoint(artefact.sha256 for artefact in package.artefacts)
    )


def packages_of(artefacts: Mapping[str, LockedArtefact]) -> tuple[tuple[Wheel, ...], tuple[Source, ...]]:
    """Wheels and sources, by their file names."""
    wheels, sources = list[Wheel](), list[Source]()
    for sha256, one in sorted(artefacts.items()):
        if one.filename.endswith(".whl"):
            wheels.append(Wheel(filename=one.filename, sha256=sha256))
        else:
            sources.append(Source(filename=one.filename, sha256=sha256))
    return tuple(wheels), tuple(sources)


class _Room:
    """How much may still be written."""

    def __init__(self, left: int) -> None:
        self._left = left

    def copy(self, source: IO[bytes], into: Path) -> str:
        """The SHA-256 of what was copied."""
        digest = hashlib.sha256()
        with into.open("xb") as target:
            while chunk := source.read(_CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise InputError("it unpacks to more than it is", field="parcel")
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """``None`` for what is no plain file; of a sparse one a few bytes become as many as it likes."""
    return archive.extractfile(member) if member.isreg() and not member.issparse() else None


def _contents(archive: tarfile.TarFile) -> Contents:
    first = archive.next()
    source = None if first is None else _content(archive, first)
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
