"""Following a chain record by record: pure, whatever the records come from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from skillyard.governance.audit.record import EMPTY, Entry, Head, digest
from skillyard.governance.errors import AuditBrokenError


class BreakKind(StrEnum):
    """How a chain is broken, as far as that can be told from what is left."""

    EDITED = "edited"
    MISSING = "missing"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    HEAD = "head"
    """The records are sound by themselves, and end elsewhere than the kept head or a head noted elsewhere says."""
    SIGNED = "signed"
    """The records are sound by themselves, and are not the ones that were signed."""
    SIGNATURE = "signature"
    """A signed head, or what is known about its key, was changed: its signature does not hold."""
    TIME = "time"
    """A signed head claims to be older than one before it."""
    ARCHIVE = "archive"
    """An archive file, its manifest or what is kept about it was changed."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold."""

    seq: int
    kind: BreakKind
    message: str


class UnreadableRecordError(AuditBrokenError):
    """A record's text is not text any more."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(f"record {seq} was edited after it was written: it cannot be read as text")


class ChainCheck:
    """Follows a chain page by page; ``head`` is the last record that holds."""

    def __init__(self, noted: Iterable[Head] = (), *, workspace: int | None = None, start: Head = EMPTY) -> None:
        """``noted`` are heads that somebody knows from elsewhere. ``start`` is what the first record continues."""
        self.head = start
        self._start = start
        self._noted = {head.seq: head.hash for head in noted}
        self._workspace = workspace

    def feed(self, entries: Iterable[Entry]) -> Entry | None:
        """Takes the next records; returns the first that does not continue the chain."""
        seq, previous, workspace = self.head.seq, self.head.hash, self._workspace
        for entry in entries:
            workspace = entry.workspace_id if workspace is None else workspace
            if not (
                entry.seq == seq + 1
                and entry.prev_hash == previous
                and entry.workspace_id == workspace
                and is_own_hash(entry, entry.seq)
                and self._noted.get(entry.seq, entry.hash) == entry.hash
            ):
                self.head, self._workspace = Head(seq, previous), workspace
                return entry
            seq, previous = entry.seq, entry.hash
        self.head, self._workspace = Head(seq, previous), workspace
        return None

    def skip(self, to: Head) -> None:
        """Go on behind records that are not here; somebody else vouches for them."""
        self.head = to

    def explain(self, entry: Entry, *, length: int, previous_exists: bool) -> Break:
        """Says how ``entry`` breaks the chain.

        ``length`` bounds the places it may have come from; ``previous_exists`` says whether the record it was
        written after is still anywhere in the chain.
        """
        expected = self.head.seq + 1
        if is_own_hash(entry, entry.seq):
            return self._explain_sound(entry, expected)
        came_from = next((seq for seq in range(1, length + 2) if is_own_hash(entry, seq)), None)
        if came_from is None:
            return Break(expected, BreakKind.EDITED, f"record {expected} was edited after it was written")
        if previous_exists or came_from == 1:
            return Break(expected, BreakKind.REORDERED, f"record {expected} was written as record {came_from}")
        return Break(expected, BreakKind.MISSING, f"record {expected} is missing; a later one took its number")

    def _explain_sound(self, entry: Entry, expected: int) -> Break:
        """The record matches its own hash, so the break lies between it and the one before, or in a noted head."""
        if entry.workspace_id != self._workspace:
            return Break(expected, BreakKind.EDITED, f"record {expected} is one of another workspace")
        if entry.seq != expected:
            return Break(expected, BreakKind.MISSING, f"record {expected} is missing; the next one is {entry.seq}")
        if entry.prev_hash == self.head.hash:
            return Break(expected, BreakKind.HEAD, f"record {expected} is not the one that was noted elsewhere")
        message = f"record {expected} does not continue record {self.head.seq}: one of the two was replaced"
        return Break(expected, BreakKind.EDITED, message)

    def end(self, kept: Head | None) -> Break | None:
        """What is wrong with where the chain ends; ``None`` if nothing is."""
        last = max([self.head.seq, *self._noted, *([kept.seq] if kept else [])])
        if last > self.head.seq or self.head == EMPTY:
            message = f"the chain ends at record {self.head.seq}; records up to {max(last, 1)} were written"
            return Break(self.head.seq + 1, BreakKind.TRUNCATED, message)
        if kept != self.head:
            return Break(self.head.seq, BreakKind.HEAD, f"the kept head is not record {self.head.seq}")
        return None


def is_own_hash(entry: Entry, seq: int) -> bool:
    """Whether an entry's hash is its own at ``seq``; false for whatever cannot be hashed."""
    try:
        return digest(entry.prev_hash, seq, entry) == entry.hash
    except (TypeError, AttributeError, ValueError):
        # SQLite keeps any type in any column: what cannot even be hashed is not what was written.
        return False
