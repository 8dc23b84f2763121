"""The channel's frames and the rules both of its ends check.

A frame is one byte of kind, four bytes of big-endian payload length, and the payload (at most ``MAX_PAYLOAD``).
``HELLO``, ``CALL``, ``READY``, ``END``, ``FILE``, ``FILES_END`` and ``SPENT`` carry one JSON object in UTF-8; the
others carry bytes as they are.

Host to guest: ``HELLO`` once; then per call ``CALL`` followed by as many ``DATA`` frames as its sizes need (input,
standard input, files, in this order and without gaps), and possibly ``CANCEL``. Guest to host: ``READY`` after
``HELLO``, and after a call without a result when the next can be taken; during a call ``STDOUT``, ``STDERR``,
``EVENT`` (JSON lines, as the skill wrote them) and ``RESULT``; one ``END`` with the facts; where those say that there
are files, and the call wants them, ``FILE`` with its ``FILE_DATA`` for each, and ``FILES_END``. ``SPENT`` says that the
container takes no further call. End of file ends the guest.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

HEADER = struct.Struct(">BI")
MAX_PAYLOAD = 1024 * 1024
CHUNK = 64 * 1024
"""Size that bulk data is cut into."""

MAX_PATH_BYTES = 1024
MAX_PATH_PARTS = 32
MAX_PART_BYTES = 255
# Controls (DEL and C1), what has no width (but the joiners that scripts need), separators of lines, marks of direction.
_UNSEEN_CODES = (*range(0x7F, 0xA0), 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
_UNSEEN = frozenset(("\\", *map(chr, _UNSEEN_CODES)))
MAX_FILES = 512
"""Most files that one call may take, or hand back."""

MAX_EVENT_BYTES = 8 * 1024
"""Largest progress or log event, which is one packet from the skill."""
MAX_EVENTS_BYTES = 1024 * 1024
"""Most that the events of one call may hold together."""
_LEAST_EVENT_BYTES = 64


def event_cost(event: bytes) -> int:
    """What an event counts for: even an empty one costs its handling on the way, and memory at the other end."""
    return max(len(event), _LEAST_EVENT_BYTES)


class Kind(int):
    """Kinds of frame; those below 16 go to the guest, the others come from it.

    One object each, like the members of an enumeration. ``enum`` itself takes longer to load than all of the guest.
    """

    name: str
    HELLO: ClassVar[Kind]
    CALL: ClassVar[Kind]
    DATA: ClassVar[Kind]
    CANCEL: ClassVar[Kind]
    READY: ClassVar[Kind]
    STDOUT: ClassVar[Kind]
    STDERR: ClassVar[Kind]
    RESULT: ClassVar[Kind]
    END: ClassVar[Kind]
    FILE: ClassVar[Kind]
    FILE_DATA: ClassVar[Kind]
    FILES_END: ClassVar[Kind]
    SPENT: ClassVar[Kind]
    EVENT: ClassVar[Kind]


def _kinds(first: int, *names: str) -> dict[int, Kind]:
    """The kinds of these names, numbered from ``first`` on."""
    kinds = {number: Kind(number) for number in range(first, first + len(names))}
    for kind, name in zip(kinds.values(), names, strict=True):
        kind.name = name
        setattr(Kind, name, kind)
    return kinds


KINDS = {
    **_kinds(1, "HELLO", "CALL", "DATA", "CANCEL"),
    **_kinds(16, "READY", "STDOUT", "STDERR", "RESULT", "END", "FILE", "FILE_DATA", "FILES_END", "SPENT", "EVENT"),
}

Frame = tuple[Kind, bytes]


class FrameError(ValueError):
    """The other end does not speak this protocol."""


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise FrameError(f"a {kind.name} frame of {len(payload)} bytes is over the limit")
    return HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """Cuts a stream into frames; holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by ``data``. Raises ``FrameError`` for an unknown kind or a frame over the limit."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        offset = 0
        while len(buffer) - offset >= HEADER.size:
            number, size = HEADER.unpack_from(buffer, offset)
            if size > MAX_PAYLOAD:
                raise FrameError(f"a frame of {size} bytes is over the limit")
            end = offset + HEADER.size + size
            if len(buffer) < end:
                break
            frames.append((_kind(number), bytes(buffer[offset + HEADER.size : end])))
            offset = end
        del buffer[:offset]
        return frames


def _kind(number: int) -> Kind:
    kind = KINDS.get(number)
    if kind is None:
        raise FrameError(f"frame kind {number} is unknown")
    return kind


def path_problem(path: str) -> str | None:
    """What is wrong with a relative file path, or ``None`` where both ends accept it."""
    try:
        raw = path.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    parts = path.split("/")
    if not path or path.startswith("/"):
        return "it is empty or absolute"
    if any(part in {"", ".", ".."} for part in parts):
        return "it has an empty, '.' or '..' part"
    if any(character < " " or character in _UNSEEN for character in path):
        return "it has a backslash, or a character that is not seen or changes how others are shown"
    if len(raw) > MAX_PATH_BYTES or len(parts) > MAX_PATH_PARTS:
        return f"it is longer than {MAX_PATH_BYTES} bytes or {MAX_PATH_PARTS} parts"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"it has a part longer than {MAX_PART_BYTES} bytes"
    return None
