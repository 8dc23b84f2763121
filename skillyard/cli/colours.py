"""A report in colours, for terminals that have some."""

from __future__ import annotations

import re
from typing import IO

from rich.console import Console
from rich.text import Text

_STYLES = (
    (re.compile(r"^ *(BLOCK|FAILED|MISSING|TOO OLD)\b"), "bold red"),
    (re.compile(r"^ *(INDETERMINATE|UNSURE|FLAG)\b"), "bold yellow"),
    (re.compile(r"^ *(WAIVED)\b"), "bold cyan"),
    (re.compile(r"^ *(PASS|ran)\b"), "green"),
    (re.compile(r"^ {10,12}(rule|seen|also|why|fix|waive|waived)\b"), "dim"),
    (re.compile(r"^(\S.*)$"), "bold"),
)
"""What the first group matches gets the style of the first pattern that matches a line."""


def draw(stream: IO[str], report: str) -> None:
    """Write a report that was made for the width of the terminal. Obeys ``NO_COLOR`` as Rich does."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for line in report.splitlines():
        console.print(_styled(line))


def _styled(line: str) -> Text:
    text = Text(line)
    for pattern, style in _STYLES:
        if (found := pattern.match(line)) is not None:
            text.stylize(style, *found.span(1))
            break
    return text
