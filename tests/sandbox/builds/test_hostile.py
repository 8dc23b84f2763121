"""Code that a package runs while it is built gets nowhere: each way out ends with a name, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from skillyard.sandbox.engine import ContainerInfo, Engine
from skillyard.sandbox.environments import create_store
from skillyard.sandbox.errors import BuildError, BuildFailure, ResolveError
from skillyard.settings import Settings

CANARY = """
for place in ("CANARY", "/canary", "/skill/canary", "/env/canary", os.path.expanduser("~root/canary")):
    try:
        pathlib.Path(place).write_text("a build ran on the host")
    except OSError:
        pass
"""

HOOK = "def build_wheel(folder, settings=None, metadata=None):\n"

ENDLESS = "while True:\n    pass\n"
"""Never lets go from its import on, so that it runs whenever a container of its build does."""

HOSTILE = {
    "loops": ("    while True:\n        pass\n", BuildFailure.TIMED_OUT),
    "sleeps deaf to signals": (
        (
            "    import signal, time\n"
            "    for number in (1, 2, 3, 15):\n        signal.signal(number, signal.SIG_IGN)\n"
            "    time.sleep(3600)\n"
        ),
        BuildFailure.TIMED_OUT,
    ),
    "eats memory": ("    kept = []\n    while True:\n        kept.append(b'x' * 2**22)\n", BuildFailure.OUT_OF_MEMORY),
    "fork bomb": ("    while True:\n        os.fork()\n", BuildFailure.PROCESS_LIMIT),
    "prints without end": ("    while True:\n        print('x' * 65536)\n", BuildFailure.OUTPUT_LIMIT),
    "fills its folder": (
        "    for number in range(1000):\n        pathlib.Path(f'{folder}/{number}').write_bytes(b'x' * 2**22)\n",
        BuildFailure.DISK_FULL,
    ),
    "wheel too large": (
        (
            "    with open(f'{folder}/NAME-1.0-py3-none-any.whl', 'wb') as file:\n        file.truncate(65 * 2**20)\n"
            "    return 'NAME-1.0-py3-none-any.whl'\n"
        ),
        BuildFailure.OUTPUT_LIMIT,
    ),
    "wheel of another name": ("    return pack(folder, name='other')\n", BuildFailure.WHEEL),
    "wheel of another version": ("    return pack(folder, version='2.0')\n", BuildFailure.WHEEL),
    "wheel that calls itself something else": (
        (
            "    made = pack(folder, name='other')\n"
            "    os.rename(f'{folder}/{made}', f'{folder}/evil-1.0-py3-none-any.whl')\n"
            "    return 'evil-1.0-py3-none-any.whl'\n"
        ),
        BuildFailure.WHEEL,
    ),
    "wheel whose record lies": (
        "    return pack(folder, record=lambda text: text.replace('evil.py,sha256=', 'evil.py,sha256=A'))\n",
        BuildFailure.WHEEL,
    ),
    "wheel for another platform": (
        (
            "    made = pack(folder)\n"
            "    os.rename(f'{folder}/{made}', f'{folder}/evil-1.0-cp311-cp311-win_amd64.whl')\n"
            "    return 'evil-1.0-cp311-cp311-win_amd64.whl'\n"
        ),
        BuildFailure.WHEEL,
    ),
    "no wheel at all": ("    return 'evil-1.0-py3-none-any.whl'\n", BuildFailure.FAILED),
    "a link to a file of the container": (
        (
            "    os.symlink('/etc/passwd', f'{folder}/evil-1.0-py3-none-any.whl')\n"
            "    return 'evil-1.0-py3-none-any.whl'\n"
        ),
        BuildFailure.FAILED,
    ),
    "a pipe that nobody writes": (
        "    os.mkfifo(f'{folder}/evil-1.0-py3-none-any.whl')\n    return 'evil-1.0-py3-none-any.whl'\n",
        BuildFailure.FAILED,
    ),
    "a path outside": ("    return '../../../etc/passwd'\n", BuildFailure.FAILED),
    "requirements at an address": (
        "    return pack(folder, requires=['six @ http://127.0.0.1:9/six-1.0-py3-none-any.whl'])\n",
        BuildFailure.WHEEL,
    ),
    "leaves without a word": ("    os._exit(0)\n", BuildFailure.FAILED),
    "kills what it can reach": ("    os.kill(-1, 9)\n", BuildFailure.FAILED),
    "wants a compiler": (
        "    import subprocess\n    subprocess.run(['gcc', '-c', 'evil.c'], check=True)\n",
        BuildFailure.COMPILER_MISSING,
    ),
}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture(autouse=True)
async def nothing_stays(engine: Engine, staging: Path, canary: Path) -> AsyncIterator[None]:
    """No container, no folder in the making, and no file that the build tried to leave on the host."""
    yield
    await no_builds(engine, staging)
    assert [file for file in (canary, Path("/canary"), Path("/root/canary")) if file.exists()] == []
    assert list(staging.glob("*")) == []


async def builds(engine: Engine, staging: Path) -> tuple[ContainerInfo, ...]:
    labels = {"skillyard.chore": "build", "skillyard.chore.root": str(staging)}
    return await engine.containers(labels)


async def no_builds(engine: Engine, staging: Path) -> None:
    give_up = time.monotonic() + 60
    while left := await builds(engine, staging):
        assert time.monotonic() < give_up, f"containers stay: {left}"
        await asyncio.sleep(0.05)


async def some_build(engine: Engine, staging: Path) -> None:
    """Until a build's container runs the package's code: its first process has a child."""
    give_up = time.monotonic() + 60
    while not [found for found in await builds(engine, staging) if await has_child(engine, found)]:
        assert time.monotonic() < give_up, "no build began"
        await asyncio.sleep(0.02)


async def has_child(engine: Engine, container: ContainerInfo) -> bool:
    pid = ((await engine.inspect(container.id)) or {}).get("State", {}).get("Pid")
    try:
        return bool(pid and Path(f"/proc/{pid}/task/{pid}/children").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_build_ends_with_its_name_and_leaves_nothing(
    name: str, allowing: Settings, offer, lock_of, canary: Path
) -> None:
    body, failure = HOSTILE[name]
    offer("evil", "1.0", CANARY.replace("CANARY", str(canary)) + HOOK + body.replace("NAME", "evil"))
    if failure is BuildFailure.TIMED_OUT:
        allowing = allowing.model_copy(update={"source_build_timeout": 2.0})
    with pytest.raises(BuildError) as caught:
        await lock_of(allowing, "evil")
    assert (caught.value.failure, "evil 1.0" in str(caught.value)) == (failure, True), caught.value


async def test_a_build_sees_no_network_no_host_and_nobody_elses_privileges(
    allowing: Settings, offer, lock_of, wheelhouse, canary: Path
) -> None:
    """What it tried and what came of it is in the wheel, which is how it gets out."""
    port = wheelhouse.url.rpartition(":")[2].partition("/")[0]
    code = f"""
import json, socket, subprocess
def attempt(what):
    try:
        return repr(what())
    except Exception as error:
        return type(error).__name__
def build_wheel(folder, settings=None, metadata=None):
    tried = {{
        "index": attempt(lambda: socket.create_connection(("127.0.0.1", {port}), 2)),
        "internet": attempt(lambda: socket.create_connection(("1.1.1.1", 80), 2)),
        "engine": attempt(lambda: os.listdir("/var/run/docker.sock")),
        "home": attempt(lambda: os.listdir("{canary.parent}")),
        "root": attempt(lambda: open("/usr/evil", "w")),
        "source": attempt(lambda: open("/skill/evil", "w")),
        "setuid": attempt(lambda: os.setuid(0)),
        "mount": subprocess.call(["mount", "-t", "tmpfs", "none", "/scratch"]) if os.path.exists("/bin/mount") else 1,
    }}
    tried["uid"] = os.getuid()
    tried["capabilities"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")][0]
    tried["epoch"] = os.environ.get("SOURCE_DATE_EPOCH")
    tried["secrets"] = sorted(name for name in os.environ if name.startswith(("SKILLYARD", "UV_", "AWS", "HTTP")))
    return pack(folder, files={{"evil.json": json.dumps(tried).encode(), "evil.py": b""}})
"""
    offer("evil", "1.0", CANARY.replace("CANARY", str(canary)) + code)
    lock = await lock_of(allowing, "evil")
    store = create_store(allowing)
    try:
        environment = await store.materialise(lock)
    finally:
        await store.close()
    assert orjson.loads((environment.path / "evil.json").read_bytes()) == {
        "index": "ConnectionRefusedError",
        "internet": "OSError",
        "engine": "FileNotFoundError",
        "home": "FileNotFoundError",
        "root": "OSError",
        "source": "OSError",
        "setuid": "PermissionError",
        "mount": 1,
        "uid": 10001,
        "capabilities": "0000000000000000",
        "epoch": "315619200",
        "secrets": [],
    }


async def test_nothing_of_a_package_runs_where_building_is_refused(
    settings: Settings, offer, lock_of, engine: Engine, staging: Path, wheelhouse, canary: Path
) -> None:
    offer("evil", "1.0", CANARY.replace("CANARY", str(canary)))
    with pytest.raises(
        ResolveError, match=r"SKILL\.md:3: evil exists only as source.*the skill itself asks for it"
    ) as e:
        await lock_of(settings, "evil")
    assert "SKILLYARD_SOURCE_BUILDS=allow" in str(e.value)
    assert (wheelhouse.served["evil-1.0.tar.gz"], await builds(engine, staging)) == (0, ())


async def test_a_cancelled_build_is_killed(allowing: Settings, offer, lock_of, engine: Engine, staging: Path) -> None:
    offer("evil", "1.0", ENDLESS)
    task = asyncio.create_task(lock_of(allowing, "evil"))
    await some_build(engine, staging)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_build_ends_with_the_process_that_wanted_it(
    allowing: Settings, offer, engine: Engine, staging: Path
) -> None:
    """Killed, it can clean nothing up: the container ends by itself, and the next start sweeps its folder."""
    offer("evil", "1.0", ENDLESS)
    index = allowing.index_url.get_secret_value() if allowing.index_url else ""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "SKILLYARD_HOME": str(allowing.home),
        "SKILLYARD_INDEX_URL": index,
        "SKILLYARD_SOURCE_BUILDS": "allow",
    }
    code = (
        "import asyncio\n"
        "from skillyard.sandbox.images import base_target\n"
        "from skillyard.sandbox.resolvers.uv import create_resolver\n"
        "from skillyard.settings import Settings\n"
        "from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin\n"
        "wanted = (DeclaredPackage(Ecosystem.PYPI, 'evil', 'evil', Origin('SKILL.md', 1, None)),)\n"
        "asyncio.run(create_resolver(Settings()).resolve(wanted, base_target()))\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment)
    try:
        await some_build(engine, staging)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await no_builds(engine, staging)
    assert len(list(staging.glob("*"))) == 2  # a folder and its lock
    store = create_store(allowing)
    try:
        assert await store.sweep() >= 1
    finally:
        await store.close()
