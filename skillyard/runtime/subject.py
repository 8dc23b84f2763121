"""What ``scan PATH`` is given, made into something that can be scanned, whatever it is.

A skill, a folder or an archive without one, a single file, a list of packages: each becomes files in a folder, a
``Skill`` (of facts found by reading; a plain one where there is no ``SKILL.md``, or none that parses) and locks. What
could not be had is evidence: it makes the verdict INDETERMINATE, and does not keep the rest from being looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from skillyard import __version__
from skillyard.errors import SkillyardError
from skillyard.governance.report import Evidence, EvidenceState
from skillyard.ids import BundleDigest
from skillyard.runtime.instance import take_lease
from skillyard.runtime.stages import staged
from skillyard.skills.bundle import MAX_FILE_BYTES, make_bundle
from skillyard.skills.declared_files import packages_in_files, read_text, requirements_txt
from skillyard.skills.errors import BundleTooLargeError, SkillError, SourceError, SourceSpecError
from skillyard.skills.frontmatter import FILE
from skillyard.skills.lock import Lock, Target
from skillyard.skills.package_lists import is_closure, lock_of_package_lock, lock_of_pylock, pinned
from skillyard.skills.parse import parse_skill
from skillyard.skills.permissions import Requested
from skillyard.skills.skill import Bundle, DeclaredPackage, ParseMode, Skill, SkillKind
from skillyard.skills.sources.archive import ArchiveSource
from skillyard.skills.sources.folder import copy_bundle
from skillyard.skills.sources.spec import git_address, source_for
from skillyard.skills.sources.staging import has_manifest, in_thread, only_skill
from skillyard.skills.tolerance import Tolerance

Resolve = Callable[[Skill], Awaitable[tuple[Lock, ...]]]

_ARCHIVES: Final = (".zip", ".skill", ".whl", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_NO_BUNDLE: Final = Bundle(BundleDigest(""), (), 0)
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to scan. ``gaps`` is what could not be had of it; a skill that was not read has an empty version."""

    skill: Skill
    locks: tuple[Lock, ...]
    folder: Path
    gaps: tuple[Evidence, ...]


@asynccontextmanager
async def subject(
    path: str, *, home: Path, environment: Mapping[str, str], target: Target, resolve: Resolve
) -> AsyncIterator[Subject]:
    """What is at ``path``, for as long as the block lasts. ``environment`` is what ``git`` starts with.

    Raises ``SourceSpecError`` where there is nothing, and ``SourceError`` for a repository that cannot be fetched.
    """
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    lease = take_lease(home)
    try:
        async with staged(home / "staging", lease.id) as staging:
            yield await _Reader(staging, environment, target, resolve).read(path)
    finally:
        lease.release()


@dataclass(frozen=True, slots=True)
class _Reader:
    staging: Path
    environment: Mapping[str, str]
    target: Target
    resolve: Resolve

    async def read(self, path: str) -> Subject:
        if git_address(path) is not None:
            source = source_for(path, environment=self.environment, allow_local=False)
            fetched = await source.fetch(self.staging)
            return await self._folder(fetched.folder)
        local, kind = await asyncio.to_thread(_kind_of, path)
        match kind:
            case _Kind.FOLDER:
                return await self._folder(*await self._copied(local))
            case _Kind.ARCHIVE:
                return await self._archive(local)
            case _Kind.PACKAGES:
                return await self._packages(local)
            case _Kind.FILE:
                return await self._folder(*await self._alone(local))

    async def _copied(self, path: Path) -> tuple[Path, tuple[Evidence, ...]]:
        """The folder's files in the staging folder; what no bundle can hold is scanned where it lies."""
        target = self.staging / (path.name or "folder")
        try:
            return await in_thread(lambda stop: copy_bundle(path, target, stop)), ()
        except SkillError as error:
            return path, (_gap("files", error),)

    async def _alone(self, path: Path) -> tuple[Path, tuple[Evidence, ...]]:
        """A folder with one file."""
        folder = self.staging / (path.stem or "file")
        try:
            await asyncio.to_thread(_copy_file, path, folder)
        except SkillError as error:
            return folder, (_gap("files", error),)
        return folder, ()

    async def _archive(self, path: Path) -> Subject:
        try:
            unpacked = await ArchiveSource(path).unpack(self.staging)
        except (SkillError, SourceError) as error:
            # The archive itself is what is left to look at: scanners say what they make of it.
            folder, gaps = await self._alone(path)
            return await self._folder(folder, gaps or (_gap("files", error),))
        return await self._folder(await asyncio.to_thread(only_skill, unpacked))

    async def _packages(self, path: Path) -> Subject:
        """A list of packages, which is scanned as a file too: it may name an index of its own."""
        folder, gaps = await self._alone(path)
        plain = await asyncio.to_thread(_plain, folder, gaps, lists=False)
        try:
            text = await asyncio.to_thread(read_text, folder, path.name, limit=MAX_FILE_BYTES)
            if path.name.lower().endswith(".txt"):
                declared = tuple(requirements_txt(text, path.name))
                return await self._resolved(replace(plain, skill=replace(plain.skill, declared=declared)))
            read = lock_of_package_lock if path.name.lower().endswith(".json") else lock_of_pylock
            return replace(plain, locks=(read(text, self.target, file=path.name),))
        except SkillError as error:
            return replace(plain, gaps=(*plain.gaps, _gap("packages", error)))

    async def _folder(self, folder: Path, gaps: tuple[Evidence, ...] = ()) -> Subject:
        return await self._resolved(await asyncio.to_thread(_parsed, folder, gaps))

    async def _resolved(self, found: Subject) -> Subject:
        """With locks. Pins with hashes are a closure already; pins alone are looked up as they are where they cannot be
        resolved, and that what they bring along is not known is said."""
        if not found.skill.declared:
            return found
        declared = found.skill.declared
        pins = pinned(declared, self.target)
        if not found.skill.version and is_closure(pins, declared):
            return replace(found, locks=(pins,))
        try:
            return replace(found, locks=await self.resolve(found.skill))
        except SkillyardError as error:
            locks = (pins,) if pins.packages else ()
            return replace(found, locks=locks, gaps=(*found.gaps, _gap("packages", error)))


class _Kind(Enum):
    FOLDER = "folder"
    ARCHIVE = "archive"
    PACKAGES = "packages"
    FILE = "file"


def _kind_of(text: str) -> tuple[Path, _Kind]:
    path = Path(text).expanduser()
    if path.is_dir():
        return path.resolve(), _Kind.FOLDER
    if not path.is_file():
        raise SourceSpecError(f"{text!r} is neither a folder, a file nor a Git address", field="source")
    name = path.name.lower()
    if name.endswith(_ARCHIVES):
        return path, _Kind.ARCHIVE
    if name == "package-lock.json" or (name.startswith("pylock") and name.endswith(".toml")):
        return path, _Kind.PACKAGES
    return path, _Kind.PACKAGES if name.endswith(".txt") and "requirements" in name else _Kind.FILE


def _parsed(folder: Path, gaps: tuple[Evidence, ...]) -> Subject:
    try:
        manifest = has_manifest(folder)
    except OSError as error:
        return Subject(_plain_skill(folder, _NO_BUNDLE, ()), (), folder, (*gaps, _gap("files", error)))
    if manifest and not gaps:
        try:
            return Subject(parse_skill(folder, ParseMode.LENIENT), (), folder, gaps)
        except SkillError as error:
            gaps = (*gaps, _gap("skill", error))
    found = _plain(folder, gaps)
    inner = [file.path for file in found.skill.bundle.files if file.path.endswith(f"/{FILE}")]
    if manifest or not inner:
        return found
    names = ", ".join(inner[:5]) + (" …" if len(inner) > 5 else "")
    unread = SkillError(f"their packages are not looked up here; scan each of these skills by itself: {names}")
    return replace(found, gaps=(*found.gaps, _gap("skill", unread)))


def _plain(folder: Path, gaps: tuple[Evidence, ...], *, lists: bool = True) -> Subject:
    """Files without the meaning that a ``SKILL.md`` would give them. ``lists`` is whether to read what packages files
    like ``requirements.txt`` declare."""
    bundle = _NO_BUNDLE
    declared: tuple[DeclaredPackage, ...] = ()
    try:
        bundle = make_bundle(folder)
        if lists:
            declared = tuple(packages_in_files(folder, bundle, Tolerance(ParseMode.LENIENT)))
    except SkillError as error:
        what = "files" if bundle is _NO_BUNDLE else "packages"
        if what not in {one.scanner for one in gaps}:
            gaps = (*gaps, _gap(what, error))
    return Subject(_plain_skill(folder, bundle, declared), (), folder, gaps)


def _plain_skill(folder: Path, bundle: Bundle, declared: tuple[DeclaredPackage, ...]) -> Skill:
    return Skill(
        name=folder.name,
        description="",
        version="",
        version_declared=False,
        kind=_kind(bundle),
        license=None,
        compatibility=None,
        allowed_tools=(),
        metadata={},
        declared=declared,
        requested=Requested(),
        entries=(),
        imports=(),
        input_schema=None,
        notes=(),
        bundle=bundle,
    )


def _kind(bundle: Bundle) -> SkillKind:
    names = [file.path for file in bundle.files]
    if any(name.endswith(".py") for name in names):
        return SkillKind.PYTHON
    return SkillKind.NODE if any(name.endswith((".js", ".mjs", ".cjs")) for name in names) else SkillKind.INSTRUCTIONS


def _copy_file(path: Path, folder: Path) -> None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SkillError(f"cannot be read: {error.strerror}", file=path.name) from error
    if len(data) > MAX_FILE_BYTES:
        raise BundleTooLargeError(f"a file larger than {MAX_FILE_BYTES // 2**20} MiB", file=path.name)
    folder.mkdir()
    (folder / path.name).write_bytes(data)


def _gap(what: str, error: Exception) -> Evidence:
    """That something could not be had, as the evidence of whoever was to look at it."""
    return Evidence(what, __version__, EvidenceState.FAILED, None, str(error)[:_LONGEST_REASON])
