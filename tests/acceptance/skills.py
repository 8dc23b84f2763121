"""Skills as archives to upload: the bundled ones, the ones of the assets, and small ones made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.acceptance.copies import ROOT

BUNDLED = ROOT / "skills"
ASSETS = ROOT / "tests" / "assets" / "acceptance"


def folder_zip(folder: Path) -> bytes:
    """A skill's folder as it is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return packed(folder.name, {str(path.relative_to(folder)): path.read_bytes() for path in files})


def made(
    name: str,
    code: str,
    *,
    version: str = "1.0.0",
    functions: tuple[str, ...] = ("run",),
    **metadata: str,
) -> bytes:
    """A skill with functions of one Python file. Further metadata: ``python="six==1.17.0"``, ``memory="128MiB"``."""
    text = manifest(name, version, functions=functions, **metadata)
    return packed(name, {"SKILL.md": text.encode(), "scripts/main.py": code.encode()})


def manifest(name: str, version: str, *, functions: tuple[str, ...] = ("run",), **metadata: str) -> str:
    """The SKILL.md of such a skill, as the specification has it. ``description`` may be another one."""
    said = metadata.pop("description", "Made by an acceptance story.")
    entries = " ".join(f"scripts/main.py:{function}" for function in functions)
    fields = {"version": version, "skillyard.entry": entries} | {
        f"skillyard.{key}": text for key, text in metadata.items()
    }
    lines = "".join(f'  {key}: "{text}"\n' for key, text in fields.items())
    return f"---\nname: {name}\ndescription: {said}\nmetadata:\n{lines}---\n# {name}\n"


def packed(name: str, files: Mapping[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for path, content in files.items():
            writer.writestr(f"{name}/{path}", content)
    return archive.getvalue()
