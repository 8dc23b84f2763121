"""Skills and locks as the JSON text that the database keeps. Reading is strict: a row that does not fit is an error."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from skillyard.runtime.errors import RuntimeRefusalError
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Skill

_SKILL = TypeAdapter(Skill)
_LOCKS = TypeAdapter(tuple[Lock, ...])


class StoredValueError(RuntimeRefusalError):
    """A stored skill or lock cannot be read back."""

    code = "stored_value"


def skill_to_json(skill: Skill) -> str:
    return _SKILL.dump_json(skill).decode()


def skill_from_json(text: str) -> Skill:
    try:
        return _SKILL.validate_json(text)
    except ValidationError as error:
        raise StoredValueError(f"a stored skill cannot be read: {error}") from error


def locks_to_json(locks: tuple[Lock, ...]) -> str:
    return _LOCKS.dump_json(locks).decode()


def locks_from_json(text: str) -> tuple[Lock, ...]:
    try:
        return _LOCKS.validate_json(text)
    except ValidationError as error:
        raise StoredValueError(f"a stored lock cannot be read: {error}") from error
