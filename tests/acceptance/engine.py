"""What runs on the Docker Engine, seen with Docker's own command, so that our own code cannot be wrong about it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def instance_of(home: Path) -> str:
    return (home / "instance-id").read_text().strip()


def containers(home: Path) -> tuple[str, ...]:
    """Every container, running or not, that a server over this home started."""
    return tuple(
        _docker("ps", "--all", "--quiet", "--no-trunc", f"--filter=label=skillyard.instance={instance_of(home)}")
    )


def running(home: Path) -> tuple[str, ...]:
    """Those of them that run: what is made is not started yet, and what has ended is not removed yet."""
    mine = f"--filter=label=skillyard.instance={instance_of(home)}"
    return tuple(_docker("ps", "--quiet", "--no-trunc", "--filter=status=running", mine))


def labels(home: Path, name: str) -> list[str]:
    """What the label says of each of them. In one question: by the next one, some of them may be gone."""
    mine = f"--filter=label=skillyard.instance={instance_of(home)}"
    return _docker("ps", "--all", f'--format={{{{.Label "{name}"}}}}', mine)


def remove(found: tuple[str, ...]) -> None:
    if found:
        subprocess.run(["docker", "rm", "--force", *found], check=False, capture_output=True, timeout=60)


def _docker(*arguments: str) -> list[str]:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.splitlines()
