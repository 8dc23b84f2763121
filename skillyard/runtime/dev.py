"""The author's loop while a folder is edited: sound content takes over as soon as it is saved, all other is told.

One change is worked on at a time, and always the newest: content that arrives while an older one is being prepared is
taken instead of it, content that arrives during a swap is taken after it. So versions take over in the order in which
they were written, and what is served in the end is what the folder holds.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

from skillyard.errors import ConflictError, SkillyardError
from skillyard.ids import BundleDigest
from skillyard.runtime import install, swap
from skillyard.runtime.changes import Changed, Returned, Vanished, folder_changes
from skillyard.runtime.dev_events import (
    Called,
    CallFailed,
    DevEvent,
    FolderReturned,
    FolderVanished,
    Held,
    Refused,
    Superseded,
    Swapped,
    Unchanged,
    place_of,
)
from skillyard.runtime.install import Prepared
from skillyard.runtime.local import LocalWorkspace
from skillyard.runtime.stopwatch import Stopwatch
from skillyard.runtime.values import InstalledVersion, InvokeRequest
from skillyard.sandbox.environment import Progress, ProgressSink, silent
from skillyard.skills.errors import SkillError
from skillyard.skills.sources.folder import FolderSource

STORING = "storing the version"
STAGES = {
    install.FETCHING: "read",
    install.READING: "parse",
    install.RESOLVING: "lock",
    install.SCANNING: "scan",
    STORING: "store",
    swap.STARTING: "start",
    swap.CHECKING: "check",
    swap.MOVING: "move",
}
"""What the steps are called in figures."""

_SETTLE_SECONDS = 0.2
"""What is read while it is written may be wrong: the rest of it is told within this time."""
_MOST_SUPERSEDED = 5
"""So often in a row newer content stops what is being prepared; then one is finished, whatever comes meanwhile."""

MakeRequest = Callable[[InstalledVersion], InvokeRequest]
Tell = Callable[[DevEvent], None]


@dataclass(frozen=True, slots=True)
class DevOptions:
    """``approve`` gives approvals as the operator, recorded. ``relock`` does not keep the lock of earlier content."""

    approve: bool = False
    relock: bool = False


class Developer:
    """Watches one folder for one operator. ``first`` is set once the folder's first content was dealt with."""

    def __init__(
        self,
        *,
        local: LocalWorkspace,
        folder: Path,
        claims: Path,
        options: DevOptions,
        tell: Tell,
        request: MakeRequest | None = None,
        on_progress: ProgressSink = silent,
    ) -> None:
        """``request`` makes the call that follows every swap. ``claims`` is a folder for locks: one process at a time
        edits a skill of one name."""
        self._local = local
        self._folder = folder
        self._claims = claims
        self._options = options
        self._tell = tell
        self._request = request
        self._on_progress = on_progress
        self.first = asyncio.Event()
        self._pending: set[str] = set()
        self._woken = asyncio.Event()
        self._superseded = 0
        self._name: str | None = None
        self._served: BundleDigest | None = None
        self._relock = options.relock
        self._call: asyncio.Task[None] | None = None
        self._claimed = AsyncExitStack()
        self._claimed_names: set[str] = set()

    @property
    def name(self) -> str | None:
        """The skill's name, once it was read."""
        return self._name

    async def run(self) -> None:
        """Until it is cancelled, or something fails that is not the skill's fault."""
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._work())}
        try:
            async with self._claimed:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            if self._call is not None:
                tasks.add(self._call)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        gone = False
        async with aclosing(folder_changes(self._folder)) as changes:
            async for change in changes:
                match change:
                    case Vanished():
                        gone = True
                        self._tell(FolderVanished(await self._serving()))
                    case Returned(paths) | Changed(paths):
                        if gone:
                            gone = False
                            self._tell(FolderReturned())
                        self._pending.update(paths)
                        self._woken.set()

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            changed = tuple(sorted(self._pending))
            self._pending.clear()
            await self._take(changed)
            if not self._woken.is_set():
                self.first.set()

    async def _take(self, changed: tuple[str, ...]) -> None:
        """One content, from the folder to the pointer, or to the reason why not."""
        watch = Stopwatch(STAGES, self._on_progress)
        try:
            prepared = await self._prepare(watch)
            if prepared is None:
                self._superseded += 1
                self._pending.update(changed)
                self._tell(Superseded(changed))
                return
            self._superseded = 0
            self._relock = False
            if prepared.skill.bundle.digest != self._served:
                # Nothing else than success is remembered: saving the same once more tries it again.
                self._served = None
                await self._swap(prepared, changed, watch)
        except SkillyardError as error:
            self._served = None
            if not await self._newer():
                self._tell(Refused(changed, error, place_of(error), await self._serving()))

    async def _prepare(self, watch: Stopwatch) -> Prepared | None:
        """``None`` where newer content came first."""
        source = FolderSource(self._folder)
        preparing = asyncio.create_task(self._local.prepare(source, relock=self._relock, on_progress=watch.step))
        newer = asyncio.create_task(self._woken.wait())
        try:
            waited = {preparing, newer} if self._superseded < _MOST_SUPERSEDED else {preparing}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not preparing.done():
                return None
            return preparing.result()
        except SkillError:
            # It may have been read in the middle of being written.
            if await self._newer():
                return None
            raise
        finally:
            for task in (preparing, newer):
                task.cancel()
            await asyncio.gather(preparing, newer, return_exceptions=True)

    async def _newer(self) -> bool:
        """Whether something is about to be taken instead, or the folder is gone and its content no matter."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return not await asyncio.to_thread(self._folder.is_dir)
        return True

    async def _swap(self, prepared: Prepared, changed: tuple[str, ...], watch: Stopwatch) -> None:
        self._claim(prepared.skill.name)
        self._name = prepared.skill.name
        watch.step(Progress(STORING, 0, 1))
        version = await self._local.store(prepared)
        approved = await self._local.approve(version) if self._options.approve else ()
        moved = await self._local.serve(version, on_progress=watch.step)
        stages = watch.stop()
        ref = str(version.ref)
        if moved.moved or moved.old == moved.new:
            self._served = prepared.skill.bundle.digest
        if moved.moved:
            self._tell(
                Swapped(
                    changed=changed,
                    old=moved.old,
                    new=ref,
                    verdict=version.report.verdict,
                    packages=sum(len(lock.packages) for lock in version.locks),
                    locks_known=prepared.locks_known,
                    approved=tuple(f"{package.name}=={package.version}" for package in approved),
                    stages=stages,
                    seconds=watch.total,
                )
            )
            await self._call_anew(version)
        elif moved.old == moved.new:
            self._tell(Unchanged(changed, ref))
            if not self.first.is_set():
                await self._call_anew(version)
        else:
            self._tell(Held(changed, ref, moved.reason or "", await self._serving()))

    async def _call_anew(self, version: InstalledVersion) -> None:
        """Call the version that took over; a call of the one before ends, because nobody waits for it any more."""
        if self._request is None:
            return
        if self._call is not None:
            self._call.cancel()
            await asyncio.gather(self._call, return_exceptions=True)
        self._call = asyncio.create_task(self._make_call(version, self._request))

    async def _make_call(self, version: InstalledVersion, make: MakeRequest) -> None:
        try:
            invocation = await self._local.invoke(make(version), approve=False)
        except SkillyardError as error:
            self._tell(CallFailed(str(version.ref), error))
        else:
            self._tell(Called(invocation))

    async def _serving(self) -> str | None:
        if self._name is None:
            return None
        found = await self._local.serving(self._name)
        return None if found is None else str(found.ref)

    def _claim(self, name: str) -> None:
        """Be the only process that moves this skill's pointer by its edits. Raises ``ConflictError``."""
        if name in self._claimed_names:
            return
        self._claims.mkdir(parents=True, exist_ok=True)
        path = self._claims / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ConflictError(f"another process serves {name} from a folder that is being edited") from error
        self._claimed.callback(os.close, descriptor)
        self._claimed_names.add(name)
