"""Every field of a sandbox's container, from pure functions: what a skill may touch is decided here, and only here.

Fields are those of the Docker Engine API's container create request. The reasons are in ``docs/concepts/sandbox.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillyard.sandbox.listener import NAME
from skillyard.skills.permissions import Granted

GUEST_SOURCE = Path(__file__).parent / "guest"
PACKAGE_ROOT = "/opt/skillyard"
GUEST_TARGET = f"{PACKAGE_ROOT}/skillyard/sandbox/guest"
BUNDLE_TARGET = "/skill"
CHANNEL_TARGET = f"{PACKAGE_ROOT}/channel"
ENVIRONMENT_TARGET = "/env"
LABEL_PREFIX = "skillyard."

_NUMERIC_THREADS = 4
_INODES = 16384
_PERIOD = 100_000
_RELAY_FILES = 8192
"""Descriptors that a relay may have beyond what its calls may: see ``guest.relay``. Engines cannot grant more than they
have themselves, and have 20,000 or more."""
_OOM_SCORE = 500
"""In a shortage on the whole machine, sandboxes go before whatever else runs there."""

MASKED = (
    # What current engines mask, also where an older one runs.
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    # And what else says more about the machine than a skill has to know: boot parameters, which may hold passwords,
    # symbols and modules of the kernel, the maker's numbers.
    "/proc/cmdline",
    "/proc/kallsyms",
    "/proc/modules",
    "/sys/devices/virtual/dmi",
)

KERNEL_SETTINGS = {
    # An ended connection over the loopback is forgotten at once: the kernel would keep it, and its port, for a minute,
    # and thus from the next call.
    "net.ipv4.tcp_max_tw_buckets": "0",
}


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """The parts that differ between containers. ``uid`` is also the group."""

    image: str
    python: str
    """Path of the interpreter in the image."""
    guest: Path
    """The guest's code on the host."""
    channel: Path | None
    """Folder with the socket the guest connects to; ``None`` where frames go over the attached streams."""
    uid: int
    granted: Granted
    bundle: Path
    environment: Path | None
    labels: Mapping[str, str]
    runtime: str | None


def container_config(plan: ContainerPlan) -> Mapping[str, Any]:
    """The request's own fields; ``host_config`` makes its ``HostConfig``."""
    return {
        "Image": plan.image,
        "Entrypoint": [plan.python, "-I", "-S", "-B", "-X", "utf8", f"{GUEST_TARGET}/relay.py"],
        "Cmd": [] if plan.channel is None else [f"{CHANNEL_TARGET}/{NAME}"],
        "User": f"{plan.uid}:{plan.uid}",
        "WorkingDir": "/",
        "Hostname": "skill",
        "Env": [f"{name}={value}" for name, value in _environment(plan).items()],
        "Labels": {f"{LABEL_PREFIX}{name}": value for name, value in plan.labels.items()},
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
    }


def _environment(plan: ContainerPlan) -> dict[str, str]:
    threads = str(max(1, round(plan.granted.cpu_quota)) if plan.granted.cpu_quota else _NUMERIC_THREADS)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/scratch/home",
        "TMPDIR": "/scratch/tmp",
        "XDG_CACHE_HOME": "/scratch/cache",
        "MPLCONFIGDIR": "/scratch/cache",
        "MPLBACKEND": "Agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        # Numeric libraries start a thread per processor of the machine, which on a large one passes the process limit.
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    if plan.environment is not None:
        # For the interpreters that a skill starts itself; the guest is started with -I and does not read it.
        environment["PYTHONPATH"] = ENVIRONMENT_TARGET
    return environment


def host_config(plan: ContainerPlan) -> Mapping[str, Any]:
    """No network, no capabilities, no new privileges, default seccomp, read-only root, every resource limited."""
    granted = plan.granted
    return {
        "AutoRemove": True,
        "NetworkMode": "none",
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "ReadonlyRootfs": True,
        "Mounts": _mounts(plan),
        "Tmpfs": _tmpfs(plan),
        "Memory": granted.memory_bytes,
        "MemorySwap": granted.memory_bytes,
        "PidsLimit": granted.processes,
        "CpuShares": granted.cpu_shares,
        "OomScoreAdj": _OOM_SCORE,
        "MaskedPaths": list(MASKED),
        "Sysctls": dict(KERNEL_SETTINGS),
        "Ulimits": [
            # What is above the grant is the relay's; the zygote gives it up before anything foreign runs.
            {"Name": "nofile", "Soft": granted.open_files, "Hard": granted.open_files + _RELAY_FILES},
            {"Name": "fsize", "Soft": granted.file_bytes, "Hard": granted.file_bytes},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Init": False,
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        **({} if granted.cpu_quota is None else _quota(granted.cpu_quota)),
        **({} if plan.runtime is None else {"Runtime": plan.runtime}),
    }


def _quota(cpus: float) -> Mapping[str, Any]:
    return {"CpuPeriod": _PERIOD, "CpuQuota": max(1000, round(cpus * _PERIOD))}


def _mounts(plan: ContainerPlan) -> Sequence[Mapping[str, Any]]:
    folders = [(plan.guest, GUEST_TARGET), (plan.bundle, BUNDLE_TARGET)]
    if plan.environment is not None:
        folders.append((plan.environment, ENVIRONMENT_TARGET))
    if plan.channel is not None:
        folders.append((plan.channel, CHANNEL_TARGET))
    return [
        {
            "Type": "bind",
            "Source": str(source),
            "Target": target,
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        }
        for source, target in folders
    ]


def _tmpfs(plan: ContainerPlan) -> Mapping[str, str]:
    """Only the call's own scratch may hold programs: skills unpack helpers there, and nothing expects to elsewhere."""
    common = f"rw,nosuid,nodev,size={plan.granted.scratch_bytes},nr_inodes={_INODES},uid={plan.uid},gid={plan.uid}"
    return {
        "/scratch": f"{common},mode=0700,exec",
        "/tmp": f"{common},mode=0700,noexec",  # noqa: S108 - in the container
        "/dev/shm": f"{common},mode=0700,noexec",  # noqa: S108 - in the container
    }
