"""What a story is made of: a name, the telling with its checks, and the break that must make it fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from tests.acceptance.stage import Stage

Figure = str | int | float | list[str] | dict[str, float]
CheckName = NewType("CheckName", str)


@dataclass(frozen=True, slots=True)
class Edit:
    """One place in a file of the package: ``old`` is there exactly once, and ``new`` takes its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Break:
    """How a story is broken: ``says`` in words, the edits, and the name of the check that has to notice."""

    says: str
    edits: tuple[Edit, ...]
    trips: str


@dataclass(frozen=True, slots=True)
class Story:
    """``tell`` returns when everything was as promised, and raises ``CheckFailedError`` at the first that was not."""

    name: str
    tell: Callable[[Stage], None]
    breaks: Break


class CheckFailedError(Exception):
    """The product did not do what it promises. ``check`` names the promise."""

    def __init__(self, check: str, saw: str) -> None:
        self.check = check
        self.saw = saw
        super().__init__(f"{check}: {saw}")


class HarnessError(Exception):
    """The story could not be told at all: that says nothing about the promise."""
