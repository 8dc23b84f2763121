"""The root of every error that Skillyard raises on purpose.

Each package has one root of its own below this one. An error carries its data as attributes; the edges
(``api.problems``, ``cli.exit_codes``) each keep one table from error types to statuses and exit codes.
"""

from __future__ import annotations

from typing import ClassVar


class SkillyardError(Exception):
    """Something Skillyard refuses or could not do. ``code`` is stable; the message is for people."""

    code: ClassVar[str] = "error"


class InputError(SkillyardError):
    """Input that is wrong. Names the file, line and field where there is one."""

    code = "invalid_input"

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None, field: str | None = None):
        self.message = message
        self.file = file
        self.line = line
        self.field = field
        super().__init__(self._text())

    def _text(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        prefix = f"{place}: " if place else ""
        field = f"{self.field}: " if self.field else ""
        return f"{prefix}{field}{self.message}"


class NotFoundError(SkillyardError):
    """A thing that was named does not exist, or belongs to another workspace."""

    code = "not_found"


class ConflictError(SkillyardError):
    """The request contradicts what is already stored."""

    code = "conflict"


class MachineError(SkillyardError):
    """The machine lacks something that is needed (an engine, a tool, disk). ``skillyard doctor`` says what."""

    code = "machine"
