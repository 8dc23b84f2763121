"""A few things of the standard library as the guest needs them, without the modules that bring them.

``json`` brings ``re`` and ``enum``, as do ``signal`` and ``socket``, and ``contextlib`` brings ``functools`` and
``collections``: together half of what an interpreter takes to get ready, and pages that every fork copies the tables
of. What a skill imports of them is loaded for it once, in the zygote. The work is done by the C modules behind them.
"""

from __future__ import annotations

import _json
import _socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_WHITESPACE = " \t\n\r"
_NOT_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_DESCRIPTOR_BYTES = struct.calcsize("i")


class suppress:  # noqa: N801 - the name of what it stands in for
    """``contextlib.suppress``."""

    def __init__(self, *exceptions: type[BaseException]) -> None:
        self._exceptions = exceptions

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._exceptions)


class _Reading:
    """How ``json`` reads unless told otherwise; the C scanner takes it from these names."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _NOT_NUMBERS.__getitem__


_scan = _json.make_scanner(_Reading)  # type: ignore[arg-type] # it takes whatever has these names


def loads(data: bytes | str) -> Any:
    """``json.loads``. Raises ``ValueError``."""
    text = data if isinstance(data, str) else str(data, "utf-8")
    try:
        value, end = _scan(text, len(text) - len(text.lstrip(_WHITESPACE)))
    except StopIteration as error:
        raise ValueError(f"no JSON at character {error.value}") from None
    if text[end:].strip(_WHITESPACE):
        raise ValueError(f"there is more behind the JSON, from character {end}")
    return value


def _unknown(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def dumps(value: object, *, allow_nan: bool = True, ensure_ascii: bool = True) -> str:
    """``json.dumps`` without spaces between items. Raises ``TypeError``, ``ValueError`` or ``RecursionError``."""
    text = _json.encode_basestring_ascii if ensure_ascii else _json.encode_basestring
    if isinstance(value, str):
        return text(value)
    # The second place is for circular references, which are told apart by identity.
    write = _json.make_encoder({}, _unknown, text, None, ":", ",", False, False, allow_nan)
    return "".join(write(value, 0))


def send_fds(link: _socket.socket, data: bytes, descriptors: list[int]) -> None:
    """One packet with descriptors (``SCM_RIGHTS``). Raises ``OSError``."""
    link.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(descriptors)}i", *descriptors))])


def recv_fds(link: _socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """One packet and the descriptors that came with it. Raises ``OSError``."""
    data, ancillary, _, _ = link.recvmsg(size, _socket.CMSG_LEN(most * _DESCRIPTOR_BYTES))
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            descriptors += struct.unpack_from(f"{len(content) // _DESCRIPTOR_BYTES}i", content)
    return data, descriptors
