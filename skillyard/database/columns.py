"""Tables' common ground: the base with its naming of constraints, column types that mean the same on both engines."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum, IntEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Dialect, Integer, MetaData, SmallInteger, String
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from skillyard.times import in_utc


class Base(DeclarativeBase):
    """Every table. Constraints get names by one convention, so that migrations can address them on any engine."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


Key = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit integer keys. SQLite's ``INTEGER`` is 64 bits wide, and only a column of that name counts up by itself."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware on both sides, UTC when read. Naive values are refused with ``ValueError``."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        # SQLite keeps no offset; what was bound was UTC.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


E = TypeVar("E", bound=Enum)


class StoredEnum(TypeDecorator[E], Generic[E]):
    """A closed set of values, stored by value: text for a ``StrEnum``, a small integer for an ``IntEnum``.

    Only members can be bound, and an unknown value in the file is a ``ValueError`` when read, never a bare string.
    """

    impl = String
    cache_ok = True

    def __init__(self, members: type[E]) -> None:
        super().__init__(32)
        self.members = members

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # SQLAlchemy types this as an engine of unknown content
        numeric = issubclass(self.members, IntEnum)
        return dialect.type_descriptor(SmallInteger() if numeric else String(32))

    def process_bind_param(self, value: E | None, dialect: Dialect) -> Any:  # noqa: ARG002
        if value is None:
            return None
        if not isinstance(value, self.members):
            raise TypeError(f"{value!r} is not a member of {self.members.__name__}")
        return value.value

    def process_result_value(self, value: Any, dialect: Dialect) -> E | None:  # noqa: ARG002
        return None if value is None else self.members(value)


def one_of(column: str, members: type[Enum]) -> CheckConstraint:
    """The check that goes with a ``StoredEnum`` column, for writers that do not pass through SQLAlchemy."""
    values = ", ".join(str(m.value) if isinstance(m, int) else f"'{m.value}'" for m in members)
    return CheckConstraint(f"{column} IN ({values})", name=column)


def stored_time(moment: datetime) -> str:
    """The text that ``UtcDateTime`` keeps on SQLite, for a writer that uses the driver directly."""
    return in_utc(moment).replace(tzinfo=None).isoformat(" ", "microseconds")
