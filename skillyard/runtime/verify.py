"""Checking everything that skills run from, and making anew what is damaged.

Wheels and environments are dropped and made again from a fresh download, where an installed version still wants them;
the store fetches past every cache. A bundle has no second source here: it is dropped, so that nothing runs from it, and
installing the version again brings it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from skillyard.database import Database, Session
from skillyard.errors import SkillyardError
from skillyard.governance.decision import SkillState
from skillyard.ids import BundleDigest
from skillyard.runtime import store
from skillyard.runtime.collect import Collector
from skillyard.runtime.stored import skill_from_json
from skillyard.sandbox.engine import ContainerInfo, Engine
from skillyard.sandbox.environment import EnvironmentStore, ProgressSink, silent
from skillyard.sandbox.gate import Gate, GateBusyError
from skillyard.sandbox.hostconfig import LABEL_PREFIX
from skillyard.sandbox.shelf import Checked, Damage, References, ShelfBusyError, VerifiableStore
from skillyard.skills.bundle import make_bundle
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import Bundle

_log = structlog.get_logger("skillyard.verify")
_GATE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Affected:
    """A running sandbox that uses something damaged. Its own process stops it when it next sweeps."""

    container: str
    skill: str | None
    lease: str | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What was read, what is wrong, and what was done about it.

    ``counts`` is by kind. ``rebuilt`` and ``dropped`` are names of things; a thing may be both. ``unrepaired`` has a
    sentence for each damaged thing that is still there or still missing. ``left_alone`` says why nothing was repaired.
    """

    counts: Mapping[str, int]
    damage: tuple[Damage, ...]
    affected: tuple[Affected, ...] = ()
    dropped: tuple[str, ...] = ()
    rebuilt: tuple[str, ...] = ()
    unrepaired: tuple[str, ...] = ()
    left_alone: str | None = None

    @property
    def sound(self) -> bool:
        """Whether everything is as it should be now."""
        return not self.damage or (self.left_alone is None and not self.unrepaired)


class Verifier:
    """Verifies one home."""

    def __init__(
        self,
        *,
        instance: str | None,
        database: Database | None,
        engine: Engine,
        bundles: BundleStore,
        environments: EnvironmentStore,
        collector: Collector | None,
    ) -> None:
        """``instance`` is ``None`` in a home that nothing was started in. Without ``database`` and ``collector``
        nobody knows what is wanted: damage is then found and not repaired."""
        self._instance = instance
        self._database = database
        self._engine = engine
        self._bundles = bundles
        self._environments = environments
        self._collector = collector

    async def verify(self, *, repair: bool, on_progress: ProgressSink = silent) -> Verified:
        """Read everything. Raises ``OSError`` where the disk cannot be read at all."""
        packages = await self._packages()
        bundles = await self._bad_bundles()
        counts = {**packages.counts, "bundles": len(await asyncio.to_thread(self._bundles.digests))}
        damage = (*packages.damage, *bundles)
        for one in damage:
            _log.error("damaged", kind=one.kind, name=one.name, files=one.files, reason=one.reason)
        if not damage:
            return Verified(counts, ())
        try:
            affected = await self._affected(damage)
        except SkillyardError as error:
            return Verified(counts, damage, left_alone=f"nobody can tell which sandboxes use it: {error}")
        if not repair:
            return Verified(counts, damage, affected, left_alone="only a report was asked for")
        if self._collector is None:
            return Verified(counts, damage, affected, left_alone="without the database nobody knows what is wanted")
        try:
            wanted = await self._collector.references()
        except SkillyardError as error:
            return Verified(counts, damage, affected, left_alone=f"nobody can tell what is wanted: {error}")
        return await self._repaired(Verified(counts, damage, affected), packages.damage, bundles, wanted, on_progress)

    # Finding

    async def _packages(self) -> Checked:
        if not isinstance(self._environments, VerifiableStore):
            return Checked({}, (Damage("packages", "-", (), "the environment store cannot verify what it keeps"),))
        return await self._environments.verify()

    async def _bad_bundles(self) -> tuple[Damage, ...]:
        expected: dict[str, Bundle] = {}
        if self._database is not None:
            async with self._database.reading() as session:
                expected = await _bundles_by_digest(session)
        return await asyncio.to_thread(self._read_bundles, expected)

    def _read_bundles(self, expected: Mapping[str, Bundle]) -> tuple[Damage, ...]:
        found = []
        for digest in self._bundles.digests():
            folder = self._bundles.path(digest)
            try:
                bundle = make_bundle(folder)
            except (SkillyardError, OSError) as error:
                found.append(Damage("bundles", digest, (), str(error)))
                continue
            if bundle.digest != digest:
                files = _differing(bundle, expected.get(digest))
                found.append(Damage("bundles", digest, files, "its files do not add up to its digest"))
        return tuple(found)

    async def _affected(self, damage: Sequence[Damage]) -> tuple[Affected, ...]:
        if self._instance is None:
            return ()
        ours = await self._engine.containers({f"{LABEL_PREFIX}instance": self._instance})
        names = {one.name.removeprefix("sha256:") for one in damage if one.kind in ("environments", "bundles")}
        return tuple(_told(one) for one in ours if any(names & set(Path(mount).parts) for mount in one.mounts))

    # Repairing

    async def _repaired(
        self,
        found: Verified,
        packages: Sequence[Damage],
        bundles: Sequence[Damage],
        wanted: References,
        on_progress: ProgressSink,
    ) -> Verified:
        dropped: list[str] = []
        rebuilt: list[str] = []
        failures: list[str] = []
        if packages and isinstance(self._environments, VerifiableStore):
            try:
                gone = await self._environments.drop(packages)
            except SkillyardError as error:
                failures.append(f"packages: {error}")
            else:
                dropped += gone.removed
                failures += gone.failures
                await self._rebuild(gone.removed, wanted, rebuilt, failures, on_progress)
        for one in bundles:
            problem = await self._drop_bundle(BundleDigest(one.name))
            if problem is None:
                dropped.append(one.name)
            else:
                failures.append(f"{one.name}: {problem}")
            if one.name in wanted.bundles:
                failures.append(f"{one.name}: an installed version needs this bundle; install that version again")
        return Verified(found.counts, found.damage, found.affected, tuple(dropped), tuple(rebuilt), tuple(failures))

    async def _rebuild(
        self,
        dropped: Sequence[str],
        wanted: References,
        rebuilt: list[str],
        failures: list[str],
        on_progress: ProgressSink,
    ) -> None:
        assert isinstance(self._environments, VerifiableStore)  # noqa: S101 - the caller asked
        for lock in wanted.locks:
            if not self._environments.made_of(lock, dropped):
                continue
            try:
                environment = await self._environments.materialise(lock, on_progress)
            except SkillyardError as error:
                failures.append(f"lock {lock.digest}: not made again yet, the next start tries: {error}")
            else:
                rebuilt.append(environment.key)

    async def _drop_bundle(self, digest: BundleDigest) -> str | None:
        """Why it could not be dropped; ``None`` where it was."""
        try:
            async with Gate(self._bundles.gate).alone(seconds=_GATE_SECONDS):
                await asyncio.to_thread(self._bundles.remove, digest)
        except GateBusyError:
            return str(ShelfBusyError("bundles are being stored; try again when they are"))
        except OSError as error:
            return f"{error.strerror}: {error.filename}"
        return None


def _told(container: ContainerInfo) -> Affected:
    labels = container.labels
    return Affected(container.id, labels.get(f"{LABEL_PREFIX}skill"), labels.get(f"{LABEL_PREFIX}lease"))


def _differing(found: Bundle, expected: Bundle | None) -> tuple[str, ...]:
    """The files that are not what they should be; none where nobody knows what they should be."""
    if expected is None:
        return ()
    return tuple(sorted({file.path for file in set(found.files) ^ set(expected.files)}))


async def _bundles_by_digest(session: Session) -> dict[str, Bundle]:
    live = await store.live_versions(session)
    skills = (skill_from_json(row.skill_json) for _, row in live if row.state is not SkillState.REMOVED)
    return {skill.bundle.digest: skill.bundle for skill in skills}
