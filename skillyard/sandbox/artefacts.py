"""Files that a call hands back: checked frame by frame, written to disk as they arrive, shown when all are whole.

The event loop checks what a guest sends against limits of our own; a thread writes and hashes it, at most
``MAX_BEHIND`` bytes later. Everything lands in a staging folder that becomes the call's folder by one rename.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import mimetypes
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from skillyard.sandbox.ending import parse_object
from skillyard.sandbox.folders import remove_folder
from skillyard.sandbox.guest.frames import MAX_FILES, FrameError, path_problem
from skillyard.sandbox.outcome import OutputFile

MAX_BEHIND = 1024 * 1024
"""Most bytes that wait to be written; above, nothing more is read from the guest."""

UNKNOWN_TYPE = "application/octet-stream"
_TYPES = mimetypes.MimeTypes()
"""The standard library's own table, without what the machine's files would add: the same names give the same types."""


def media_type_of(path: str) -> str:
    """The type that a file's name stands for. Its content is never looked at: that is how content gets its way."""
    found, encoding = _TYPES.guess_type(PurePosixPath(path).name)
    if encoding is not None:
        return "application/gzip" if encoding == "gzip" else UNKNOWN_TYPE
    return found or UNKNOWN_TYPE


class Receiving:
    """Checks ``FILE``, ``FILE_DATA`` and ``FILES_END`` frames of one call and passes on what they carry.

    ``limit`` is in bytes over all files. ``take`` gets a path where a file begins, and then its bytes.
    """

    def __init__(self, *, limit: int, take: Callable[[str | bytes], None]) -> None:
        self._limit = limit
        self._take = take
        self._paths: set[str] = set()
        self._folders: set[str] = set()
        self._announced = 0
        self._missing = 0
        self.refused: str | None = None
        """Why the call may not hand back its files."""
        self.left_out: tuple[str, ...] = ()
        self.ended = False

    def start(self, payload: bytes) -> None:
        """Raises ``FrameError`` for a path, a size or an order that no honest guest sends."""
        value = parse_object(payload)
        path, size = value.get("path"), value.get("size")
        if not isinstance(path, str) or type(size) is not int or size < 0 or self._missing:
            raise FrameError("a FILE frame does not have its shape")
        if path_problem(path) is not None or not self._fits(path) or len(self._paths) >= MAX_FILES:
            raise FrameError(f"the guest hands back {path[:200]!a}")
        self._announced += size
        if self._announced > self._limit:
            raise FrameError("the guest hands back more than the limit")
        self._paths.add(path)
        self._missing = size
        self._take(path)

    def add(self, payload: bytes) -> None:
        if len(payload) > self._missing:
            raise FrameError("a FILE_DATA frame is not announced")
        self._missing -= len(payload)
        self._take(payload)

    def end(self, payload: bytes) -> None:
        value = parse_object(payload)
        refused, left_out = value.get("refused"), value.get("left_out")
        if not (refused is None or isinstance(refused, str)) or not isinstance(left_out, list):
            raise FrameError("the FILES_END frame does not have its shape")
        self.refused = refused if refused or not self._missing else "a file is shorter than it was said to be"
        self.left_out = tuple(str(item)[:500] for item in left_out[:100])
        self.ended = True

    def _fits(self, path: str) -> bool:
        """Whether the path is neither there already nor a file and a folder at once."""
        folders = {str(folder) for folder in PurePosixPath(path).parents}
        self._folders |= folders
        return path not in self._paths and path not in self._folders and not folders & self._paths


class ArrivingFiles:
    """One call's files on their way to disk, to become ``folder``. Ends with ``publish`` or ``discard``.

    ``hold`` is told to stop the source when too much waits, and to let it go on. Until a file begins to arrive nothing
    is made, as most calls leave none.
    """

    def __init__(self, folder: Path, staged_as: Path | None, *, hold: Callable[[bool], None]) -> None:
        self._folder = folder
        self._staged_as = staged_as
        self._hold = hold
        self._waiting: list[str | bytes] = []
        self._behind = 0
        self._held = False
        self._task: asyncio.Task[None] | None = None
        self._writer: _Writer | None = None

    def take(self, item: str | bytes) -> None:
        """A path where a file begins, or the next bytes of it. Never blocks and never fails; ``publish`` does."""
        writer = self._writer = self._writer or _Writer(self._folder, staged_place(self._folder, self._staged_as))
        self._waiting.append(item)
        self._behind += len(item)
        if self._behind > MAX_BEHIND and not self._held:
            self._held = True
            self._hold(True)
        if self._task is None:
            self._task = asyncio.create_task(self._write(writer))

    async def _write(self, writer: _Writer) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(writer.write, batch)
            self._behind -= sum(len(item) for item in batch)
            if self._held and self._behind <= MAX_BEHIND:
                self._held = False
                self._hold(False)
        self._task = None

    async def publish(self) -> tuple[OutputFile, ...]:
        """Wait until all is written, then let it appear. Raises ``OSError``, with nothing kept."""
        if self._writer is None:
            return ()
        if self._task is not None:
            await asyncio.shield(self._task)
        return await asyncio.to_thread(self._writer.publish)

    async def discard(self) -> None:
        """Forget everything, also what is being written now. Goes through when the caller is cancelled, too."""
        self._waiting.clear()
        if self._writer is not None:
            await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._writer.discard))


def staged_place(folder: Path, staged_as: Path | None) -> Path:
    """Where the files of ``folder`` are until all are there: a folder that is not there yet."""
    if staged_as is None:
        return folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.part")
    return staged_as.with_name(f"{staged_as.name}.{folder.name}")


class _Writer:
    """The part that blocks. Called from one thread at a time, but for ``discard``, which may come at any moment."""

    def __init__(self, folder: Path, staged: Path) -> None:
        self._folder = folder
        self._staged = staged
        self._lock = threading.Lock()
        self._over = False
        self._problem: OSError | None = None
        self._file: _OpenFile | None = None
        self._files: list[_OpenFile] = []
        self._shown = False

    def write(self, batch: Iterable[str | bytes]) -> None:
        with self._lock:
            for item in batch:
                if self._over or self._problem is not None:
                    return
                try:
                    self._write_one(item)
                except OSError as error:
                    # Kept for ``publish``: the guest goes on sending, and has to be listened to until its end.
                    self._problem = error
                    self._remove()

    def _write_one(self, item: str | bytes) -> None:
        if isinstance(item, str):
            self._close()
            self._file = _OpenFile(self._staged, item)
            self._files.append(self._file)
        elif self._file is not None:
            self._file.write(item)

    def publish(self) -> tuple[OutputFile, ...]:
        with self._lock:
            self._close()
            if self._problem is not None:
                raise self._problem
            self._over = True
            try:
                self._folder.parent.mkdir(parents=True, exist_ok=True)
                self._appear()
            except OSError:
                self._remove()
                raise
            self._shown = True
            return tuple(file.described(self._folder) for file in sorted(self._files, key=lambda file: file.path))

    def _appear(self) -> None:
        try:
            self._staged.rename(self._folder)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            # The caller's own folder holds other things, and keeps them.
            for file in self._files:
                target = self._folder / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                (self._staged / file.path).replace(target)
            remove_folder(self._staged)

    def discard(self) -> None:
        with self._lock:
            self._over = True
            self._remove()
            if self._shown:
                # Its caller left while the files appeared, and will never hear of them.
                for file in self._files:
                    with contextlib.suppress(OSError):
                        (self._folder / file.path).unlink()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _remove(self) -> None:
        self._close()
        with contextlib.suppress(OSError):
            remove_folder(self._staged)


class _OpenFile:
    """A file being written, and hashed on the way."""

    def __init__(self, folder: Path, path: str) -> None:
        self.path = path
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        os.close(self._descriptor)

    def described(self, folder: Path) -> OutputFile:
        return OutputFile(self.path, self._hash.hexdigest(), self._size, folder / self.path, media_type_of(self.path))


def store_result(result: bytes, folder: Path, staged_as: Path, taken: Iterable[str]) -> OutputFile:
    """Keep a result as a file of its call, under a name that is none of ``taken``. Blocks; raises ``OSError``."""
    name, staged = _free_name(set(taken)), staged_place(folder, staged_as)
    try:
        file = _OpenFile(staged, name)
        try:
            file.write(result)
        finally:
            file.close()
        folder.mkdir(parents=True, exist_ok=True)
        (staged / name).rename(folder / name)
        return file.described(folder)
    finally:
        with contextlib.suppress(OSError):
            remove_folder(staged)


def _free_name(taken: set[str]) -> str:
    folders = {path.partition("/")[0] for path in taken}
    number, name = 1, "result.json"
    while name in folders:
        number += 1
        name = f"result-{number}.json"
    return name
