"""Progress of longer work on standard error: bars where a terminal shows them, otherwise one line a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from skillyard.governance.advisories.source import Progress as UpdateProgress
from skillyard.sandbox.environment import Progress


class Watcher(Protocol):
    """Takes steps as they come, from any thread."""

    def step(self, progress: Progress) -> None: ...

    def update(self, progress: UpdateProgress) -> None: ...

    def clear(self) -> None:
        """Leave the screen to somebody else for good."""
        ...


@contextmanager
def watching(stream: IO[str], what: str) -> Iterator[Watcher]:
    """A watcher for as long as the block lasts; ``what`` names the work as a whole."""
    if not stream.isatty():
        yield _Lines(stream)
        return
    # Only here, because importing what draws bars takes longer than many a command.
    from skillyard.cli.bars import bars  # noqa: PLC0415

    with bars(stream, what) as watcher:
        yield watcher


class _Lines:
    """One line for each new step; counts within a step are not worth a line in a log."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._last = ""

    def step(self, progress: Progress) -> None:
        if progress.step == self._last:
            return
        self._last = progress.step
        self._stream.write(f"… {progress.step}\n")
        self._stream.flush()

    def update(self, progress: UpdateProgress) -> None:
        self.step(as_step(progress))

    def clear(self) -> None:
        """A line that is written stays."""


_STAGES = {
    "fetch": "fetching advisories",
    "read": "reading advisory records",
    "write": "writing the advisory index",
}


def as_step(progress: UpdateProgress) -> Progress:
    """An advisory update's progress in the words that everything else uses."""
    return Progress(_STAGES.get(progress.stage, progress.stage), progress.done, progress.total)
