"""What detectors look at: the text of a file, or text that was hidden in it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum


class Language(StrEnum):
    """What a text is written in, by its name, its first line, or, for a view inside a view, by what parses."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    SHELL = "shell"
    MARKDOWN = "markdown"
    CONFIG = "config"
    """Machine-read settings: JSON, YAML, TOML, INI, ``.npmrc``, ``requirements.txt``, …"""
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class View:
    """One text. ``file`` is the path inside the skill that a person opens to find it.

    ``via`` says how it was got at, outermost first, for example ``("base64",)`` or ``("zip: inner/run.py",)``; empty
    for the file's own text. ``first_line`` is the line of ``file`` (from 1) on which the text begins; where the text
    has no lines of its own in the file (``via`` is not empty), every hit is on that line.
    """

    file: str
    text: str
    language: Language
    first_line: int = 1
    via: tuple[str, ...] = ()
    starts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Where each line begins."""

    def __post_init__(self) -> None:
        found = [0]
        position = self.text.find("\n")
        while position >= 0:
            found.append(position + 1)
            position = self.text.find("\n", position + 1)
        object.__setattr__(self, "starts", tuple(found))

    def line(self, offset: int) -> int:
        """The line of ``file`` for a character of the text."""
        return self.first_line if self.via else self.first_line + bisect_right(self.starts, offset) - 1

    def line_text(self, offset: int) -> str:
        """The line of the text that holds a character, without its end."""
        number = bisect_right(self.starts, offset)
        end = self.starts[number] - 1 if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end]
