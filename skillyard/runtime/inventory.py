"""What a home holds, looked at from outside: with the server running or not, with the engine or the database away.

Looking changes nothing. What cannot be looked at is said to be so, with the reason; nothing is guessed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

from skillyard.database import Database, open_database, schema_state
from skillyard.errors import SkillyardError
from skillyard.runtime import leases
from skillyard.runtime.collect import Collector, all_shelves
from skillyard.runtime.instance import home_id, is_alive, lease_files
from skillyard.runtime.invocations import open_calls
from skillyard.runtime.leases import LeaseRecord, Machine, Observer
from skillyard.runtime.seams import Seams, load_seams
from skillyard.runtime.verify import Verifier
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.hostconfig import LABEL_PREFIX
from skillyard.sandbox.image_shelf import ImageShelf
from skillyard.sandbox.images import BaseImages
from skillyard.sandbox.shelf import Scale, size_on_disk
from skillyard.settings import Settings
from skillyard.skills.bundle_store import BundleStore
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class Held:
    """How much of a kind there is. ``bytes`` on disk, what several kinds share counted once; ``None``: not known."""

    kind: str
    count: int | None
    bytes: int | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class KnownLease:
    """A process of this home. ``alive`` is ``None`` for one of another machine: only watching it would tell.

    ``heartbeat_age`` is in seconds by the two machines' clocks; ``None`` for a process without a row.
    """

    id: str
    alive: bool | None
    machine: Machine | None
    pid: int | None
    version: str | None
    started_at: datetime | None
    heartbeat_age: float | None
    open_calls: int


@dataclass(frozen=True, slots=True)
class KnownContainer:
    id: str
    state: str
    skill: str | None
    lease: str | None
    owned: bool | None
    """Whether its process is alive; ``None`` where nobody here can tell."""


class Stock:
    """An opened home, as far as it opens; an asynchronous context manager.

    ``database`` is ``None`` where it does not open, with the reason in ``database_problem``, and where there is none.
    """

    def __init__(self, settings: Settings, *, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._images = BaseImages(engine=engine, settings=settings)
        self._stack = AsyncExitStack()
        self.database: Database | None = None
        self.database_problem: str | None = None

    async def __aenter__(self) -> Stock:
        await self._stack.__aenter__()
        settings = self._settings
        self._seams: Seams = await asyncio.to_thread(load_seams, settings)
        self._stack.push_async_callback(self._seams.environments.close)
        self._stack.push_async_callback(self._seams.sandbox.close)
        try:
            state = await schema_state(settings.database)
            if state is not None and state.found is not None:
                self.database = await open_database(settings.database, readers=settings.database_readers)
                self._stack.push_async_callback(self.database.close)
        except SkillyardError as error:
            self.database_problem = str(error)
        self.bundles = BundleStore(settings.home / "bundles")
        identity = settings.home / "instance-id"
        self.instance = await asyncio.to_thread(lambda: home_id(settings.home) if identity.is_file() else None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def collector(self) -> Collector | None:
        """``None`` without a database: nobody knows then what is needed."""
        if self.database is None:
            return None
        return Collector(
            home=self._settings.home,
            database=self.database,
            engine=self._engine,
            bundles=self.bundles,
            environments=self._seams.environments,
            images=self._images,
        )

    def verifier(self) -> Verifier:
        return Verifier(
            instance=self.instance,
            database=self.database,
            engine=self._engine,
            bundles=self.bundles,
            environments=self._seams.environments,
            collector=self.collector(),
        )

    async def held(self, *, with_engine: bool) -> tuple[Held, ...]:
        """Everything on disk, by kind; without the engine, what is on its disk is not known."""
        found: list[Held] = []
        shelves = all_shelves(
            engine=self._engine,
            bundles=self.bundles,
            environments=self._seams.environments,
            images=self._images,
            home=self._settings.home,
        )
        scale = Scale()
        for shelf in shelves:
            if shelf.kind == ImageShelf.kind and not with_engine:
                found.append(Held(shelf.kind, None, None, "the engine does not answer"))
                continue
            try:
                names = await shelf.names()
                found.append(Held(shelf.kind, len(names), await shelf.weigh(names, scale)))
            except (SkillyardError, OSError) as error:
                found.append(Held(shelf.kind, None, None, str(error)))
        found += await asyncio.to_thread(self._folders)
        found.append(await self._held_database())
        return tuple(found)

    def _folders(self) -> list[Held]:
        return [_folder(name, self._settings.home / name) for name in ("artefacts", "staging", "uploads")]

    async def _held_database(self) -> Held:
        if self.database is None:
            return Held("database", None if self.database_problem else 0, None, self.database_problem)
        try:
            return Held("database", 1, await self.database.disk_bytes())
        except SkillyardError as error:
            return Held("database", 1, None, str(error))

    async def leases(self) -> tuple[KnownLease, ...]:
        """Every process that a row, a lock file or an open call tells of. Raises what the database raises."""
        home = self._settings.home
        records: Sequence[LeaseRecord] = ()
        opened: dict[str, int] = {}
        if self.database is not None:
            async with self.database.reading() as session:
                records = await leases.every(session)
                opened = await open_calls(session)
        files = await asyncio.to_thread(lease_files, home)
        rows = {record.id: record for record in records}
        every = sorted({*rows, *files, *opened})
        now = utcnow()
        return tuple(
            [await asyncio.to_thread(self._lease, one, rows.get(one), opened.get(one, 0), now) for one in every]
        )

    def _lease(self, lease: str, record: LeaseRecord | None, calls: int, now: datetime) -> KnownLease:
        alive = self._is_alive(lease, record)
        if record is None:
            return KnownLease(lease, alive, None, None, None, None, None, calls)
        age = (now - record.heartbeat_at).total_seconds()
        return KnownLease(lease, alive, record.machine, record.pid, record.version, record.started_at, age, calls)

    def _is_alive(self, lease: str, record: LeaseRecord | None) -> bool | None:
        if record is not None and self.instance is not None:
            watch = Observer(home=self._settings.home, home_id=self.instance, ttl=1, longest_gap=1)
            if not watch.can_try_lock(record):
                return None
        return is_alive(self._settings.home, lease)

    async def containers(self, known: Sequence[KnownLease]) -> tuple[KnownContainer, ...]:
        """Every container of this home. Raises what the engine raises."""
        if self.instance is None:
            return ()
        alive = {lease.id: lease.alive for lease in known}
        ours = await self._engine.containers({f"{LABEL_PREFIX}instance": self.instance})
        label = f"{LABEL_PREFIX}lease"
        return tuple(
            KnownContainer(
                one.id,
                one.state,
                one.labels.get(f"{LABEL_PREFIX}skill"),
                one.labels.get(label),
                alive.get(one.labels.get(label, ""), False),
            )
            for one in ours
        )


def _folder(kind: str, folder: Path) -> Held:
    """Entries of a folder and what they occupy; a folder that is not there holds none."""
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return Held(kind, 0, 0)
    except OSError as error:
        return Held(kind, None, None, str(error))
    return Held(kind, len(entries), size_on_disk(entries))
