"""A socket for one guest: in a folder that its container mounts read-only, gone from it once the guest is connected.

The engine's attached streams pass through the engine and its shim, twice a call each way; a socket between the two
ends does not (ADR 0021). The guest connects before anything foreign runs; nobody can afterwards.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

NAME = "socket"
_FOLDER_MODE, _SOCKET_MODE = 0o711, 0o666


class Listener:
    """Listens from its making until ``close``, for the first who connects."""

    def __init__(self, folder: Path) -> None:
        """``folder`` exists and is empty. Raises ``OSError``."""
        self.folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        # The folder above keeps strangers out: nobody but its owner reaches this one on the host.
        folder.chmod(_FOLDER_MODE)
        # An address holds 107 bytes, and a path may be longer: it is named by the folder's descriptor.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.bind(f"/proc/self/fd/{descriptor}/{NAME}")
        finally:
            os.close(descriptor)
        (folder / NAME).chmod(_SOCKET_MODE)
        self._socket.listen(1)

    @property
    def listening(self) -> socket.socket:
        return self._socket

    def close(self) -> None:
        """Take the socket out of the folder. Idempotent."""
        self._socket.close()
        (self.folder / NAME).unlink(missing_ok=True)
