"""Checking a file that ``document`` describes, in one pass and little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from skillyard.governance.audit.check import Break, BreakKind, ChainCheck, is_own_hash
from skillyard.governance.audit.checkpoints import SignedCheck
from skillyard.governance.audit.document import VERSION, FileKind
from skillyard.governance.audit.record import Entry, Head
from skillyard.governance.audit.signed import Checkpoint, KeyRing, RegisteredKey, Trust, file_statement
from skillyard.governance.audit.verification import Verification
from skillyard.governance.errors import AuditBrokenError
from skillyard.governance.signing import PublicKey
from skillyard.ids import WorkspaceId

OpenLines = Callable[[], AbstractContextManager[Iterable[bytes]]]
OnRecords = Callable[[int], None]

_STEP = 5_000
_MOST_KEYS = 10_000


def unheard(_records: int) -> None:
    """Nobody listens."""


def verify_file(
    open_lines: OpenLines,
    noted: Iterable[Head] = (),
    *,
    trusted: Iterable[str] = (),
    ring: KeyRing | None = None,
    on_records: OnRecords = unheard,
) -> Verification:
    """Checks an exported or archived file. ``open_lines`` is called once, and again where a break is to be explained.

    ``trusted`` are ids of keys that count; a given ``ring`` is asked instead of the keys that the file lists. A file
    without header and trailer is a chain that nobody signed: one that was cut at its end shows only against a noted
    head. Raises ``AuditBrokenError`` for what is no such file, and ``OSError``.
    """
    reading = _Reading(tuple(noted), frozenset(trusted), ring)
    with open_lines() as lines:
        for number, line in enumerate(lines, 1):
            reading.take(number, line)
            if reading.broken is not None or reading.suspect is not None:
                break
            if number % _STEP == 0:
                on_records(reading.records)
    broken = reading.broken
    if broken is None and reading.suspect is not None:
        with open_lines() as lines:
            broken = _explain(reading, lines)
    return reading.result(broken or reading.end())


def verify_export(lines: Iterable[bytes], noted: Iterable[Head] = (), *, trusted: Iterable[str] = ()) -> Verification:
    """``verify_file`` for lines that are in memory."""
    kept = list(lines)
    return verify_file(lambda: nullcontext(kept), noted, trusted=trusted)


class _Reading:
    """A file as far as it was read. ``suspect`` is the first record that does not continue the chain."""

    def __init__(self, noted: tuple[Head, ...], trusted: frozenset[str], ring: KeyRing | None) -> None:
        self.check = ChainCheck(noted)
        self.records = 0
        self.suspect: Entry | None = None
        self.broken: Break | None = None
        self._noted = noted
        self._trusted = trusted
        self._ring = ring
        self._header: dict[str, Any] | None = None
        self._excerpt = False
        self._workspace: int | None = None
        self._keys: list[RegisteredKey] = []
        self._signed: SignedCheck | None = None
        self._trailer: dict[str, Any] | None = None
        self._digest = hashlib.sha256()

    def take(self, number: int, line: bytes) -> None:
        if self._trailer is not None:
            raise AuditBrokenError(f"line {number}: something follows the file's last line")
        try:
            value = orjson.loads(line)
            if "seq" in value:
                self._record(Entry(**value))
            elif "checkpoint" in value:
                self._checkpoint(Checkpoint(**value["checkpoint"]))
            elif "key" in value and self._header is not None and len(self._keys) < _MOST_KEYS:
                self._keys.append(RegisteredKey(**value["key"]))
            elif "header" in value and number == 1:
                self._begin(value["header"])
            elif "trailer" in value and self._header is not None:
                self._trailer = dict(value["trailer"])
                return
            else:
                raise AuditBrokenError(f"line {number} of the file is not an audit record")
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError) as error:
            raise AuditBrokenError(f"line {number} of the file is not an audit record") from error
        self._digest.update(line)

    def _begin(self, header: dict[str, Any]) -> None:
        if header["version"] != VERSION:
            raise AuditBrokenError(f"the file is of version {header['version']!r}, which is not known here")
        self._header = header
        self._excerpt = FileKind(header["kind"]) is FileKind.EXCERPT
        self._workspace = header["workspace_id"]
        start = Head(int(header["first_seq"]) - 1, str(header["prev_hash"]))
        # What was noted of before the file begins is not in it.
        noted = [head for head in self._noted if head.seq > start.seq]
        self.check = ChainCheck(noted, workspace=self._workspace, start=start)

    def _record(self, entry: Entry) -> None:
        self._workspace = entry.workspace_id if self._workspace is None else self._workspace
        if self._excerpt:
            self._pick(entry)
        elif self.check.feed((entry,)) is not None:
            self.suspect = entry
            return
        self.records += 1

    def _pick(self, entry: Entry) -> None:
        """A record of an excerpt: it follows on something that is not here."""
        if entry.seq <= self.check.head.seq or entry.workspace_id != self._workspace:
            self.broken = Break(entry.seq, BreakKind.REORDERED, f"record {entry.seq} does not belong here")
        elif not is_own_hash(entry, entry.seq):
            self.broken = Break(entry.seq, BreakKind.EDITED, f"record {entry.seq} was edited after it was written")
        else:
            self.check.skip(Head(entry.seq, entry.hash))

    def _signed_check(self) -> SignedCheck:
        if self._signed is None:
            self._signed = SignedCheck(self._ring or KeyRing(self._keys, named=self._trusted))
        return self._signed

    def _checkpoint(self, checkpoint: Checkpoint) -> None:
        workspace = self._workspace or 0
        self.broken = self._signed_check().take(checkpoint, self.check.head, workspace=workspace)

    def end(self) -> Break | None:
        """What is wrong with the file as a whole, all of its records being sound."""
        head = self.check.head
        if self._header is not None and self._trailer is None:
            return Break(head.seq + 1, BreakKind.TRUNCATED, f"the file is cut off behind record {head.seq}")
        broken = self._signed_check().keys()
        if broken is None and not self._excerpt:
            broken = self.check.end(head)
        if broken is None and self._trailer is not None and self._header is not None:
            broken = self._check_trailer(self._trailer, self._header)
        return broken

    def _check_trailer(self, trailer: dict[str, Any], header: dict[str, Any]) -> Break | None:
        head = self.check.head
        facts = {name: value for name, value in trailer.items() if name != "signature"}
        key_id, public, at = (str(trailer.get(name)) for name in ("key_id", "public_key", "at"))
        said = {**header, "records": self.records, "last_seq": head.seq, "last_hash": head.hash}
        said |= {"sha256": self._digest.hexdigest(), "at": at, "key_id": key_id, "public_key": public}
        if facts != said:
            return Break(head.seq, BreakKind.SIGNATURE, "the file is not the one that its last line was signed for")
        ring = self._signed_check().ring
        statement, signature = file_statement(facts), str(trailer.get("signature"))
        if ring.public(key_id) is None and _fits(public, key_id):
            # The list of keys in the file is older than its last line.
            ring = KeyRing([RegisteredKey(key_id, public, at, None, None, None, None)], named=self._trusted)
        trust = ring.judge(statement, key_id, signature, at)
        if trust is Trust.INVALID:
            return Break(head.seq, BreakKind.SIGNATURE, "the signature of the file's last line does not hold")
        checkpoint = Checkpoint(self._workspace or 0, head.seq, head.hash, at, key_id, signature)
        self._signed_check().vouched(checkpoint, trust)
        return None

    def result(self, broken: Break | None) -> Verification:
        signed = self._signed_check()
        return Verification(
            workspace=WorkspaceId(self._workspace or 0),
            records=self.records,
            head=self.check.head,
            broken=broken,
            signed=signed.signed,
            checkpoints=signed.count,
            unvouched=tuple(sorted(signed.unvouched)),
            excerpt=self._excerpt,
        )


def _fits(public: str, key_id: str) -> bool:
    try:
        return PublicKey(bytes.fromhex(public)).id == key_id
    except ValueError:
        return False


def _explain(reading: _Reading, lines: Iterable[bytes]) -> Break | None:
    """How the suspect breaks the chain; the file is read again for what the suspect may have been written after."""
    suspect = reading.suspect
    if suspect is None:
        return None
    length, known = 0, False
    for line in lines:
        try:
            entry = orjson.loads(line)
            known = known or entry["hash"] == suspect.prev_hash
            length += 1
        except (orjson.JSONDecodeError, TypeError, KeyError):
            continue  # No record, or none that can be read: it tells nothing about this one.
    last = reading.check.head.seq + length
    return reading.check.explain(suspect, length=last, previous_exists=known)
