"""What is signed, byte for byte, and whose signature counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from skillyard.governance.signing import PublicKey, SigningKey

_HEAD = b"skillyard audit head, version 1\n"
_ROTATION = b"skillyard audit key rotation, version 1\n"
_SEGMENT = b"skillyard audit segment, version 1\n"
_FILE = b"skillyard audit file, version 1\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed head: at ``at``, record ``seq`` with this hash was the last one of the workspace's chain."""

    workspace_id: int
    seq: int
    hash: str
    at: str
    key_id: str
    signature: str

    @property
    def statement(self) -> bytes:
        return _HEAD + orjson.dumps((self.workspace_id, self.seq, self.hash, self.at, self.key_id))


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A public key as the instance knows it. Times are the texts that were signed."""

    id: str
    public_key: str
    added_at: str
    retired_at: str | None
    previous_id: str | None
    signature_of_previous: str | None
    own_signature: str | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A closed part of a chain, in a file named ``file``, ``prev_hash`` being the hash of the record before it."""

    workspace_id: int
    first_seq: int
    last_seq: int
    prev_hash: str
    last_hash: str
    file: str
    file_bytes: int
    file_sha256: str
    archived_at: str
    key_id: str
    signature: str

    @property
    def statement(self) -> bytes:
        return _SEGMENT + orjson.dumps(
            (
                *(self.workspace_id, self.first_seq, self.last_seq, self.prev_hash, self.last_hash),
                *(self.file, self.file_bytes, self.file_sha256, self.archived_at, self.key_id),
            )
        )


def rotation_statement(previous: PublicKey, new: PublicKey, at: str) -> bytes:
    """What both keys sign when one takes over from the other."""
    return _ROTATION + orjson.dumps((previous.hex, new.hex, at))


def file_statement(facts: Mapping[str, object]) -> bytes:
    """What the last line of a file says, without its signature; keys sorted."""
    return _FILE + orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)


def signed_head(key: SigningKey, workspace: int, seq: int, digest: str, at: str) -> Checkpoint:
    unsigned = Checkpoint(workspace, seq, digest, at, key.id, "")
    return Checkpoint(workspace, seq, digest, at, key.id, key.sign(unsigned.statement))


class Trust(StrEnum):
    """What a signature is worth."""

    TRUSTED = "trusted"
    """Valid, of a key that is known from outside the database, or that took over from one, or handed over to one."""
    UNVOUCHED = "unvouched"
    """Valid, and nobody says whose key that is: anybody can make a key."""
    INVALID = "invalid"
    """No signature of this statement by that key, or no such key."""


class KeyRing:
    """The instance's public keys, and which of them count.

    Keys are trusted by where they are known from, never by being listed in the database, which is what signatures are
    to protect: this home's own key, keys that somebody named, and from these on along rotations that both keys signed.
    """

    def __init__(
        self, registered: Iterable[RegisteredKey], *, own: PublicKey | None = None, named: Iterable[str] = ()
    ) -> None:
        self._keys: dict[str, PublicKey] = {}
        self._retired: dict[str, str] = {}
        self.wrong: list[str] = []
        """What does not fit about the list of keys itself, a sentence each."""
        rows = {row.id: row for row in registered}
        for row in rows.values():
            self._take(row)
        links = [link for row in rows.values() if (link := self._link(row, rows)) is not None]
        self.wrong += [
            f"the retirement of key {row.id} was changed"
            for row in rows.values()
            if row.retired_at is not None and row.id not in self._retired and row.id in self._keys
        ]
        if own is not None:
            if own.id not in rows:
                self.wrong.append(f"this home's key {own.id} is not in the list of keys")
            self._keys[own.id] = own
        self._trusted = _closure({*named, *([own.id] if own is not None else [])}, links)

    def public(self, key: str) -> PublicKey | None:
        return self._keys.get(key)

    def trusts(self, key: str) -> bool:
        return key in self._trusted

    def judge(self, statement: bytes, key: str, signature: str, at: str) -> Trust:
        """A retired key's signature counts for what it signed while it was in force."""
        found = self._keys.get(key)
        if found is None or not found.signed(statement, signature) or at > self._retired.get(key, at):
            return Trust.INVALID
        return Trust.TRUSTED if key in self._trusted else Trust.UNVOUCHED

    def _take(self, row: RegisteredKey) -> None:
        try:
            key = PublicKey(bytes.fromhex(row.public_key))
        except (ValueError, TypeError):
            key = None
        if key is None or key.id != row.id:
            self.wrong.append(f"the public key {row.id} was changed")
        else:
            self._keys[row.id] = key

    def _link(self, row: RegisteredKey, rows: Mapping[str, RegisteredKey]) -> tuple[str, str] | None:
        if row.previous_id is None:
            return None
        new, old, before = self._keys.get(row.id), self._keys.get(row.previous_id), rows.get(row.previous_id)
        if new is None or old is None or before is None:
            self.wrong.append(f"the key before {row.id} is not in the list of keys any more")
            return None
        statement = rotation_statement(old, new, row.added_at)
        by_both = old.signed(statement, row.signature_of_previous or "") and new.signed(
            statement, row.own_signature or ""
        )
        if not by_both or before.retired_at != row.added_at:
            self.wrong.append(f"the rotation from key {old.id} to {new.id} was changed")
            return None
        self._retired[old.id] = row.added_at
        return old.id, new.id


def _closure(start: set[str], links: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Everything that is linked with the start, in either direction."""
    found, links = set(start), list(links)
    while grown := {one for link in links for one in link if found & set(link)} - found:
        found |= grown
    return frozenset(found)
