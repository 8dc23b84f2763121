"""The real console script in processes of its own, each over a home that shares nothing but fetched packages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from skillyard.sandbox.engine import Engine
from tests.first_start import furnish

SCRIPT = Path(sys.executable).with_name("skillyard")
SKILLS = Path(__file__).parents[2] / "skills"
NO_ENGINE = "unix:///nonexistent/docker.sock"
SECONDS = 280


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as what ``--json`` promises: exactly one JSON document on one line."""
        assert self.out.endswith("\n")
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs ``skillyard`` in a folder of its own, under settings of its own."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    seconds: float = SECONDS
    """The longest that a command may take."""

    def __call__(self, *arguments: str | Path, stdin: str = "", **settings: str) -> Ran:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(**settings),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(SCRIPT), *map(str, arguments)]

    def environment(self, **settings: str) -> dict[str, str]:
        ours = {f"SKILLYARD_{name.upper()}": value for name, value in {**self.settings, **settings}.items()}
        return {**os.environ, **ours}

    @property
    def home(self) -> Path:
        return Path(self.settings["home"])


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is the same for every home: fetched packages, environments, facts about base images."""
    folder = tmp_path_factory.mktemp("package-cache")
    for name in ("environments", "cache", "images"):
        (folder / name).mkdir()
    return folder


def new_cli(folder: Path, package_cache: Path, **settings: str) -> Cli:
    home = folder / "home"
    home.mkdir(parents=True)
    for shared in package_cache.iterdir():
        (home / shared.name).symlink_to(shared)
    furnish(home, database=False)
    work = folder / "work"
    work.mkdir()
    # The advisories that ship with the project are old: all but tests of just that accept their age.
    return Cli(work, {"home": str(home), "advisories_max_age_days": "36500", **settings})


@pytest.fixture
def cli(tmp_path: Path, package_cache: Path) -> Cli:
    return new_cli(tmp_path, package_cache)


@dataclass(frozen=True)
class Served:
    """A running server. ``token`` is its first person's."""

    url: str
    token: str
    cli: Cli
    process: subprocess.Popen[str]

    def __call__(self, *arguments: str | Path, token: str | None = None, **settings: str) -> Ran:
        """A client command as the first person, or as another token's holder."""
        return self.cli(*arguments, server=self.url, token=token or self.token, **settings)


@contextmanager
def serving(cli: Cli, *, log: str = "serve.log") -> Iterator[Served]:
    """``skillyard serve`` until the block ends; it must end well when it is told to. Its log lies in the home."""
    furnish(cli.home, database="database_url" not in cli.settings)
    written = cli.home / log
    with (
        written.open("w") as stderr,
        subprocess.Popen(
            cli.command("serve", "--json", "--port", "0"),
            cwd=cli.folder,
            env=cli.environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, written.read_text()
            ready = json.loads(line)
            yield Served(ready["url"], ready["token"], cli, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert code == 0, written.read_text()


def containers(home: Path) -> int:
    """How many containers of a home the engine has, running or not."""

    async def count() -> int:
        engine = Engine()
        try:
            return len(await engine.containers({"skillyard.instance": (home / "instance-id").read_text()}))
        finally:
            await engine.close()

    return asyncio.run(count())


MANIFEST = """---
name: {name}
description: Made by a test.
metadata:
  version: "{version}"
{more}---
# {name}
"""


def skill(
    parent: Path, *, name: str = "adder", version: str = "1.0.0", python: str = "", files: dict[str, str] | None = None
) -> Path:
    """A skill's folder; without ``files`` it has one function, ``scripts/main.py:run``, that adds one."""
    files = files or {"scripts/main.py": "def run(x: int) -> int:\n    return x + 1\n"}
    folder = parent / name
    more = f'  skillyard.python: "{python}"\n' if python else ""
    if "scripts/main.py" in files and "def run" in files["scripts/main.py"]:
        more += '  skillyard.entry: "scripts/main.py:run"\n'
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(MANIFEST.format(name=name, version=version, more=more))
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    return folder
