"""What a call brings: its input, standard input and files, taken off the channel before the call begins."""

from __future__ import annotations

import os

from skillyard.sandbox.guest import scratch
from skillyard.sandbox.guest.frames import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from skillyard.sandbox.guest.channel import Channel


class IntakeError(Exception):
    """The input could not be stored."""

    def __init__(self, problem: OSError) -> None:
        self.disk_full = problem.errno is not None and scratch.is_no_space(problem.errno)
        super().__init__(f"the call's input could not be stored: {problem}")


class CancelledIntakeError(Exception):
    """The host gave the call up while it sent its input."""


class Intake:
    """Reads the ``DATA`` frames that a ``CALL`` announces."""

    def __init__(self, channel: Channel, header: dict[str, Any]) -> None:
        self._channel = channel
        self._header = header
        self._rest = b""
        self.input = b""
        self.stdin: int | None = None
        """Descriptor of a memory file with the standard input, where there is some."""
        self.files: dict[str, scratch.Stamp] = {}

    def take(self) -> None:
        """Raises ``IntakeError`` (the channel is past this call's data all the same) or ``CancelledIntakeError``."""
        header = self._header
        self.input = b"".join(self._read(header["input_size"]))
        problem = self._take_stdin(header["stdin_size"]) if header["stdin_size"] else None
        for file in header["files"]:
            pieces = self._read(file["size"])
            problem = problem or self._take_file(file["path"], pieces)
            # After a failure the rest is still taken off the channel, so that the next frame is the next request.
            for _ in pieces:
                pass
        if problem is not None:
            self.close()
            raise IntakeError(problem)

    def close(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None

    def _take_stdin(self, size: int) -> OSError | None:
        self.stdin = os.memfd_create("stdin", os.MFD_CLOEXEC)
        pieces = self._read(size)
        problem = _copy(pieces, self.stdin)
        for _ in pieces:
            pass
        os.lseek(self.stdin, 0, os.SEEK_SET)
        return problem

    def _take_file(self, path: str, pieces: Iterator[bytes]) -> OSError | None:
        try:
            descriptor = scratch.create_input(path)
        except OSError as error:
            return error
        problem = _copy(pieces, descriptor)
        self.files[path] = scratch.finish_input(descriptor)
        return problem

    def _read(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._rest or self._next()
            piece, self._rest = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def _next(self) -> bytes:
        kind, payload = self._channel.next_frame()
        if kind is Kind.DATA and payload:
            return payload
        self.close()
        raise CancelledIntakeError


def _copy(pieces: Iterator[bytes], descriptor: int) -> OSError | None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except OSError as error:
                return error
    return None
