"""Where a command talks: its answer on standard output, everything else on standard error.

With ``--json`` the answer is exactly one JSON document on one line. Whatever comes from a skill, a server or an index
is foreign text: characters that a terminal would act on are shown instead of obeyed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Annotated

import typer
from pydantic_core import to_json

from skillyard.cli.progress import Watcher, watching

_ELSEWHERE = 100

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


class Screen:
    """One command's standard output and standard error."""

    def __init__(self, *, json: bool = False, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        self.json = json
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def answer(self, document: object, text: Callable[[], Iterable[str]]) -> None:
        """The command's answer: ``document`` (anything pydantic turns into JSON), or the lines of ``text``."""
        if self.json:
            self._out.write(to_json(document, bytes_mode="base64").decode() + "\n")
        else:
            self._out.writelines(f"{plain(line)}\n" for line in text())
        self._out.flush()

    @property
    def width(self) -> int:
        """Columns of the terminal that answers go to; 100 where they go elsewhere."""
        try:
            return os.get_terminal_size(self._out.fileno()).columns or _ELSEWHERE
        except (OSError, ValueError):
            return _ELSEWHERE

    def write(self, document: bytes) -> None:
        """An answer that is a whole document already, without any character that a terminal would act on."""
        self._out.write(document.decode())
        self._out.flush()

    def report(self, text: bytes) -> None:
        """A report for people, in colours where this is a terminal."""
        if not self._out.isatty():
            self.write(text)
            return
        # Only here, because importing what draws takes longer than many a command.
        from skillyard.cli.colours import draw  # noqa: PLC0415

        draw(self._out, text.decode())

    def note(self, line: str) -> None:
        """Something worth knowing that is not the answer."""
        self._err.write(f"{plain(line)}\n")
        self._err.flush()

    @contextmanager
    def watch(self, what: str) -> Iterator[Watcher]:
        """Show how far a longer piece of work is: bars on a terminal, a line a step elsewhere."""
        with watching(self._err, what) as watcher:
            yield watcher


def plain(text: str) -> str:
    """The text with every character that is neither printable, a line break nor a tab written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns padded to their widest cell, two spaces apart. A header alone where there are no rows."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def size(count: float | None) -> str:
    """Bytes for people, in units of 1024."""
    if count is None:
        return "unknown"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
