"""The live log of ``dev``: one line for each change, or one JSON document for each line."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic_core import to_json

from skillyard.api.answers import invocation_view
from skillyard.api.schemas.invocations import InvocationView
from skillyard.cli.failures import failure_of
from skillyard.cli.screen import Screen
from skillyard.runtime.dev_events import (
    Called,
    CallFailed,
    DevEvent,
    FolderReturned,
    FolderVanished,
    Held,
    Place,
    Refused,
    Superseded,
    Swapped,
    Unchanged,
)
from skillyard.sandbox.environment import Progress
from skillyard.sandbox.outcome import OutcomeState

_MOST_PATHS = 3
_INDENT = "          "

Lines = Callable[[], Iterable[str]]


class DevLog:
    """Writes to one screen, in the order in which things happen."""

    def __init__(self, screen: Screen, *, folder: Path) -> None:
        self._screen = screen
        self._folder = folder

    def ready(self, url: str, token: Path, name: str | None) -> None:
        skill = f"local/{name or 'NAME'}"
        document = {
            "event": "ready",
            "url": url,
            "token_file": token,
            "folder": self._folder,
            "skill": skill,
            "policy": "local",
        }
        call = f'SKILLYARD_TOKEN="$(cat {shlex.quote(str(token))})" skillyard invoke {skill} --server {url}'
        self._screen.answer(document, lambda: _ready(self._folder, url, call))

    def stopped(self) -> None:
        self._screen.answer({"event": "stopped"}, lambda: ["stopped; nothing of it runs any more"])

    def progress(self, progress: Progress) -> None:
        """Longer steps alone are worth a line, and only for people."""
        if progress.total is None and not self._screen.json:
            self._screen.note(f"{_INDENT}… {progress.step}")

    def told(self, event: DevEvent) -> None:
        match event:
            case Swapped():
                self._say("swapped", _swapped(event), lambda: _swapped_lines(event))
            case Unchanged(changed, serving):
                facts: dict[str, object] = {"changed": changed, "serving": serving}
                self._say("unchanged", facts, lambda: [f"{_paths(changed)}: nothing new, {serving} serves"])
            case Refused():
                self._say("refused", _refused(event), lambda: _refused_lines(event))
            case Held(changed, version, reason, serving):
                facts = {"changed": changed, "version": version, "reason": reason, "serving": serving}
                self._say("held", facts, lambda: _held_lines(event))
            case Superseded(changed):
                self._say("superseded", {"changed": changed}, lambda: [f"{_paths(changed)}: newer content came"])
            case FolderVanished(serving):
                gone = f"{self._folder} is gone; {_still(serving)}"
                self._say("folder_vanished", {"folder": self._folder, "serving": serving}, lambda: [gone])
            case FolderReturned():
                self._say("folder_returned", {"folder": self._folder}, lambda: [f"{self._folder} is there again"])
            case Called(invocation):
                view = invocation_view(invocation)
                self._say("called", {"invocation": view}, lambda: _called_lines(view))
            case CallFailed(version, error):
                failure = failure_of(error)
                facts = {"skill": version, "detail": failure.detail, "code": failure.code}
                self._say("call_failed", facts, lambda: [f"calling {version}: error: {failure.detail}"])

    def _say(self, event: str, facts: Mapping[str, object], lines: Lines) -> None:
        def stamped() -> Iterator[str]:
            first = f"{datetime.now().astimezone():%H:%M:%S}  "
            for line in lines():
                yield from (
                    f"{first if not number else _INDENT}{part}" for number, part in enumerate(line.splitlines())
                )
                first = _INDENT

        self._screen.answer({"event": event, **facts}, stamped)


def _ready(folder: Path, url: str, call: str) -> Iterator[str]:
    yield f"serving {folder} on {url}; decided by the local policy; Ctrl-C ends it"
    yield f"call it:  {call}"


def _swapped(event: Swapped) -> dict[str, object]:
    return {
        "changed": event.changed,
        "old": event.old,
        "new": event.new,
        "verdict": event.verdict.name,
        "packages": event.packages,
        "lock": "kept" if event.locks_known else "resolved",
        "approved": event.approved,
        "stages_ms": {stage: _ms(seconds) for stage, seconds in event.stages.items()},
        "total_ms": _ms(event.seconds),
    }


def _swapped_lines(event: Swapped) -> Iterator[str]:
    steps = ", ".join(_step(event, stage, seconds) for stage, seconds in event.stages.items())
    yield f"{_paths(event.changed)} → {event.new} serves after {_ms(event.seconds):.0f} ms"
    yield f"{steps}; {event.verdict.name}"
    if event.approved:
        yield f"approved, on the record: {', '.join(event.approved)}"


def _step(event: Swapped, stage: str, seconds: float) -> str:
    if stage != "lock":
        return f"{stage} {_ms(seconds):.0f} ms"
    if not event.packages:
        return "no packages"
    return "lock kept" if event.locks_known else f"lock {_ms(seconds):.0f} ms"


def _refused(event: Refused) -> dict[str, object]:
    failure = failure_of(event.error)
    place = event.place or Place("", None)
    return {
        "changed": event.changed,
        "detail": failure.detail,
        "code": failure.code,
        **failure.facts,
        "file": place.file or None,
        "line": place.line,
        "serving": event.serving,
    }


def _refused_lines(event: Refused) -> Iterator[str]:
    failure = failure_of(event.error)
    yield f"{_paths(event.changed)}: refused ({failure.code})"
    place = event.place
    where = "" if place is None else f"{place.file}:{place.line}" if place.line else place.file
    yield failure.detail if not where or failure.detail.startswith(where) else f"{where}: {failure.detail}"
    yield from failure.more
    yield _still(event.serving)


def _held_lines(event: Held) -> Iterator[str]:
    yield f"{_paths(event.changed)}: {event.version} is held"
    yield event.reason
    yield "start again with --approve, or approve with `skillyard run PATH --approve` and save once more"
    yield _still(event.serving)


def _called_lines(view: InvocationView) -> Iterator[str]:
    outcome = view.outcome
    took = "" if outcome.usage.wall_seconds is None else f" after {outcome.usage.wall_seconds * 1000:.0f} ms"
    why = f": {outcome.reason}" if outcome.reason else ""
    yield f"called {view.skill}: {outcome.state.value}{took}{why}"
    if outcome.result is not None:
        yield to_json(outcome.result, indent=2).decode()
    for text in (outcome.stdout, outcome.stderr if outcome.state is not OutcomeState.SUCCEEDED else ""):
        if text and text.strip():
            yield text.rstrip()


def _still(serving: str | None) -> str:
    return "nothing serves calls" if serving is None else f"{serving} still serves"


def _paths(changed: tuple[str, ...]) -> str:
    more = len(changed) - _MOST_PATHS
    return ", ".join(changed[:_MOST_PATHS]) + (f" and {more} more" if more > 0 else "")


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
