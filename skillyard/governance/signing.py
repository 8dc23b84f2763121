"""Ed25519 keys (RFC 8032) in files of a home that only their owner reads, and what their signatures are checked with.

Everything that touches a file blocks for a moment. Whoever can read such a file can sign in this home's name.
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

HEX_KEY = re.compile(r"[0-9a-f]{64}")
MOST_BYTES = 16_384
"""Of a file that holds a key."""


class SigningKeyError(MachineError):
    """The file of a key that things are signed with cannot be used."""

    code = "signing_key"


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

    @classmethod
    def new(cls) -> SigningKey:
        return cls(Ed25519PrivateKey.generate())

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes) -> str:
        """In hexadecimal."""
        return self._private.sign(message).hex()

    def _pem(self) -> bytes:
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem(key: PublicKey) -> str:
    """The public key as other tools read it."""
    public = Ed25519PublicKey.from_public_bytes(key.raw)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_of(content: bytes, name: str) -> PublicKey:
    """The public key that a file of this name holds, in PEM or hexadecimal form. Raises ``InputError``."""
    text = content.decode("ascii", "replace").strip()
    if HEX_KEY.fullmatch(text):
        return PublicKey(bytes.fromhex(text))
    try:
        found = load_pem_public_key(content)
    except ValueError as error:
        raise InputError(f"{name} holds no public key in PEM or hexadecimal form", field="key") from error
    if not isinstance(found, Ed25519PublicKey):
        raise InputError(f"{name} holds a key of another kind than Ed25519", field="key")
    return PublicKey(found.public_bytes(Encoding.Raw, PublicFormat.Raw))


def load(path: Path, error: type[MachineError] = SigningKeyError) -> SigningKey | None:
    """The key of a file, ``None`` where there is none. Raises ``error``, as do the others."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise error(f"{path} cannot be read: {problem.strerror}") from problem
    if mode & 0o077:
        raise error(f"others than its owner may read {path}; make a new key, or: chmod 600 {path}")
    try:
        private = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as problem:
        raise error(f"{path} holds no private key; put it back from a backup, or remove it") from problem
    if not isinstance(private, Ed25519PrivateKey):
        raise error(f"{path} holds a key of another kind than Ed25519")
    return SigningKey(private)


def load_or_make(path: Path, error: type[MachineError] = SigningKeyError) -> SigningKey:
    """The key of a file, made now where there is none."""
    found = load(path, error)
    if found is None:
        prepare(path.parent, error)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            write(temporary, SigningKey.new(), error)
            # A link and not a renaming: of two processes at once, one makes the key and the other takes it.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync(path.parent)
        found = load(path, error)
    if found is None:
        raise error(f"{path} vanished while it was made")
    return found


def write(path: Path, key: SigningKey, error: type[MachineError] = SigningKeyError) -> None:
    """A new file, durably."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key._pem())  # noqa: SLF001 - this module is what may write a private key
            file.flush()
            os.fsync(descriptor)
    except OSError as problem:
        raise error(f"{path} cannot be written: {problem.strerror}") from problem


def prepare(folder: Path, error: type[MachineError] = SigningKeyError) -> None:
    """Make the folder, for nobody else to look into."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise error(f"{folder} cannot be made: {problem.strerror}") from problem


def sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
