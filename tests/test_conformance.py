"""What counts as implementing a protocol. The cases of a scanner are in ``test_plugins``; these are the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from skillyard.conformance import mismatches


class Base(Protocol):
    size: int

    def close(self) -> None: ...


class Seam(Base, Protocol):
    def read(self, where: str, /, start: int, end: int | None = None) -> bytes: ...

    def changes(self) -> AsyncIterator[int]: ...


class Good:
    size = 3

    def close(self) -> None: ...

    def read(self, path: str, /, start: int, end: int | None = None) -> bytes:
        return path.encode()[start:end]

    async def changes(self) -> AsyncIterator[int]:
        yield 1


def test_an_object_with_everything_conforms_also_when_it_does_not_inherit_from_the_protocol() -> None:
    assert mismatches(Good(), Seam) == ()


def test_members_of_an_extended_protocol_are_required_too() -> None:
    class Half:
        def read(self, path: str, /, start: int, end: int | None = None) -> bytes: ...

        def changes(self) -> AsyncIterator[int]: ...

    assert mismatches(Half(), Seam) == ("it lacks size, which Seam requires", "it lacks close(), which Seam requires")


def test_an_optional_parameter_must_stay_optional() -> None:
    class Demanding(Good):
        def read(self, path: str, /, start: int, end: int) -> bytes: ...

    assert mismatches(Demanding(), Seam) == ("read() has other parameters: missing a required argument: 'end'",)


def test_a_parameter_that_callers_may_name_must_keep_its_name() -> None:
    class Renamed(Good):
        def read(self, path: str, /, first: int, end: int | None = None) -> bytes: ...

    (problem,) = mismatches(Renamed(), Seam)
    assert problem.startswith("read() has other parameters:")


def test_an_async_method_where_a_plain_one_is_called_would_never_run() -> None:
    class Lazy(Good):
        async def close(self) -> None: ...

    assert mismatches(Lazy(), Seam) == ("close() must not be async",)


def test_a_callable_attribute_may_stand_in_for_a_method() -> None:
    class Closer:
        def __call__(self) -> None: ...

    class Composed(Good):
        close = Closer()

    assert mismatches(Composed(), Seam) == ()
