"""What the lenient mode lets pass with a note, and the strict mode refuses."""

from __future__ import annotations

from skillyard.skills.errors import SkillError
from skillyard.skills.skill import Note, ParseMode


class Tolerance:
    """Collects the notes of one parse."""

    def __init__(self, mode: ParseMode) -> None:
        self._mode = mode
        self._notes: list[Note] = []

    @property
    def notes(self) -> tuple[Note, ...]:
        return tuple(self._notes)

    @property
    def strict(self) -> bool:
        return self._mode is ParseMode.STRICT

    def tolerate(
        self, code: str, message: str, *, file: str, line: int | None = None, field: str | None = None
    ) -> None:
        """Something outside the specification whose meaning is clear: refused when strict, noted when lenient."""
        if self.strict:
            raise SkillError(message, file=file, line=line, field=field)
        self.remark(code, message, file=file, line=line, field=field)

    def remark(self, code: str, message: str, *, file: str, line: int | None = None, field: str | None = None) -> None:
        """Something within the specification that people should know."""
        self._notes.append(Note(code, message, file, line, field))
