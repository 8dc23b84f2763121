"""The key that heads are signed with: an Ed25519 key (RFC 8032) in a file of the home that only its owner reads.

Everything here blocks for a moment. Whoever can read the file can sign in this home's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from skillyard.errors import InputError, MachineError

NAME = "audit.ed25519"
_NEXT = "audit.ed25519.next"
_RETIRED = "audit.retired"
_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_MOST_BYTES = 16_384


class AuditKeyError(MachineError):
    """The file of the key that audit heads are signed with cannot be used."""

    code = "audit_key"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What signatures are checked with: 32 bytes, named by the first 128 bits of their SHA-256."""

    raw: bytes

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()[:32]

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def signed(self, message: bytes, signature: str) -> bool:
        """Whether this key signed exactly this message; ``signature`` is hexadecimal, whatever else it is is none."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(bytes.fromhex(signature), message)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


class SigningKey:
    """A private key. It shows itself nowhere."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes) -> str:
        return self._private.sign(message).hex()

    def _pem(self) -> bytes:
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class KeyFolder:
    """The folder of a home's keys. Processes that change it hold its lock; see ``runtime.audit_signing``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def lock(self) -> Path:
        return self._folder / "audit.lock"

    def current(self) -> SigningKey | None:
        """The key in force; ``None`` where there never was one. Raises ``AuditKeyError``."""
        return _load(self._folder / NAME)

    def current_or_new(self) -> SigningKey:
        """The key in force, made now where there is none. Raises ``AuditKeyError``."""
        found = self.current()
        if found is None:
            self.prepare()
            key = SigningKey(Ed25519PrivateKey.generate())
            temporary = self._folder / f".{NAME}.{uuid.uuid4().hex}"
            try:
                _write(temporary, key)
                # A link and not a renaming: of two processes at once, one makes the key and the other takes it.
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, self._folder / NAME)
            finally:
                temporary.unlink(missing_ok=True)
            _sync(self._folder)
            found = self.current()
        if found is None:
            raise AuditKeyError(f"{self._folder / NAME} vanished while it was made")
        return found

    def waiting(self) -> SigningKey | None:
        """The key that a rotation wrote and did not put in force yet."""
        return _load(self._folder / _NEXT)

    def stage(self) -> SigningKey:
        """Write the key that is to come, durably; it is not in force."""
        self.prepare()
        key = SigningKey(Ed25519PrivateKey.generate())
        self.drop_waiting()
        _write(self._folder / _NEXT, key)
        _sync(self._folder)
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
        _sync(self._folder)

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
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AuditKeyError(f"{self._folder} cannot be made: {error.strerror}") from error


def key_id(text: str) -> str:
    """The id of a key that somebody named: the id itself, a public key in hexadecimal, or the path of a PEM file.

    Raises ``InputError``.
    """
    if _HEX_ID.fullmatch(text):
        return text
    if _HEX_KEY.fullmatch(text):
        return PublicKey(bytes.fromhex(text)).id
    try:
        with Path(text).open("rb") as file:
            content = file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise InputError(f"{text!r} is no key id, no public key and no file that can be read", field="key") from error
    return _public_of(content, text).id


def pem(key: PublicKey) -> str:
    """The public key as other tools read it."""
    public = Ed25519PublicKey.from_public_bytes(key.raw)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _public_of(content: bytes, name: str) -> PublicKey:
    text = content.decode("ascii", "replace").strip()
    if _HEX_KEY.fullmatch(text):
        return PublicKey(bytes.fromhex(text))
    try:
        found = load_pem_public_key(content)
    except ValueError as error:
        raise InputError(f"{name} holds no public key in PEM or hexadecimal form", field="key") from error
    if not isinstance(found, Ed25519PublicKey):
        raise InputError(f"{name} holds a key of another kind than Ed25519", field="key")
    return PublicKey(found.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _load(path: Path) -> SigningKey | None:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditKeyError(f"{path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise AuditKeyError(f"others than its owner may read {path}; make a new key, or: chmod 600 {path}")
    try:
        private = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise AuditKeyError(f"{path} holds no private key; put it back from a backup, or remove it") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise AuditKeyError(f"{path} holds a key of another kind than Ed25519")
    return SigningKey(private)


def _write(path: Path, key: SigningKey) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key._pem())  # noqa: SLF001 - this module is what may write a private key
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise AuditKeyError(f"{path} cannot be written: {error.strerror}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
