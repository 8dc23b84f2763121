"""The stage of one story: homes, servers, checks, figures, and the clean-up of all of it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from tests.acceptance import engine
from tests.acceptance.copies import ROOT, broken_copy
from tests.acceptance.server import SKILLYARD, Server, clean_environment, run, serving
from tests.acceptance.story import Break, CheckFailedError, Figure, HarnessError

T = TypeVar("T")

SHARED = ROOT / ".accept"
"""What is the same for every home and dear to make: fetched packages, environments, uv's cache, facts about images."""
_SHARED_FOLDERS = ("environments", "cache", "images")
_ANY_AGE = "100000"


class Stage:
    """One telling. ``broken`` is the break it is told over, if any."""

    def __init__(self, broken: Break | None) -> None:
        self.figures: dict[str, Figure] = {}
        self.checks: list[str] = []
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(_temporary_folder()))
        self._homes = 0
        self._package = broken_copy(broken, self._folder / "package") if broken else None
        self._see_that_the_copy_is_used()

    # Telling

    def check(self, name: str, holds: bool, saw: str = "") -> None:
        """One promise. Raises ``CheckFailedError`` where it does not hold; ``saw`` is what was there instead."""
        if not holds:
            raise CheckFailedError(name, saw)
        self.checks.append(name)
        say(f"  ok: {name}")

    @contextmanager
    def timed(self, figure: str) -> Iterator[None]:
        """Seconds that the block took, as a figure."""
        began = time.monotonic()
        yield
        self.figures[figure] = round(time.monotonic() - began, 3)

    def until(self, name: str, condition: Callable[[], T], *, seconds: float = 60) -> T:
        """Wait for something to become true, as a check; returns what it became."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise CheckFailedError(name, f"not within {seconds:g} s; last seen: {found!r}")
            time.sleep(0.05)
        self.checks.append(name)
        say(f"  ok: {name}")
        return found

    # Props

    def folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))

    def home(self, *, shared: bool = True) -> Path:
        """A fresh home. ``shared=False`` for one that has to fetch its packages itself."""
        self._homes += 1
        home = self._folder / f"home-{self._homes}"
        home.mkdir()
        for name in _SHARED_FOLDERS if shared else ("images",):
            (SHARED / name).mkdir(parents=True, exist_ok=True)
            (home / name).symlink_to(SHARED / name)
        self._stack.callback(_remove_containers, home)
        return home

    def environment(self, home: Path, **settings: str) -> dict[str, str]:
        """For any process of ours over ``home``. The embedded advisories are old: unless a story says otherwise,
        their age is accepted."""
        path = [str(self._package)] if self._package else []
        path += [settings.pop("python_path")] if "python_path" in settings else []
        # Nothing is fetched in the middle of a story: updates are made by those that tell of them.
        never = {"advisories_update_hours": "0"}
        ours = {"home": str(home), "port": "0", "advisories_max_age_days": _ANY_AGE} | never | settings
        environment = clean_environment() | {f"SKILLYARD_{name.upper()}": value for name, value in ours.items()}
        return environment | {
            "PYTHONPATH": ":".join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def serve(self, home: Path, *, also: Mapping[str, str] = MappingProxyType({}), **settings: str) -> Server:
        """A running server; it ends with the story, unless the story ends it before. ``also`` is of its environment."""
        return self._stack.enter_context(serving(home, {**self.environment(home, **settings), **also}))

    def command(self, home: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """One ``skillyard`` command: exit code, standard output, standard error."""
        done = run(SKILLYARD, *arguments, environment=self.environment(home, **settings), cwd=self._folder)
        return done.returncode, done.stdout, done.stderr

    def python(self, home: Path, code: str, given: str) -> str:
        """What a Python process with the package prints; it has to end well."""
        done = run(sys.executable, "-c", code, environment=self.environment(home), cwd=self._folder, given=given)
        if done.returncode != 0:
            raise HarnessError(done.stderr[-3000:])
        return done.stdout

    def close(self) -> None:
        self._stack.close()

    def _see_that_the_copy_is_used(self) -> None:
        home = self._folder / "nowhere"
        used = Path(self.python(home, "import skillyard; print(skillyard.__file__)", "").strip())
        wanted = (self._package or ROOT) / "skillyard" / "__init__.py"
        if used != wanted:
            raise HarnessError(f"processes of this story import {used}, not {wanted}")


def say(text: str) -> None:
    """Progress, for people."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def _temporary_folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="skillyard-accept-")
    try:
        yield folder
    finally:
        _remove(Path(folder))


def _remove(folder: Path) -> None:
    """Environments are read-only folders: who is not root has to open them first."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)


def _remove_containers(home: Path) -> None:
    """What a broken product leaves behind is not left to the next story."""
    if (home / "instance-id").exists():
        engine.remove(engine.containers(home))
