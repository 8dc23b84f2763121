"""Targets with locks, an index to ask, and programs that stand where an engine should be."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.engines.environments import EngineEnvironment, engine_environment
from skillyard.governance.engines.loopback import Loopback
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, SourceBuild, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
MakeTarget = Callable[..., ScanTarget]


def package(name: str, version: str) -> LockedPackage:
    return LockedPackage(name, version, (LockedArtefact(f"{name}.whl", "0" * 64, None),), (), True)


@pytest.fixture
def target(tmp_path: Path) -> MakeTarget:
    """``target({"jinja2": "2.10"}, build={"jinja2": "3.1.6"}, npm={…})``; without arguments, no packages."""

    def make(
        pypi: Mapping[str, str] | None = None,
        *,
        build: Mapping[str, str] | None = None,
        npm: Mapping[str, str] | None = None,
        locked: bool = True,
    ) -> ScanTarget:
        folder = tmp_path / "demo-skill"
        folder.mkdir(exist_ok=True)
        declared = " ".join(f"{name}=={version}" for name, version in (pypi or {}).items())
        packages = f'metadata:\n  skillyard.python: "{declared}"\n' if declared else ""
        (folder / "SKILL.md").write_text(f"---\nname: demo-skill\ndescription: Scan me.\n{packages}---\nRun.\n")
        locks: list[Lock] = []
        for ecosystem, pins in ((Ecosystem.PYPI, pypi), (Ecosystem.NPM, npm)):
            if pins:
                own = tuple(package(name, version) for name, version in sorted(pins.items()))
                locks.append(Lock(ecosystem, Target("3.11", "x86_64-manylinux_2_28"), own))
        if build:
            needed = tuple(package(name, version) for name, version in sorted(build.items()))
            locks[0] = replace(locks[0], builds=(SourceBuild(locks[0].packages[0].name, needed),))
        return ScanTarget(parse_skill(folder), tuple(locks) if locked else (), folder)

    return make


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index made of the embedded snapshot, to be read or copied."""
    return asyncio.run(ensure_index(tmp_path_factory.mktemp("embedded"), now=NOW))


@pytest.fixture
def index(embedded: Path) -> IndexFile:
    """The embedded snapshot's index, opened by this test alone."""
    return IndexFile(embedded)


@pytest.fixture
def installed() -> Callable[[str], EngineEnvironment]:
    """An engine's environment as set-up makes it."""

    def find(name: str) -> EngineEnvironment:
        environment = engine_environment(Settings(), name)
        assert environment.is_there, f"{name} is not installed: run scripts/setup tests"
        return environment

    return find


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Sequence[str]]:
    """``program(code)`` is the command of a real program that stands where an engine should be."""

    def make(code: str) -> Sequence[str]:
        path = tmp_path / "engine"
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(0o755)
        return (str(path),)

    return make


@pytest.fixture
def misrouted() -> Callable[[str], Callable[[AdvisoryIndex], AbstractContextManager[Loopback]]]:
    """``misrouted(url)`` serves the index as always and sends engines to another address."""

    def make(url: str) -> Callable[[AdvisoryIndex], AbstractContextManager[Loopback]]:
        class Elsewhere(Loopback):
            @property
            def url(self) -> str:
                return url

        @contextmanager
        def serve(index: AdvisoryIndex) -> Iterator[Loopback]:
            endpoint = Elsewhere(index)
            endpoint.start()
            try:
                yield endpoint
            finally:
                endpoint.stop()

        return serve

    return make
