"""A lock becomes a folder that Python imports from, once, whole or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from skillyard.sandbox.engine import Engine, Mount
from skillyard.sandbox.environments import WheelEnvironments, create_store, environment_key
from skillyard.sandbox.errors import DiskFullError, ResolverUnavailableError, WheelError
from skillyard.sandbox.images import SKILL_UID, BaseImage, base_target
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.pylock import write_pylock
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

MakeLock = Callable[..., Lock]
MATERIALISE = Path(__file__).parent.parent / "assets" / "sandbox" / "materialise.py"


@pytest.fixture
async def store(settings: Settings, image: BaseImage) -> AsyncIterator[WheelEnvironments]:  # noqa: ARG001 - made once, before
    made = create_store(settings)
    yield made
    await made.close()


def leftovers(settings: Settings) -> list[str]:
    """What is in the folders where work in progress lives, and lock files that nobody needs any more."""
    root = settings.home / "environments"
    return [
        str(path.relative_to(root))
        for name in ("staging", "wheels/locks", "python/locks")
        for path in (root / name).rglob("*")
    ]


async def run_in(engine: Engine, image: BaseImage, environment: Path, code: str) -> str:
    finished = await engine.run_once(
        image=image.reference,
        command=[image.python, "-I", "-B", "-c", f"import sys; sys.path.insert(0, '/env')\n{code}"],
        mounts=[Mount(environment, "/env")],
        labels={},
        environment={"HOME": "/tmp"},
        user=f"{SKILL_UID}:{SKILL_UID}",
    )
    assert finished.exit_code == 0, finished.stderr.decode()
    return finished.stdout.decode().strip()


async def test_a_skill_can_import_its_packages(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, engine: Engine, image: BaseImage
) -> None:
    lock = make_lock(
        wheelhouse.add("alpha", "1.0", {"alpha/__init__.py": b"import beta\nvalue = beta.value + 1\n"}),
        wheelhouse.add("beta", "2.0", {"beta.py": b"value = 41\n"}),
    )
    environment = await store.materialise(lock)
    assert environment.modules == ("alpha", "beta")
    assert await run_in(engine, image, environment.path, "import alpha; print(alpha.value)") == "42"


async def test_numpy_finds_its_libraries_in_the_base_image(tmp_path: Path, engine: Engine, image: BaseImage) -> None:
    settings = Settings(home=tmp_path / "home")
    numpy = DeclaredPackage(Ecosystem.PYPI, "numpy", "numpy<3", Origin("SKILL.md", 1, None))
    lock = await create_resolver(settings).resolve((numpy,), base_target())
    store = create_store(settings)
    environment = await store.materialise(lock)
    await store.close()
    code = "import numpy, numpy.linalg; print(numpy.linalg.det(numpy.eye(3)), numpy.__cached__)"
    printed = await run_in(engine, image, environment.path, code)
    assert printed == "1.0 /env/numpy/__pycache__/__init__.cpython-311.pyc"
    assert "numpy" in environment.modules


async def test_imports_are_compiled_ahead_of_time(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, engine: Engine, image: BaseImage
) -> None:
    """Else every start of a sandbox compiles what it imports, because the environment is read-only."""
    wheel = wheelhouse.add("alpha", "1.0", {"alpha/__init__.py": b"def f():\n    raise ValueError\n"})
    environment = await store.materialise(make_lock(wheel))
    code = (
        "import alpha, importlib.util, traceback\n"
        "data = open(alpha.__cached__, 'rb').read(16)\n"
        "assert data[:4] == importlib.util.MAGIC_NUMBER, data\n"
        "print(int.from_bytes(data[4:8], 'little'))\n"
        "try: alpha.f()\n"
        "except ValueError as error: print(error.__traceback__.tb_next.tb_frame.f_code.co_filename)"
    )
    # PEP 552: flag 1 is a hash-based file that is not checked against its source.
    assert await run_in(engine, image, environment.path, code) == "1\n/env/alpha/__init__.py"


async def test_a_file_that_is_no_python_of_this_version_does_not_keep_a_package_out(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, engine: Engine, image: BaseImage
) -> None:
    files = {"alpha/__init__.py": b"value = 1\n", "alpha/template.py": b"print 'old'\n", "alpha/null.py": b"\0"}
    environment = await store.materialise(make_lock(wheelhouse.add("alpha", "1.0", files)))
    assert await run_in(engine, image, environment.path, "import alpha; print(alpha.value)") == "1"


async def test_bytecode_that_a_wheel_brings_along_is_not_trusted(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, engine: Engine, image: BaseImage
) -> None:
    """A scanner reads the source; what runs must come from it."""
    forged = b"\xa7\r\r\n\x01\0\0\0" + b"\0" * 8 + b"N"
    files = {"alpha/__init__.py": b"value = 'source'\n", "alpha/__pycache__/__init__.cpython-311.pyc": forged}
    environment = await store.materialise(make_lock(wheelhouse.add("alpha", "1.0", files)))
    assert await run_in(engine, image, environment.path, "import alpha; print(alpha.value)") == "source"


async def test_nothing_of_an_environment_can_be_written_and_its_wheels_are_on_disk_once(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    alpha = wheelhouse.add("alpha", "1.0", {"alpha/__init__.py": b""})
    beta = wheelhouse.add("beta", "1.0", {"beta.py": b""})
    one = await store.materialise(make_lock(alpha))
    two = await store.materialise(make_lock(alpha, beta))
    assert one.key != two.key
    assert (one.path / "alpha/__init__.py").stat().st_ino == (two.path / "alpha/__init__.py").stat().st_ino
    modes = {path.stat().st_mode & 0o777 for path in [two.path, *two.path.rglob("*")]}
    assert modes == {0o444, 0o555}
    assert wheelhouse.served["alpha-1.0-py3-none-any.whl"] == 1


async def test_scripts_with_paths_of_this_machine_stay_out(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    files = {
        "alpha.py": b"",
        "alpha-1.0.data/scripts/alpha": b"#!python\n",
        "alpha-1.0.dist-info/entry_points.txt": b"[console_scripts]\nalpha-run = alpha:main\n",
    }
    environment = await store.materialise(make_lock(wheelhouse.add("alpha", "1.0", files)))
    assert sorted(path.name for path in environment.path.iterdir()) == [
        "__pycache__",
        "alpha-1.0.dist-info",
        "alpha.py",
    ]
    for file in environment.path.rglob("*"):
        assert file.is_dir() or sys.prefix.encode() not in file.read_bytes()


async def test_an_empty_lock_needs_no_index(store: WheelEnvironments, make_lock: MakeLock, wheelhouse) -> None:
    wheelhouse.status = 500
    environment = await store.materialise(make_lock())
    assert (environment.modules, list(environment.path.iterdir())) == ((), [])


async def test_two_packages_that_hold_one_file_differently_are_refused(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    """Else which one a skill imports would depend on the order of installing."""
    lock = make_lock(
        wheelhouse.add("alpha", "1.0", {"shared/__init__.py": b"", "shared/x.py": b"who = 'alpha'\n"}),
        wheelhouse.add("beta", "1.0", {"shared/__init__.py": b"", "shared/x.py": b"who = 'beta'\n"}),
    )
    with pytest.raises(WheelError, match=r"alpha 1.0 and beta 1.0 both hold shared/"):
        await store.materialise(lock)
    assert leftovers(settings) == []


async def test_packages_may_share_a_namespace(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, engine: Engine, image: BaseImage
) -> None:
    lock = make_lock(
        wheelhouse.add("alpha", "1.0", {"shared/__init__.py": b"", "shared/a.py": b"value = 1\n"}),
        wheelhouse.add("beta", "1.0", {"shared/__init__.py": b"", "shared/b.py": b"value = 2\n"}),
    )
    environment = await store.materialise(lock)
    code = "import shared.a, shared.b; print(shared.a.value + shared.b.value)"
    assert await run_in(engine, image, environment.path, code) == "3"


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (lambda text: text.replace("alpha.py,sha256=", "alpha.py,sha256=AAAA"), "alpha.py"),
        (lambda text: re.sub(r"(alpha\.py,sha256=[^,]+),\d+", r"\1,999", text), "alpha.py has 10 bytes"),
        (
            lambda text: "\n".join(line for line in text.splitlines() if not line.startswith("alpha.py")) + "\n",
            "alpha.py",
        ),
        (lambda text: re.sub(r"(alpha\.py),sha256=[^,]+", r"\1,", text), "alpha.py"),
        (lambda text: re.sub(r"(alpha\.py),sha256=[^,]+", r"\1,md5=1B2M2Y8AsgTpgAmY7PhCfg", text), "alpha.py"),
    ],
    ids=["hash", "size", "unlisted", "no-hash", "weak-hash"],
)
async def test_a_wheel_that_is_not_what_its_record_says_is_refused(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings, *, record, says: str
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}, record=record))
    with pytest.raises(WheelError, match=says):
        await store.materialise(lock)
    assert not (settings.home / "environments" / "python" / environment_key(lock)).exists()
    assert leftovers(settings) == []


async def test_a_transfer_that_broke_is_repeated_once(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.instead["alpha-1.0-py3-none-any.whl"] = [b"not a wheel at all"]
    assert (await store.materialise(lock)).modules == ("alpha",)
    assert wheelhouse.served["alpha-1.0-py3-none-any.whl"] == 2


async def test_an_index_that_serves_something_else_is_refused(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.add("alpha", "1.0", {"alpha.py": b"import os\n"})
    with pytest.raises(WheelError, match=r"alpha 1\.0"):
        await store.materialise(lock)
    assert leftovers(settings) == []


async def test_an_index_that_is_down_is_told_apart_from_a_bad_wheel(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.status = 503
    with pytest.raises(ResolverUnavailableError) as caught:
        await store.materialise(lock)
    assert "127.0.0.1" not in str(caught.value)
    assert leftovers(settings) == []


async def test_a_damaged_file_is_noticed_and_fetched_again(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    """Hard links share their bytes: one stray write damages every environment at once."""
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    first = await store.materialise(lock)
    (first.path / "alpha.py").chmod(0o644)
    (first.path / "alpha.py").write_bytes(b"value = 2\n")
    second = await store.materialise(lock)
    assert (second.path / "alpha.py").read_bytes() == b"value = 1\n"
    assert wheelhouse.served["alpha-1.0-py3-none-any.whl"] == 2


async def test_bit_rot_that_time_stamps_do_not_show_is_found_by_verifying(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    environment = await store.materialise(make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"})))
    assert (await store.verify()).damage == ()
    file = environment.path / "alpha.py"
    before = file.stat()
    file.chmod(0o644)
    file.write_bytes(b"value = 3\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [(one.kind, one.files) for one in (await store.verify()).damage] == [
        ("wheels", ("alpha.py",)),
        ("environments", ("alpha.py",)),
    ]


async def test_an_environment_that_lost_a_file_is_linked_again(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    first = await store.materialise(lock)
    first.path.chmod(0o755)
    (first.path / "alpha.py").unlink()
    assert (await store.materialise(lock)).path.joinpath("alpha.py").read_bytes() == b"value = 1\n"
    assert wheelhouse.served["alpha-1.0-py3-none-any.whl"] == 1


async def test_concurrent_builds_fetch_each_wheel_once(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    """Overlapping locks in opposite orders also must not wait for each other for ever."""
    packages = [wheelhouse.add(name, "1.0", {f"{name}.py": name.encode()}) for name in ("a1", "b1", "c1")]
    locks = [make_lock(*packages), make_lock(*packages), make_lock(*packages[:2]), make_lock(*packages[1:])]
    environments = await asyncio.gather(*(store.materialise(lock) for lock in locks))
    assert environments[0] == environments[1]
    assert set(wheelhouse.served.values()) == {1}
    assert leftovers(settings) == []


@pytest.mark.usefixtures("image")
async def test_two_processes_build_one_lock_once(
    wheelhouse, make_lock: MakeLock, settings: Settings, tmp_path: Path
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    processes = [await materialise_elsewhere(settings, lock, tmp_path) for _ in range(2)]
    outputs = [await process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    paths = {json.loads(out.splitlines()[-1])["path"] for out, _ in outputs}
    assert len(paths) == 1
    assert wheelhouse.served["alpha-1.0-py3-none-any.whl"] == 1


async def test_a_cancelled_build_leaves_nothing(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.stall.add("alpha-1.0-py3-none-any.whl")
    task = asyncio.create_task(store.materialise(lock))
    await asyncio.to_thread(wheelhouse.stalled.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert leftovers(settings) == []
    assert not tools_working_in(settings.home)


async def test_a_build_killed_while_fetching_leaves_nothing_that_looks_finished(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings, tmp_path: Path
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.stall.add("alpha-1.0-py3-none-any.whl")
    process = await materialise_elsewhere(settings, lock, tmp_path)
    await asyncio.to_thread(wheelhouse.stalled.wait)
    assert tools_working_in(settings.home)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    while tools_working_in(settings.home):  # noqa: ASYNC110 - the kernel kills uv with its parent, a moment later
        await asyncio.sleep(0.01)
    assert leftovers(settings)
    assert await store.sweep() == 1
    assert [name for name in leftovers(settings) if "staging" in name] == []
    wheelhouse.released.set()
    assert (await store.materialise(lock)).modules == ("alpha",)


async def test_a_build_killed_while_compiling_leaves_no_container_after_a_sweep(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings, *, engine: Engine, tmp_path: Path
) -> None:
    source = b"x = (" + b"'y' 'z', " * 40_000 + b")\n"
    files = {f"alpha/m{number}.py": source for number in range(40)}
    lock = make_lock(wheelhouse.add("alpha", "1.0", files))
    process = await materialise_elsewhere(settings, lock, tmp_path)
    label = {"skillyard.chore.root": str(settings.home / "environments" / "staging")}
    while not await engine.containers(label):
        assert process.returncode is None
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    assert not (settings.home / "environments" / "python" / environment_key(lock)).exists()
    assert await store.sweep() == 2  # the container and the folder it worked in
    assert not await engine.containers(label)
    assert await store.sweep() == 0


async def test_a_sweep_leaves_a_living_build_alone(
    store: WheelEnvironments, wheelhouse, make_lock: MakeLock, settings: Settings
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.py": b"value = 1\n"}))
    wheelhouse.stall.add("alpha-1.0-py3-none-any.whl")
    building = asyncio.create_task(store.materialise(lock))
    await asyncio.to_thread(wheelhouse.stalled.wait)
    other = create_store(settings)
    assert await other.sweep() == 0
    await other.close()
    wheelhouse.released.set()
    assert (await building).modules == ("alpha",)


@pytest.mark.usefixtures("image")
async def test_a_full_disk_says_so_and_leaves_nothing_half_done(
    wheelhouse, make_lock: MakeLock, settings: Settings, tmp_path: Path
) -> None:
    lock = make_lock(wheelhouse.add("alpha", "1.0", {"alpha.bin": os.urandom(6 * 1024 * 1024), "alpha.py": b""}))
    process = await materialise_elsewhere(settings, lock, tmp_path, disk="4m")
    out, err = await process.communicate()
    assert process.returncode == 1, err
    answer = json.loads(out.splitlines()[-1])
    assert answer["error"] == DiskFullError.__name__, answer
    assert answer["left"] == []


def tools_working_in(folder: Path) -> list[int]:
    """Processes (uv) whose working directory is below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def materialise_elsewhere(
    settings: Settings, lock: Lock, tmp_path: Path, *, disk: str | None = None
) -> asyncio.subprocess.Process:
    """Materialise in a real process of its own, with its home on a small disk of its own if ``disk`` says so."""
    file = tmp_path / "pylock.toml"
    file.write_text(write_pylock(lock), encoding="utf-8")
    assert settings.index_url is not None
    command = [sys.executable, str(MATERIALISE), str(file)]
    if disk is not None:
        settings.home.mkdir(parents=True)
        mount = f"mount -t tmpfs -o size={disk} tmpfs '{settings.home}' && exec \"$@\""
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", *command]
    environment = {**os.environ, "SKILLYARD_HOME": str(settings.home)}
    environment["SKILLYARD_INDEX_URL"] = settings.index_url.get_secret_value()
    return await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
