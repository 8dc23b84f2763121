"""A call as ``multipart/form-data`` (RFC 7578): its JSON in ``request``, its files as they come, straight to disk.

Starlette's own parser keeps no limit on what it spools, and gives files only once all have come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from skillyard.api.schemas.invocations import MAX_FILES
from skillyard.api.spool import Spool
from skillyard.errors import InputError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_REQUEST_FIELD_BYTES = 8 * 1024 * 1024
"""Most that the JSON in the field ``request`` may hold; files go beside it."""

RoomFor = Callable[[bytes], Awaitable[int]]
"""How many bytes of files the call in a ``request`` field may bring."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a form held. ``files`` maps paths as the client gave them to places on disk."""

    request: bytes
    files: tuple[tuple[str, Path], ...]
    stdin: Path | None


async def read_form(
    content_type: str, body: AsyncIterator[bytes], spool: Spool, *, room: int, room_for: RoomFor
) -> Form:
    """Read a whole form. Files together, and standard input, may each hold ``room`` bytes; once the call itself is
    known, because it came first, as many as ``room_for`` says.

    Raises ``InputError`` for a form that does not fit, ``HTTPException`` 413 for one that is too large, and
    ``DiskFullError``.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InputError("the media type names no boundary")
    parts = _Parts(spool, room)
    parser = MultipartParser(boundary, parts.callbacks())
    try:
        async for chunk in body:
            asked = parts.request
            parser.write(chunk)
            if asked is None and parts.request is not None:
                parts.room = min(room, await room_for(parts.request))
            parts.check()
            await spool.flush()
        parser.finalize()
    except FormParserError as error:
        raise InputError(f"the body is no multipart form: {error}") from error
    await spool.flush(all_of_it=True)
    return parts.form()


class _Parts:
    """Takes what the parser finds, part by part."""

    def __init__(self, spool: Spool, room: int) -> None:
        self._spool = spool
        self.room = room
        self.request: bytes | None = None
        """Set once it is complete."""
        self._files: list[tuple[str, Path]] = []
        self._stdin: Path | None = None
        self._size = self._stdin_size = 0
        self._name = ""
        self._header = self._value = b""
        self._disposition = b""
        self._field = bytearray()
        self._place: Path | None = None

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
        }

    def check(self) -> None:
        if self._size > self.room:
            raise HTTPException(413, f"the files hold more than {self.room} bytes")
        if self._stdin_size > self.room:
            raise HTTPException(413, f"standard input holds more than {self.room} bytes")

    def form(self) -> Form:
        if self.request is None:
            raise InputError("the multipart field `request` must hold the call as JSON", field="request")
        return Form(self.request, tuple(self._files), self._stdin)

    def _begin(self) -> None:
        self._header = self._value = self._disposition = b""
        self._place = None

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        match self._name:
            case "request" if b"filename" not in options and self.request is None:
                self._field.clear()
            case "files":
                self._new_file(options.get(b"filename", b""))
            case "stdin" if self._stdin is None:
                self._stdin = self._place = self._spool.new_file()
            case name:
                raise InputError(f"the multipart field {name[:100]!r} is unknown, or given twice", field=name[:100])

    def _new_file(self, name: bytes) -> None:
        try:
            path = name.decode()
        except UnicodeDecodeError as error:
            raise InputError("a file's name is not UTF-8", field="files") from error
        if not path:
            raise InputError("every part named `files` needs a file name, which is its path", field="files")
        if len(self._files) >= MAX_FILES:
            raise InputError(f"more than {MAX_FILES} files", field="files")
        self._place = self._spool.new_file()
        self._files.append((path, self._place))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._place is None:
            self._field += data[start:end]
            if len(self._field) > MAX_REQUEST_FIELD_BYTES:
                raise HTTPException(413, f"the field `request` is larger than {MAX_REQUEST_FIELD_BYTES} bytes")
            return
        if self._name == "stdin":
            self._stdin_size += end - start
        else:
            self._size += end - start
        self._spool.add(self._place, data[start:end])

    def _end(self) -> None:
        if self._place is None:
            self.request = bytes(self._field)
            self._field.clear()
