"""What of the wheel store goes and what stays, what going frees, and that a build beside it never notices."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from skillyard.sandbox import package_shelves
from skillyard.sandbox.environments import WheelEnvironments, create_store, environment_key
from skillyard.sandbox.images import BaseImage
from skillyard.sandbox.shelf import References, Removal, Scale, Shelf, ShelfBusyError, delete_counted
from skillyard.settings import Settings
from skillyard.skills.lock import Lock

MakeLock = Callable[..., Lock]


@pytest.fixture
async def store(settings: Settings, image: BaseImage) -> AsyncIterator[WheelEnvironments]:  # noqa: ARG001 - made once, before
    made = create_store(settings)
    yield made
    await made.close()


def shelf(store: WheelEnvironments, kind: str) -> Shelf:
    return next(one for one in store.shelves() if one.kind == kind)


def uses(*locks: Lock, mounted: tuple[Path, ...] = ()) -> Callable[[], Awaitable[References]]:
    async def look() -> References:
        return References(locks, frozenset(), frozenset(path.resolve() for path in mounted))

    return look


def allocated(folder: Path) -> int:
    """Bytes on disk below a folder, every inode once: the oracle for what removing frees."""
    inodes = {}
    for parent, _, files in os.walk(folder):
        for path in (parent, *(f"{parent}/{name}" for name in files)):
            status = os.lstat(path)
            inodes[status.st_ino] = status.st_blocks * 512
    return sum(inodes.values())


@pytest.fixture
def locks(wheelhouse, make_lock: MakeLock) -> tuple[Lock, Lock]:
    """Two that share a wheel."""
    shared = wheelhouse.add("shared", "1.0", {"shared.py": b"x = 1\n" * 20_000})
    return (
        make_lock(shared, wheelhouse.add("alpha", "1.0", {"alpha.py": b"x = 1\n" * 10_000})),
        make_lock(shared, wheelhouse.add("beta", "1.0", {"beta.py": b"x = 1\n" * 5_000})),
    )


async def collect(store: WheelEnvironments, look: Callable[[], Awaitable[References]]) -> list[Removal]:
    done = []
    for one in store.shelves():
        idle = await one.names() - await one.needed(await look())
        done.append(await one.remove(idle, look))
    return done


async def test_what_a_lock_wants_stays_and_what_only_others_wanted_goes(
    store: WheelEnvironments, locks: tuple[Lock, Lock], settings: Settings
) -> None:
    kept, gone = locks
    environment = await store.materialise(kept)
    await store.materialise(gone)
    root = settings.home / "environments"
    before = allocated(root)
    look = uses(kept)
    scale = Scale()
    foretold = [await one.weigh(await one.names() - await one.needed(await look()), scale) for one in store.shelves()]
    done = await collect(store, look)
    assert [len(one.removed) for one in done] == [1, 1, 0]
    assert [one.failures for one in done] == [(), (), ()]
    assert done[0].removed == (environment_key(gone),)
    assert [one.freed_bytes for one in done] == foretold
    assert sum(foretold) == before - allocated(root)
    assert (environment.path / "shared.py").read_bytes() == b"x = 1\n" * 20_000
    assert (await store.materialise(gone)).path.joinpath("beta.py").is_file(), "and it can be made again"


async def test_what_a_container_mounts_stays_with_its_wheels(
    store: WheelEnvironments, locks: tuple[Lock, Lock]
) -> None:
    environment = await store.materialise(locks[0])
    done = await collect(store, uses(mounted=(environment.path,)))
    assert [one.removed for one in done] == [(), (), ()]


async def test_a_wheel_that_an_environment_still_links_to_is_not_taken_from_under_it(
    store: WheelEnvironments, locks: tuple[Lock, Lock]
) -> None:
    """As where the environment waits for its grace to pass, or could not be removed."""
    await store.materialise(locks[0])
    wheels = shelf(store, "wheels")
    assert (await wheels.remove(await wheels.names(), uses())).removed == ()


async def test_what_is_wanted_again_by_the_time_it_would_go_stays(
    store: WheelEnvironments, locks: tuple[Lock, Lock]
) -> None:
    """An install commits between the two looks; nobody can begin to use anything while the second is taken."""
    await store.materialise(locks[0])
    environments = shelf(store, "environments")
    idle = await environments.names() - await environments.needed(await uses()())
    assert idle == {environment_key(locks[0])}
    assert (await environments.remove(idle, uses(locks[0]))).removed == ()


async def test_a_build_under_way_is_waited_for_and_then_left_alone(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    alpha = wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"})
    beta = wheelhouse.add("beta", "1.0", {"beta.py": b"value = 2\n"})
    old = make_lock(alpha)
    await store.materialise(old)
    wheelhouse.stall.add("beta-1.0-py3-none-any.whl")
    building = asyncio.create_task(store.materialise(make_lock(alpha, beta)))
    await asyncio.to_thread(wheelhouse.stalled.wait)
    monkeypatch.setattr(package_shelves, "GATE_SECONDS", 0.1)
    wheels = shelf(store, "wheels")
    with pytest.raises(ShelfBusyError):
        await wheels.remove(await wheels.names(), uses())
    wheelhouse.released.set()
    environment = await building
    assert (environment.path / "alpha.py").read_bytes() == b"value = 1\n"


async def test_collecting_and_building_at_once_never_breaks_a_build(
    store: WheelEnvironments, locks: tuple[Lock, Lock]
) -> None:
    """Everything unneeded is taken away over and over, while environments are asked for over and over."""
    rounds = asyncio.Queue[int]()

    async def take_away() -> None:
        while True:
            rounds.put_nowait(sum(len(one.removed) for one in await collect(store, uses())))

    taking = asyncio.create_task(take_away())
    taken = 0
    for number in range(12):
        environment = await store.materialise(locks[number % 2])
        assert environment.modules
        # Go on while the next round is under way, wherever that is.
        taken += await rounds.get()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert taken > 0


async def test_what_does_not_go_is_said_and_the_rest_goes(
    store: WheelEnvironments, locks: tuple[Lock, Lock], settings: Settings, tmp_path: Path
) -> None:
    """A folder with something mounted in it cannot be deleted."""
    for lock in locks:
        await store.materialise(lock)
    stuck = settings.home / "environments" / "python" / environment_key(locks[0]) / "files"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    await _run("mount", "--bind", str(elsewhere), str(stuck))
    try:
        environments = shelf(store, "environments")
        done = await environments.remove(await environments.names(), uses())
        assert done.removed == (environment_key(locks[1]),)
        (failure,) = done.failures
        assert failure.startswith(environment_key(locks[0]))
    finally:
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        await _run("umount", *(path for path in mounts if path.startswith(str(settings.home))))
    await store.sweep()
    assert list((settings.home / "environments" / "staging").iterdir()) == []


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from skillyard.sandbox import package_shelves
from skillyard.sandbox.environments import create_store
from skillyard.sandbox.shelf import References
from skillyard.settings import Settings

def die(folder):
    os.unlink(next(path for path in folder.rglob("*.py")))
    os.kill(os.getpid(), signal.SIGKILL)

async def look():
    return References((), frozenset(), frozenset())

async def main():
    store = create_store(Settings(home=Path(sys.argv[1])))
    package_shelves.delete_counted = die
    for one in store.shelves():
        await one.remove(await one.names(), look)

asyncio.run(main())
"""


async def test_killed_while_deleting_leaves_nothing_that_looks_whole(
    store: WheelEnvironments, locks: tuple[Lock, Lock], settings: Settings
) -> None:
    await store.materialise(locks[0])
    await store.materialise(locks[1])
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(settings.home))
    assert await process.wait() == -signal.SIGKILL
    for lock in locks:
        environment = await store.materialise(lock)
        assert (environment.path / "shared.py").read_bytes() == b"x = 1\n" * 20_000
    assert await store.sweep() > 0
    assert (await store.verify()).damage == ()
    assert list((settings.home / "environments" / "staging").iterdir()) == []


def test_deleting_counts_only_what_no_other_name_holds(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "own").write_bytes(b"x" * 10_000)
    (folder / "shared").write_bytes(b"x" * 50_000)
    os.link(folder / "shared", tmp_path / "elsewhere")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "inner").chmod(0o555)
    expected = allocated(folder) - (folder / "shared").stat().st_blocks * 512
    assert Scale().add(folder) == expected
    assert delete_counted(folder) == expected
    assert not folder.exists()
    assert (tmp_path / "elsewhere").stat().st_size == 50_000


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(30):
        assert await process.wait() == 0
