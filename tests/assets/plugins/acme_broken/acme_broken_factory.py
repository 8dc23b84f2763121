"""Plug-ins that import well and fail when they are made."""


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this works")


def raises(settings: object) -> object:
    raise ValueError(f"no acme server in {type(settings).__name__}")


def unprintable(_settings: object) -> object:
    raise UnprintableError


def exits(_settings: object) -> object:
    raise SystemExit(3)


def without_parameter() -> object:
    return object()


async def asynchronous(_settings: object) -> object:
    return object()


constant = 7
