"""What a call answered, on the terminal and as a document, wherever it ran."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TextIO, assert_never

from pydantic_core import to_json

from skillyard.api.schemas.invocations import InvocationView
from skillyard.cli.exit_codes import ExitCode, of_denial
from skillyard.cli.saved import SavedFile
from skillyard.cli.screen import Screen, plain, size
from skillyard.sandbox.environment import Progress, ProgressSink
from skillyard.sandbox.environment import silent as unwatched
from skillyard.sandbox.events import Emitted, Logged, Output, Progressed
from skillyard.sandbox.outcome import OutcomeState


class LiveOutput:
    """What a call prints, passed on while it runs: a script's as it is, a function's as notes, because its answer is
    what it returns. With ``--json`` none of that is passed on; the document has it all. Progress and log lines are on
    standard error in any case."""

    def __init__(
        self,
        *,
        script: bool,
        silent: bool,
        before: Callable[[], None],
        step: ProgressSink = unwatched,
    ) -> None:
        """``before`` is called ahead of each piece, for whoever draws on the same terminal; ``step`` shows how far the
        call says that it is."""
        self._silent = silent
        self._before = before
        self._step = step
        self._streams: Mapping[int, TextIO] = {1: sys.stdout if script else sys.stderr, 2: sys.stderr}

    def emit(self, emitted: Emitted) -> None:
        match emitted:
            case Output(stream=stream, data=data):
                self.write(stream, data)
            case Progressed():
                self._step(_as_step(emitted))
            case Logged(level=level, message=message, data=data):
                self._before()
                more = "" if data is None else f" {to_json(data).decode()}"
                sys.stderr.write(plain(f"{level}: {message}{more}".replace("\n", " ")) + "\n")
                sys.stderr.flush()
            case _:
                assert_never(emitted)

    def write(self, stream: int, data: bytes) -> None:
        if self._silent:
            return
        self._before()
        target = self._streams[stream]
        if target.isatty():
            # Control sequences of a skill could rewrite what stands on the screen.
            target.write(plain(data.decode(errors="replace").replace("\r\n", "\n")))
        else:
            target.flush()
            target.buffer.write(data)
        target.flush()


def _as_step(progressed: Progressed) -> Progress:
    """In whole steps: as they are where they are whole, otherwise in hundredths of the way."""
    done, total, what = progressed.progress, progressed.total, progressed.message or "the call goes on"
    if total is None or total <= 0:
        return Progress(what, int(done), None)
    if float(done).is_integer() and float(total).is_integer():
        return Progress(what, int(done), int(total))
    return Progress(what, int(100 * done / total), 100)


def show_invocation(
    screen: Screen, view: InvocationView, saved: tuple[SavedFile, ...], *, held_hint: str, facts: Mapping[str, object]
) -> ExitCode:
    """The answer of a call, and the exit code that goes with it."""
    code = exit_code_of_call(view)
    document = view.model_dump(mode="json") | dict(facts)
    document["outcome"]["files"] = saved
    screen.answer(document, lambda: _result(view))
    if not screen.json:
        for line in _told(view, saved, held_hint):
            screen.note(line)
    return code


def exit_code_of_call(view: InvocationView) -> ExitCode:
    match view.decision.kind:
        case "hold":
            return ExitCode.HELD
        case "deny":
            return of_denial([reason.code for reason in view.decision.reasons])
        case "allow":
            return ExitCode.DONE if view.outcome.state is OutcomeState.SUCCEEDED else ExitCode.REFUSED


def _result(view: InvocationView) -> Iterator[str]:
    if view.outcome.result is not None:
        yield to_json(view.outcome.result, indent=2).decode()


def _told(view: InvocationView, saved: tuple[SavedFile, ...], held_hint: str) -> Iterator[str]:
    for file in saved:
        yield f"file: {file.saved_to} ({size(file.size)})"
    match view.decision.kind:
        case "hold":
            yield f"held: {view.skill} waits for approval request {view.approval}"
            yield from (f"  - {reason.message}" for reason in view.decision.reasons)
            yield held_hint
        case "deny":
            yield f"error: {view.skill} is refused"
            yield from (f"  - {reason.message}" for reason in view.decision.reasons)
        case "allow":
            yield from _ended(view)


def _ended(view: InvocationView) -> Iterator[str]:
    outcome, usage = view.outcome, view.outcome.usage
    for reason in view.decision.reasons:
        if reason.code != "allowed":
            yield f"note: {reason.message}"
    took = "" if usage.wall_seconds is None else f" after {usage.wall_seconds:.2f} s"
    memory = "" if usage.peak_memory_bytes is None else f", peak memory {size(usage.peak_memory_bytes)}"
    if outcome.state is OutcomeState.SUCCEEDED:
        yield f"{view.skill} succeeded{took}{memory}"
        return
    code = "" if outcome.exit_code is None else f" (exit code {outcome.exit_code})"
    why = f": {outcome.reason}" if outcome.reason else ""
    yield f"error: {view.skill} ended as {outcome.state.value}{code}{took}{memory}{why}"
