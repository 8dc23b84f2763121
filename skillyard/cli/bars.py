"""Progress bars on a terminal, drawn by Rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Drawn
from rich.text import Text

from skillyard.cli.progress import as_step
from skillyard.governance.advisories.source import Progress as UpdateProgress
from skillyard.sandbox.environment import Progress


@contextmanager
def bars(stream: IO[str], what: str) -> Iterator[Bars]:
    """A bar that shows the present step, and goes when the block ends."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
    )
    drawn = Drawn(*columns, console=Console(file=stream), transient=True)
    with drawn:
        yield Bars(drawn, drawn.add_task(_one_line(what), total=None, count=""))


class Bars:
    """Implements ``Watcher``. Rich takes care of threads."""

    def __init__(self, drawn: Drawn, task: TaskID) -> None:
        self._drawn = drawn
        self._task = task

    def step(self, progress: Progress) -> None:
        count = f"{progress.done}/{progress.total}" if progress.total else ""
        self._drawn.update(
            self._task,
            description=_one_line(progress.step),
            completed=progress.done,
            # A step without a known end gets a bar that only moves.
            total=progress.total,
            count=count,
        )

    def update(self, progress: UpdateProgress) -> None:
        self.step(as_step(progress))

    def clear(self) -> None:
        self._drawn.stop()


def _one_line(text: str) -> str:
    return Text("".join(c if c.isprintable() else " " for c in text)).plain
