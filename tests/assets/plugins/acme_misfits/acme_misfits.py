"""Objects that look a little like a scanner. Each departs from the protocol in one way."""

from typing import Any


class NoScan:
    name = "no-scan"


class NoName:
    async def scan(self, target: Any, *, now: Any) -> Any: ...


class NumberForName:
    name = 42

    async def scan(self, target: Any, *, now: Any) -> Any: ...


class NotCallable:
    name = "not-callable"
    scan = "soon"


class Synchronous:
    name = "synchronous"

    def scan(self, target: Any, *, now: Any) -> Any: ...


class OtherParameterName:
    name = "other-parameter-name"

    async def scan(self, skill: Any, *, now: Any) -> Any: ...


class MissingParameter:
    name = "missing-parameter"

    async def scan(self, target: Any) -> Any: ...


class ExtraRequired:
    name = "extra-required"

    async def scan(self, target: Any, *, now: Any, depth: int) -> Any: ...


class RaisingName:
    @property
    def name(self) -> str:
        raise RuntimeError("no name today")

    async def scan(self, target: Any, *, now: Any) -> Any: ...


class Flexible:
    """Not a misfit: takes more than it is given, which is its own affair."""

    name = "flexible"

    async def scan(self, *args: Any, **kwargs: Any) -> Any: ...


def no_scan(_settings: object) -> object:
    return NoScan()


def no_name(_settings: object) -> object:
    return NoName()


def number_for_name(_settings: object) -> object:
    return NumberForName()


def not_callable(_settings: object) -> object:
    return NotCallable()


def synchronous(_settings: object) -> object:
    return Synchronous()


def other_parameter_name(_settings: object) -> object:
    return OtherParameterName()


def missing_parameter(_settings: object) -> object:
    return MissingParameter()


def extra_required(_settings: object) -> object:
    return ExtraRequired()


def raising_name(_settings: object) -> object:
    return RaisingName()


def the_class(_settings: object) -> object:
    return Flexible


def nothing(_settings: object) -> object:
    return None


def flexible(_settings: object) -> object:
    return Flexible()
