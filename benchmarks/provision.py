"""What the peers need: an environment of their own for llm-sandbox and pip, and a folder with the skills' wheels.

Both come from committed locks and are kept in ``.bench``, so that measuring needs no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

_ROOT = Path(__file__).parent.parent
_HOME = _ROOT / ".bench"
_PEERS, _SKILLS = _ROOT / "benchmarks" / "peers.lock", _ROOT / "benchmarks" / "skills.lock"
_SECONDS = 900
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


@dataclass(frozen=True, slots=True)
class Provisions:
    """``python`` is the interpreter of the peers' environment, ``wheels`` a folder of wheel files."""

    python: Path
    wheels: Path

    @property
    def packages(self) -> Path:
        """Where the peers' environment has its packages."""
        (found,) = self.python.parent.parent.glob("lib/python3*/site-packages")
        return found


def provisions() -> Provisions:
    """Install and fetch what is not there yet; one process at a time."""
    _HOME.mkdir(exist_ok=True)
    with _locked(_HOME / "lock"):
        python = _environment(_HOME / "venv")
        return Provisions(python, _wheels(_HOME / "wheels", python))


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not _done(folder, _PEERS):
        print("fetching what is measured beside ours (once)", file=sys.stderr)
        tool = str(uv.find_uv_bin())
        _run(tool, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(folder))
        _run(tool, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), str(_PEERS))
        _finished(folder, _PEERS)
    return python


def _wheels(folder: Path, python: Path) -> Path:
    if not _done(folder, _SKILLS):
        print("fetching the packages of the measured skills (once, about 100 MB)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        target = (
            "--python-version",
            "3.11",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
            "--abi",
            "abi3",
            "--abi",
            "none",
        )
        platforms = [f"--platform={name}" for name in _PLATFORMS]
        what = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(_SKILLS))
        _run(str(python), "-m", "pip", "download", "--quiet", *target, *platforms, *what, "--dest", str(folder))
        _finished(folder, _SKILLS)
    return folder


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_SECONDS)


def _done(folder: Path, lock: Path) -> bool:
    stamp = folder / "complete"
    return stamp.exists() and stamp.read_text() == _digest(lock)


def _finished(folder: Path, lock: Path) -> None:
    (folder / "complete").write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
