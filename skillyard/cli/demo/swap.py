"""The chapter about swapping, with its callers: an upgrade and a rollback under calls that never pause."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from skillyard.api.schemas.skills import SwapView
from skillyard.cli.client import Client, parsed
from skillyard.cli.demo.stage import REPORT, Stage, StoryError
from skillyard.cli.demo.timeline import Answered
from skillyard.errors import SkillyardError
from skillyard.sandbox.outcome import OutcomeState

CALLERS = 2
_ENOUGH = 3
"""Calls of a version that have to be seen before the story goes on."""
_PATIENCE = 120.0
_LOOK_SECONDS = 0.02

_OLD = 'return {"file": csv, "rows": len(table)'
_NEW = 'return {"edition": "1.1.0", "file": csv, "rows": len(table)'


@dataclass(frozen=True, slots=True)
class Swapped:
    """What came of it: every call that was made, by the version that answered."""

    calls: int
    by_version: dict[str, int]
    answered: tuple[Answered, ...]
    swap_seconds: float
    """From the request of the upgrade to its answer, which says that the pointer has moved."""


@dataclass(slots=True)
class _Count:
    """Calls as their callers saw them. Threads share it under the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    started: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    times: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def of(self, version: str) -> int:
        with self.lock:
            return self.answered[version]


def swap_while_calls_run(stage: Stage) -> Swapped:
    """Upgrade to a patched copy and roll back, each after calls of the version before were seen."""
    count = _Count()
    with tempfile.TemporaryDirectory() as folder:
        patched = patched_copy(stage.skills / "csv-report", Path(folder))
        with _calling(stage, count), stage.narrator.waiting("calling and swapping", lambda: (count.started, None)):
            _wait(count, "1.0.0", _ENOUGH)
            asked = time.monotonic()
            up = parsed(SwapView, stage.install(stage.cast.alice, patched, upgrade=True))
            swap_seconds = time.monotonic() - asked
            stage.require(up.moved and up.new == "1.1.0", "the pointer to move to 1.1.0", up.reason)
            _wait(count, "1.1.0", _ENOUGH)
            before = count.of("1.0.0")
            path = f"/v1/skills/{REPORT.publisher}/{REPORT.name}/rollback"
            down = parsed(SwapView, stage.cast.alice.post(path).value)
            stage.require(down.moved and down.new == "1.0.0", "the pointer to move back to 1.0.0", down.reason)
            _wait(count, "1.0.0", before + _ENOUGH)
    answered = sum(count.answered.values())
    stage.require(not count.failures, "no call to fail", count.failures[:3])
    stage.require(answered == count.started, "every call to be answered", f"{answered} of {count.started} were")
    return Swapped(answered, dict(count.answered), tuple(count.times), swap_seconds)


def patched_copy(skill: Path, parent: Path) -> Path:
    """The skill as version 1.1.0, with one line of its code changed, so that answers tell which version made them."""
    copy = parent / skill.name
    shutil.copytree(skill, copy)
    for path, old, new in (
        (copy / "SKILL.md", 'version: "1.0.0"', 'version: "1.1.0"'),
        (copy / "scripts" / "report.py", _OLD, _NEW),
    ):
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise StoryError(f"{path.name} of {skill.name} is not what the demo knows how to patch")
        path.write_text(text.replace(old, new), encoding="utf-8")
    return copy


@contextmanager
def _calling(stage: Stage, count: _Count) -> Iterator[None]:
    """Callers that go on until the block ends; then each ends its last call."""
    over = threading.Event()
    callers = [threading.Thread(target=_call_on, args=(stage, count, over), daemon=True) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        over.set()
        for caller in callers:
            caller.join()


def _call_on(stage: Stage, count: _Count, over: threading.Event) -> None:
    with Client(address=stage.server.url, token=stage.cast.intern_token) as client:
        while not over.is_set():
            with count.lock:
                count.started += 1
            began = time.monotonic()
            try:
                view = stage.report_call(client)
            except SkillyardError as error:
                with count.lock:
                    count.failures.append(f"{type(error).__name__}: {error}")
                continue
            version = view.skill.rpartition("@")[2]
            edition = view.outcome.result.get("edition") if isinstance(view.outcome.result, dict) else None
            ended = time.monotonic()
            told = "1.1.0" if edition == "1.1.0" else "1.0.0"
            with count.lock:
                if view.outcome.state is not OutcomeState.SUCCEEDED:
                    count.failures.append(f"{view.outcome.state.value}: {view.outcome.reason}")
                elif told != version:
                    count.failures.append(f"{version} answered as {told}")
                count.answered[version] += 1
                count.times.append(Answered(version, ended, ended - began))


def _wait(count: _Count, version: str, calls: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while count.of(version) < calls:
        if time.monotonic() > deadline:
            raise StoryError(f"{version} answered {count.of(version)} calls within {_PATIENCE:g} s, not {calls}")
        with count.lock:
            if count.failures:
                raise StoryError(f"a call failed: {count.failures[0]}")
        time.sleep(_LOOK_SECONDS)
