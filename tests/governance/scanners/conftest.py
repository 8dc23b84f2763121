"""Targets to scan: a skill as parsing gives it, and locks with the packages a test names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.governance.scanner import ScanTarget
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem

MakeTarget = Callable[..., ScanTarget]


def lock_of(ecosystem: Ecosystem, pins: dict[str, str]) -> Lock:
    artefact = LockedArtefact("demo.whl", "0" * 64, None)
    packages = (LockedPackage(name, version, (artefact,), (), True) for name, version in sorted(pins.items()))
    return Lock(ecosystem, Target("3.11", "x86_64-manylinux_2_28"), tuple(packages))


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def target(tmp_path: Path) -> MakeTarget:
    """``target({"jinja2": "2.10"}, npm={"marked": "0.3.5"}, script="import numpy")`` is a target of a real folder."""

    def make(pypi: dict[str, str] | None = None, npm: dict[str, str] | None = None, script: str = "") -> ScanTarget:
        folder = tmp_path / "demo-skill"
        (folder / "scripts").mkdir(parents=True, exist_ok=True)
        declared = " ".join(f"{name}=={version}" for name, version in (pypi or {}).items())
        packages = f'metadata:\n  skillyard.python: "{declared}"\n' if declared else ""
        manifest = f"---\nname: demo-skill\ndescription: A skill to scan.\n{packages}---\nRun it.\n"
        (folder / "SKILL.md").write_text(manifest)
        if script:
            (folder / "scripts" / "run.py").write_text(script)
        given = {Ecosystem.PYPI: pypi, Ecosystem.NPM: npm}
        locks = tuple(lock_of(ecosystem, pins) for ecosystem, pins in given.items() if pins is not None)
        return ScanTarget(parse_skill(folder), locks, folder)

    return make
