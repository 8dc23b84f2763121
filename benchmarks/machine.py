"""Where and on what a figure was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent


def machine() -> dict[str, Any]:
    """The facts a figure depends on. ``load`` is the machine's load average of the last minute."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "docker": _said("docker", "version", "--format", "{{.Server.Version}}"),
        "docker_client": _said("docker", "version", "--format", "{{.Client.Version}}"),
        "cgroup": _said("docker", "info", "--format", "v{{.CgroupVersion}} {{.CgroupDriver}}"),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def commit() -> str:
    """The commit that was measured, with ``+`` where the working tree had changes to the package on top of it."""
    changed = _said("git", "--no-optional-locks", "-C", str(_ROOT), "status", "--porcelain", "--", "skillyard")
    return _said("git", "-C", str(_ROOT), "rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
