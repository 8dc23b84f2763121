"""What a running container really has, field by field as the engine says it and as the skill sees it from inside."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.hostconfig import ContainerPlan, container_config, host_config
from skillyard.sandbox.images import SKILL_UID
from skillyard.skills.permissions import MIB, Granted


@pytest.fixture
async def inspected(start, engine: Engine, tmp_path: Path):
    tmp_path.chmod(0o755)
    running = await start(environment=tmp_path)
    found = await engine.inspect(running.container)
    assert found is not None
    return found


async def test_the_engine_runs_what_was_asked_for(inspected, granted: Granted, instance: str) -> None:
    host = inspected["HostConfig"]
    assert inspected["State"]["Running"]
    assert host["NetworkMode"] == "none"
    assert set(inspected["NetworkSettings"]["Networks"]) <= {"none"}
    assert not inspected["NetworkSettings"]["Ports"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Privileged"] is False
    assert host["ReadonlyRootfs"] is True
    assert host["PidsLimit"] == granted.processes
    assert host["Memory"] == host["MemorySwap"] == granted.memory_bytes
    assert host["CpuShares"] == granted.cpu_shares
    assert host["CpuQuota"] == 0
    assert host["OomKillDisable"] is not True
    assert host["OomScoreAdj"] == 500
    assert host["Init"] is False
    assert host["AutoRemove"] is True
    assert host["LogConfig"] == {"Type": "none", "Config": {}}
    assert host["IpcMode"] == "private"
    assert host["PidMode"] == ""
    assert host["UTSMode"] == ""
    assert host["UsernsMode"] == ""
    assert not host["Binds"]
    assert not host["Devices"]
    assert not host["VolumesFrom"]
    assert not host["PortBindings"]
    assert "/proc/cmdline" in host["MaskedPaths"]
    assert host["Sysctls"] == {"net.ipv4.tcp_max_tw_buckets": "0"}
    assert "/proc/sys" in host["ReadonlyPaths"]
    assert {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in host["Ulimits"]} == {
        "nofile": (granted.open_files, granted.open_files + 8192),
        "fsize": (granted.file_bytes, granted.file_bytes),
        "core": (0, 0),
    }
    config = inspected["Config"]
    assert config["User"] == f"{SKILL_UID}:{SKILL_UID}"
    assert (config["OpenStdin"], config["StdinOnce"], config["Tty"]) == (True, True, False)
    assert config["Labels"]["skillyard.instance"] == instance
    assert "skillyard.lease" in config["Labels"]


async def test_every_mount_is_read_only_or_a_sized_memory_file_system(inspected, granted: Granted) -> None:
    assert {mount["Destination"]: (mount["Type"], mount["RW"]) for mount in inspected["Mounts"]} == {
        "/opt/skillyard/skillyard/sandbox/guest": ("bind", False),
        "/skill": ("bind", False),
        "/env": ("bind", False),
        "/opt/skillyard/channel": ("bind", False),
    }
    assert {mount["Propagation"] for mount in inspected["Mounts"]} == {"rprivate"}
    tmpfs = inspected["HostConfig"]["Tmpfs"]
    assert set(tmpfs) == {"/scratch", "/tmp", "/dev/shm"}
    for options in tmpfs.values():
        assert {"nosuid", "nodev", f"size={granted.scratch_bytes}", "mode=0700"} <= set(options.split(","))


async def test_we_mask_at_least_what_the_engine_masks(inspected, engine: Engine, image, instance: str) -> None:
    """Naming paths of our own replaces an engine's: none of its may be lost by that."""
    config = {"Image": image.reference, "Cmd": ["/bin/true"], "Labels": {"skillyard.instance": instance}}
    plain = await engine.create(config, {})
    try:
        found = await engine.inspect(plain)
    finally:
        await engine.remove(plain)
    assert found is not None
    assert set(found["HostConfig"]["MaskedPaths"]) <= set(inspected["HostConfig"]["MaskedPaths"])


async def test_every_process_is_confined_as_the_kernel_says_it(start, call, engine: Engine, granted: Granted) -> None:
    """Not as a configuration says it: relay, zygote and spares of a container that has served a call, from outside."""
    running = await start()
    await call(running, "scripts/plain.py:echo")
    found = await engine.inspect(running.container)
    assert found is not None
    async with asyncio.timeout(60):
        while not _are_confined(found["State"]["Pid"], granted):  # noqa: ASYNC110 - the kernel has no event for it
            await asyncio.sleep(0.02)


def _are_confined(first: int, granted: Granted) -> bool:
    """False where a process ended meanwhile, as the call's own and those that make spares do, or no spare is there."""
    zygote, *spares = _children(first)
    try:
        for pid in (first, zygote, *spares):
            _see_confined(pid, granted, is_relay=pid == first)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return len(spares) >= 2


def _see_confined(pid: int, granted: Granted, *, is_relay: bool) -> None:
    namespaces = {name: Path(f"/proc/{pid}/ns/{name}").readlink() for name in ("mnt", "pid", "net", "ipc", "uts")}
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    limits = Path(f"/proc/{pid}/limits").read_text()
    capabilities = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert [int(status[name], 16) for name in capabilities] == [0] * len(capabilities)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Seccomp_filters"] == ("1" if is_relay else "2")
    assert {*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()} == {str(SKILL_UID)}
    # What is above the grant is the relay's alone.
    files = next(line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files"))
    assert files == [str(granted.open_files + (8192 if is_relay else 0))] * 2
    for name, namespace in namespaces.items():
        assert namespace != Path(f"/proc/self/ns/{name}").readlink()


def _children(pid: int) -> list[int]:
    return sorted(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


async def test_the_skill_has_no_privilege_no_network_and_its_limits(start, call, granted: Granted) -> None:
    outcome = await call(await start(), "scripts/hostile.py:status")
    seen = orjson.loads(outcome.result_json)
    status = seen["status"]
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(SKILL_UID)}
    assert seen["interfaces"] == ["lo"]
    assert seen["oom_score"] == "1000"
    assert seen["limits"]["Max open files"] == [str(granted.open_files)] * 2
    assert seen["limits"]["Max file size"] == [str(granted.file_bytes)] * 2
    assert seen["limits"]["Max core file size"] == ["0", "0"]


async def test_the_skill_sees_nothing_writable_but_the_scratch(start, call) -> None:
    outcome = await call(await start(), "scripts/hostile.py:status")
    mounts = orjson.loads(outcome.result_json)["mounts"]
    for point in ("/", "/skill", "/opt/skillyard/skillyard/sandbox/guest", "/sys", "/proc/sys"):
        assert mounts[point].split(",")[0] == "ro", point
    for point in ("/scratch", "/tmp", "/dev/shm"):
        assert {"rw", "nosuid", "nodev"} <= set(mounts[point].split(","))
    assert "noexec" not in mounts["/scratch"]
    assert "noexec" in mounts["/tmp"]
    assert "noexec" in mounts["/dev/shm"]


async def test_a_processor_quota_is_set_where_it_is_granted(start, engine: Engine) -> None:
    running = await start(limits={"cpu_quota": 0.5})
    found = await engine.inspect(running.container)
    assert found is not None
    host = found["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == 0.5


def test_a_runtime_is_named_only_where_one_is_set(granted: Granted) -> None:
    plan = _plan(granted)
    assert "Runtime" not in host_config(plan)
    assert host_config(replace(plan, runtime="runsc"))["Runtime"] == "runsc"


def test_threads_of_numeric_libraries_follow_the_quota(granted: Granted) -> None:
    assert "OMP_NUM_THREADS=4" in container_config(_plan(granted))["Env"]
    assert "OMP_NUM_THREADS=1" in container_config(_plan(replace(granted, cpu_quota=0.5)))["Env"]
    assert "OMP_NUM_THREADS=8" in container_config(_plan(replace(granted, cpu_quota=8.0)))["Env"]


def test_the_scratch_is_what_was_granted(granted: Granted) -> None:
    assert "size=5242880" in host_config(_plan(replace(granted, scratch_bytes=5 * MIB)))["Tmpfs"]["/scratch"]


def _plan(granted: Granted) -> ContainerPlan:
    return ContainerPlan(
        image="image",
        python="/usr/bin/python3",
        guest=Path("/guest"),
        channel=None,
        uid=SKILL_UID,
        granted=granted,
        bundle=Path("/bundle"),
        environment=None,
        labels={},
        runtime=None,
    )
