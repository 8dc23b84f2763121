"""The demo's voice: plain sentences, a title a chapter, a bar while something takes longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from skillyard.cli.screen import plain

_LOOK_SECONDS = 0.2

Measure = Callable[[], tuple[int, int | None]]
"""How far a piece of work is, and how far it goes; ``None`` where nobody knows."""


class Narrator:
    """Writes to one stream. Foreign text is shown, never obeyed."""

    def __init__(self, stream: IO[str]) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)

    def title(self, number: int, of: int, text: str) -> None:
        self._console.print()
        self._console.print(Text(f"{number}/{of}  {text}", style="bold"))

    def say(self, text: str) -> None:
        self._console.print(Text(f"  {plain(text)}"))

    def good(self, text: str) -> None:
        """Something that was checked and holds."""
        self._console.print(Text.assemble(("  ✓ ", "green"), plain(text)))

    def blank(self) -> None:
        self._console.print()

    @contextmanager
    def waiting(self, text: str, measure: Measure | None = None) -> Iterator[None]:
        """A bar for as long as the block lasts; a line where no terminal can draw one."""
        if not self._console.is_terminal:
            self.say(f"… {text}")
            yield
            return
        columns = (
            TextColumn(" "),
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as drawn:
            task = drawn.add_task(plain(text), total=None, count="")
            with _measuring(drawn, task, measure):
                yield


@contextmanager
def _measuring(drawn: Progress, task: TaskID, measure: Measure | None) -> Iterator[None]:
    """Look from time to time how far it is, in a thread of its own, until the block ends."""
    if measure is None:
        yield
        return
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            done, total = measure()
            count = f"{done}/{total}" if total else str(done)
            drawn.update(task, completed=done, total=total, count=count)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
