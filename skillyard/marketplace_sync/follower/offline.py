"""Taking an installed skill to a machine that reaches no network, and taking one in there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from skillyard.errors import InputError
from skillyard.governance.administrators import Authority
from skillyard.governance.report_json import report_to_json
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.follower import parcel
from skillyard.marketplace_sync.follower.parcel import Contents, Unpacked
from skillyard.runtime.install import Prepared
from skillyard.runtime.runtime import Runtime
from skillyard.runtime.stages import staged
from skillyard.runtime.values import Installation, SkillRef
from skillyard.sandbox.images import base_target
from skillyard.sandbox.wheel_archives import WheelArchives
from skillyard.sandbox.wheelhouse import Wheelhouse
from skillyard.skills.lock import Lock, LockedArtefact
from skillyard.skills.skill import Ecosystem, Skill
from skillyard.skills.source import Fetched
from skillyard.skills.sources.archive import ArchiveSource


class Offline:
    """Parcels out and in. Holds nothing of its own but where brought packages are kept."""

    def __init__(self, *, runtime: Runtime) -> None:
        self._runtime = runtime
        self._staging = runtime.settings.home / "staging"
        self._house = Wheelhouse(runtime.settings.home / "wheelhouse")

    @asynccontextmanager
    async def packed(self, workspace: WorkspaceId, ref: SkillRef) -> AsyncIterator[Path]:
        """An installed version as a parcel, a file that is gone after the block. Its packages are fetched by the lock's
        hashes from the index, but for those that were brought here themselves.

        Raises ``NotFoundError``, ``WheelError`` for packages that cannot be taken along, ``BuildError`` for sources
        that are not what the lock names, ``ResolverUnavailableError``.
        """
        version = await self._runtime.version(workspace, ref)
        archives = WheelArchives(self._runtime.settings)
        async with staged(self._staging, self._runtime.lease) as folder:
            named: dict[str, LockedArtefact] = {}
            places: dict[str, Path] = {}
            for number, lock in enumerate(version.locks):
                into = folder / f"lock-{number}"
                into.mkdir()
                fetched = await archives.fetch(lock, into)
                named |= fetched
                places |= {sha256: into / sha256 for sha256 in fetched}
            wheels, sources = parcel.packages_of(named)
            contents = Contents(
                format=2 if sources else 1,
                publisher=version.publisher,
                name=version.name,
                version=version.version,
                origin=version.origin,
                bundle=version.skill.bundle.digest,
                locks=version.locks,
                report=report_to_json(version.report).decode(),
                wheels=wheels,
                sources=sources,
            )
            path = folder / "parcel.tar"
            kept = self._runtime.bundles.path(version.skill.bundle.digest)
            await asyncio.to_thread(
                parcel.pack, contents, folder=kept, bundle=version.skill.bundle, packages=places, into=path
            )
            yield path

    async def take_in(
        self, path: Path, *, workspace: WorkspaceId, by: Authority, upgrade: bool = False
    ) -> Installation:
        """Install what a parcel holds, through this instance's own scan and policy, with the locks that it brings.

        Raises ``InputError`` for a parcel that is none, or whose locks are not those of its skill, and what installing
        raises: ``ReportRefusedError`` where its packages are known to be bad by now, for one.
        """
        async with staged(self._staging, self._runtime.lease) as folder:
            unpacked = await asyncio.to_thread(parcel.unpack, path, folder)
            if missing := parcel.missing_packages(unpacked.contents):
                raise InputError(f"nothing is in it of {', '.join(missing[:10])}", field="parcel")
            prepared = await self._prepared(unpacked)
            await asyncio.to_thread(self._keep, unpacked)
            return await self._runtime.install_prepared(
                prepared, workspace=workspace, publisher=unpacked.contents.publisher, actor=by, upgrade=upgrade
            )

    async def _prepared(self, unpacked: Unpacked) -> Prepared:
        contents = unpacked.contents

        async def known(skill: Skill) -> tuple[Lock, ...]:
            if skill.bundle.digest != contents.bundle or (skill.name, skill.version) != (
                contents.name,
                contents.version,
            ):
                raise InputError(
                    f"the bundle in it is {skill.name} {skill.version}, {skill.bundle.digest}", field="parcel"
                )
            require_fitting(skill, contents.locks)
            return contents.locks

        return await self._runtime.prepare(_BundleSource(unpacked), known_locks=known, resolve_anew=False)

    def _keep(self, unpacked: Unpacked) -> None:
        for one in unpacked.contents.packages:
            self._house.put(unpacked.packages[one.sha256], one.filename, one.sha256)


class _BundleSource:
    """The bundle of a parcel as a ``Source``; its origin says that it was brought, and from where it came first."""

    def __init__(self, unpacked: Unpacked) -> None:
        self._unpacked = unpacked

    async def fetch(self, into: Path) -> Fetched:
        """See ``Source``."""
        contents = self._unpacked.contents
        fetched = await ArchiveSource(self._unpacked.bundle, name=f"{contents.name}.tar").fetch(into)
        return Fetched(fetched.folder, f"parcel:{contents.publisher}/{contents.name}@{contents.version}", None)


def require_fitting(skill: Skill, locks: tuple[Lock, ...]) -> None:
    """Raises ``InputError`` where locks are not of what the skill declares, or for another interpreter or platform."""
    for lock in locks:
        if lock.target != base_target():
            raise InputError(
                f"its packages are for Python {lock.target.python} on {lock.target.platform}", field="parcel"
            )
    direct = {
        (lock.ecosystem, package.name): package.version for lock in locks for package in lock.packages if package.direct
    }
    declared = {(one.ecosystem, one.name) for one in skill.declared}
    if direct.keys() != declared:
        raise InputError("its locks are of other packages than its skill declares", field="parcel")
    for one in skill.declared:
        version = direct[one.ecosystem, one.name]
        try:
            fits = one.ecosystem is not Ecosystem.PYPI or Requirement(one.requirement).specifier.contains(
                version, prereleases=True
            )
        except InvalidRequirement as error:
            raise InputError(f"{one.requirement} cannot be read", field="parcel") from error
        if not fits:
            raise InputError(f"its lock has {one.name} {version}, where {one.requirement} is declared", field="parcel")
