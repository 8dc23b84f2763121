"""Source archives as packages publish them, kind ones and hostile ones, served by the loopback index."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from skillyard.sandbox.images import base_target
from skillyard.sandbox.resolvers.uv import create_resolver
from skillyard.settings import Settings
from skillyard.skills.lock import Lock
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

PYPROJECT = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'

BACKEND = '''
import base64, hashlib, os, pathlib, zipfile

def pack(folder, name="NAME", version="VERSION", files=None, record=lambda text: text, requires=()):
    """A wheel of one module, as the format specification says."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\\n" for one in requires)
    files = {
        **(files or {f"{name}.py": b"where = __file__\\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{needs}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    def digest(data):
        return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    lines = "".join(f"{path},sha256={digest(data)},{len(data)}\\n" for path, data in files.items())
    files[f"{info}/RECORD"] = record(f"{lines}{info}/RECORD,,\\n").encode()
    filename = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / filename, "w") as packed:
        for path, data in files.items():
            packed.writestr(zipfile.ZipInfo(path, (1980, 1, 2, 0, 0, 0)), data)
    return filename

def get_requires_for_build_wheel(settings=None):
    return []

def build_wheel(folder, settings=None, metadata=None):
    return pack(folder)
'''


def make_sdist(name: str, version: str, code: str = "", files: Mapping[str, bytes] | None = None) -> bytes:
    """A source archive with a backend of its own, so that it needs nobody else's; ``code`` comes after it."""
    backend = BACKEND.replace("NAME", name).replace("VERSION", version) + code
    content = {"pyproject.toml": PYPROJECT, "backend.py": backend.encode(), **(files or {})}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        for path, data in content.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return archive.getvalue()


@pytest.fixture
def offer(wheelhouse) -> Callable[..., str]:
    """Serve one more source archive; its sha256."""

    def add(name: str, version: str, code: str = "", files: Mapping[str, bytes] | None = None) -> str:
        data = make_sdist(name, version, code, files)
        wheelhouse.wheels[f"{name}-{version}.tar.gz"] = data
        return hashlib.sha256(data).hexdigest()

    return add


@pytest.fixture
def allowing(settings: Settings) -> Settings:
    """Building from source is allowed, with limits that are near."""
    update = {"source_builds": "allow", "source_build_timeout": 60.0, "source_build_memory_mib": 320}
    return settings.model_copy(update=update)


@pytest.fixture
def lock_of() -> Callable[..., object]:
    """Resolves requirements as a skill declares them."""

    async def resolve(settings: Settings, *requirements: str, on_progress=lambda _: None) -> Lock:
        declared = tuple(
            DeclaredPackage(Ecosystem.PYPI, text.partition("=")[0].partition("[")[0], text, Origin("SKILL.md", 3, None))
            for text in requirements
        )
        return await create_resolver(settings).resolve(declared, base_target(), on_progress)

    return resolve


@pytest.fixture
def staging(settings: Settings) -> Path:
    return settings.home / "environments" / "staging"
