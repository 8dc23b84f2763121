"""The index on loopback: a real uv resolves and installs from it, with metadata and hashes as the standard has them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv
from benchmarks.wheelhouse import serving


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    _write_wheel(folder, "outer", requires="inner>=1")
    _write_wheel(folder, "inner", requires=None)
    return folder


def test_uv_installs_from_it_what_is_asked_for_and_what_that_needs(wheels: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    with serving(wheels) as index:
        done = subprocess.run(
            [
                *(uv.find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--python", sys.executable),
                *("--default-index", index, "--target", str(target), "outer"),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
    assert done.returncode == 0, done.stderr
    assert {"inner.py", "outer.py"} <= {path.name for path in target.iterdir()}


def _write_wheel(folder: Path, name: str, *, requires: str | None) -> None:
    info = f"{name}-1.0.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    members = {
        f"{name}.py": f"NAME = {name!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in members.items():
            archive.writestr(path, text)
        listed = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in members.items())
        archive.writestr(f"{info}/RECORD", f"{listed}{info}/RECORD,,\n")


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
