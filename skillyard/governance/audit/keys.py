"""The key that heads are signed with, and those it replaced, in a folder of the home.

Everything here blocks for a moment.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from skillyard.errors import InputError, MachineError
from skillyard.governance import signing
from skillyard.governance.signing import HEX_KEY, MOST_BYTES, PublicKey, SigningKey, public_of

NAME = "audit.ed25519"
_NEXT = "audit.ed25519.next"
_RETIRED = "audit.retired"
_HEX_ID = re.compile(r"[0-9a-f]{32}")


class AuditKeyError(MachineError):
    """The file of the key that audit heads are signed with cannot be used."""

    code = "audit_key"


class KeyFolder:
    """The folder of a home's keys. Processes that change it hold its lock; see ``runtime.audit_signing``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def lock(self) -> Path:
        return self._folder / "audit.lock"

    def current(self) -> SigningKey | None:
        """The key in force; ``None`` where there never was one. Raises ``AuditKeyError``."""
        return signing.load(self._folder / NAME, AuditKeyError)

    def current_or_new(self) -> SigningKey:
        """The key in force, made now where there is none. Raises ``AuditKeyError``."""
        return signing.load_or_make(self._folder / NAME, AuditKeyError)

    def waiting(self) -> SigningKey | None:
        """The key that a rotation wrote and did not put in force yet."""
        return signing.load(self._folder / _NEXT, AuditKeyError)

    def stage(self) -> SigningKey:
        """Write the key that is to come, durably; it is not in force."""
        self.prepare()
        key = SigningKey.new()
        self.drop_waiting()
        signing.write(self._folder / _NEXT, key, AuditKeyError)
        signing.sync(self._folder)
        return key

    def promote(self) -> None:
        """Put the key that waits in force; of the one before it only the id stays."""
        before = self.current()
        if before is not None and before.id not in self.retired():
            descriptor = os.open(self._folder / _RETIRED, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{before.id}\n")
                file.flush()
                os.fsync(descriptor)
        (self._folder / _NEXT).rename(self._folder / NAME)
        signing.sync(self._folder)

    def retired(self) -> tuple[str, ...]:
        """The ids of this home's earlier keys, the oldest first."""
        try:
            return tuple((self._folder / _RETIRED).read_text().split())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError) as error:
            raise AuditKeyError(f"{self._folder / _RETIRED} cannot be read: {error}") from error

    def own(self) -> frozenset[str]:
        """The ids of all keys that this home signed with."""
        current = self.current()
        return frozenset((*self.retired(), *([current.id] if current is not None else [])))

    def drop_waiting(self) -> None:
        (self._folder / _NEXT).unlink(missing_ok=True)

    def prepare(self) -> None:
        """Make the folder, for nobody else to look into."""
        signing.prepare(self._folder, AuditKeyError)


def key_id(text: str) -> str:
    """The id of a key that somebody named: the id itself, a public key in hexadecimal, or the path of a PEM file.

    Raises ``InputError``.
    """
    if _HEX_ID.fullmatch(text):
        return text
    if HEX_KEY.fullmatch(text):
        return PublicKey(bytes.fromhex(text)).id
    try:
        with Path(text).open("rb") as file:
            content = file.read(MOST_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{text!r} is no key id, no public key and no file that can be read", field="key") from error
    return public_of(content, text).id
