"""Every field of a build's container, from pure functions: what a package's build may touch is decided here.

As strict as a skill's container (``sandbox.hostconfig``), which a test holds it to. It is not made from that one,
because that takes a ``Granted``, and a build has no decision about an agent behind it: the operator's setting is what
lets it run, and the operator's limits are what it gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillyard.sandbox.builds.recipe import SOURCE_DATE_EPOCH, BuildLimits
from skillyard.sandbox.hostconfig import KERNEL_SETTINGS, MASKED

DRIVER_TARGET = "/opt/skillyard/driver.py"
SOURCE_TARGET = "/skill"
REQUIREMENTS_TARGET = "/env"

_DRIVER = Path(__file__).parent / "driver.py"
_CPU_SHARES = 512
"""Half of what a skill has: whoever waits for a call comes before whoever waits for a build."""
_OPEN_FILES = 1024
_INODES = 65_536
_OOM_SCORE = 500


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The parts that differ between builds. ``argument`` is the driver's; ``uid`` is also the group."""

    image: str
    python: str
    uid: int
    argument: str
    tree: Path
    requirements: Path | None
    labels: Mapping[str, str]
    runtime: str | None
    limits: BuildLimits


def build_config(plan: BuildPlan) -> Mapping[str, Any]:
    """The create request's own fields; ``build_host_config`` makes its ``HostConfig``."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/scratch/work",
        "TMPDIR": "/scratch",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        # Fixed times and hashes, so that what can come out the same comes out the same.
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
        "PYTHONHASHSEED": "0",
        **({} if plan.requirements is None else {"PYTHONPATH": REQUIREMENTS_TARGET}),
    }
    return {
        "Image": plan.image,
        "Entrypoint": [plan.python, "-I", "-S", "-B", "-X", "utf8", DRIVER_TARGET, plan.argument],
        "Cmd": [],
        "User": f"{plan.uid}:{plan.uid}",
        "WorkingDir": "/",
        "Hostname": "build",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": dict(plan.labels),
        "NetworkDisabled": True,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "Healthcheck": {"Test": ["NONE"]},
    }


def build_host_config(plan: BuildPlan) -> Mapping[str, Any]:
    """No network, no capabilities, no new privileges, default seccomp, read-only root, every resource limited."""
    limits = plan.limits
    return {
        "AutoRemove": True,
        "NetworkMode": "none",
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "ReadonlyRootfs": True,
        "Mounts": [_mount(source, target) for source, target in _folders(plan)],
        "Tmpfs": _tmpfs(plan),
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_bytes,
        "PidsLimit": limits.processes,
        "CpuShares": _CPU_SHARES,
        "OomScoreAdj": _OOM_SCORE,
        "MaskedPaths": list(MASKED),
        "Sysctls": dict(KERNEL_SETTINGS),
        "Ulimits": [
            {"Name": "nofile", "Soft": _OPEN_FILES, "Hard": _OPEN_FILES},
            {"Name": "fsize", "Soft": limits.scratch_bytes, "Hard": limits.scratch_bytes},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Init": False,
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
        **({} if plan.runtime is None else {"Runtime": plan.runtime}),
    }


def _folders(plan: BuildPlan) -> list[tuple[Path, str]]:
    folders = [(_DRIVER, DRIVER_TARGET), (plan.tree, SOURCE_TARGET)]
    return folders if plan.requirements is None else [*folders, (plan.requirements, REQUIREMENTS_TARGET)]


def _mount(source: Path, target: str) -> Mapping[str, Any]:
    return {
        "Type": "bind",
        "Source": str(source),
        "Target": target,
        "ReadOnly": True,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _tmpfs(plan: BuildPlan) -> Mapping[str, str]:
    """Builds run what they unpack or write (``setup.py`` helpers, configure scripts) in their work folder only."""
    common = f"rw,nosuid,nodev,size={plan.limits.scratch_bytes},nr_inodes={_INODES},uid={plan.uid},gid={plan.uid}"
    return {
        "/scratch": f"{common},mode=0700,exec",
        "/tmp": f"{common},mode=0700,noexec",  # noqa: S108 - in the container
        "/dev/shm": f"{common},mode=0700,noexec",  # noqa: S108 - in the container
    }
