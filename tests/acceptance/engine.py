"""What runs on the Docker Engine, seen with Docker's own command, so that our own code cannot be wrong about it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def instance_of(home: Path) -> str:
    return (home / "instance-id").read_text().strip()


def containers(home: Path) -> tuple[str, ...]:
    """Every container, running or not, that a server over this home started."""
    return tuple(
        _docker("ps", "--all", "--quiet", "--no-trunc", f"--filter=label=skillyard.instance={instance_of(home)}")
    )


def inspect(container: str) -> dict[str, Any]:
    (found,) = json.loads("\n".join(_docker("inspect", container)))
    return dict(found)


def remove(found: tuple[str, ...]) -> None:
    if found:
        subprocess.run(["docker", "rm", "--force", *found], check=False, capture_output=True, timeout=60)


def _docker(*arguments: str) -> list[str]:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()
