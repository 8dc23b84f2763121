"""Signed heads held against the chain that they are about: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skillyard.governance.audit.check import Break, BreakKind
from skillyard.governance.audit.record import Entry, Head
from skillyard.governance.audit.signed import Checkpoint, KeyRing, Trust


class SignedCheck:
    """Takes signed heads in the order of their records."""

    def __init__(self, ring: KeyRing) -> None:
        self.signed: Checkpoint | None = None
        """The furthest one whose key counts."""
        self.count = 0
        self.unvouched: set[str] = set()
        """Keys with valid signatures that nobody vouches for."""
        self._ring = ring
        self._last_at = ""

    @property
    def ring(self) -> KeyRing:
        return self._ring

    def keys(self) -> Break | None:
        """What is wrong with the list of keys itself."""
        return Break(0, BreakKind.SIGNATURE, self._ring.wrong[0]) if self._ring.wrong else None

    def take(self, checkpoint: Checkpoint, found: Head, *, workspace: int) -> Break | None:
        """``found`` is the chain's record at that place, or where the chain ends before it."""
        seq = checkpoint.seq
        trust = self._ring.judge(checkpoint.statement, checkpoint.key_id, checkpoint.signature, checkpoint.at)
        if trust is Trust.INVALID or checkpoint.workspace_id != workspace:
            return Break(
                seq, BreakKind.SIGNATURE, f"the signed head at record {seq} was changed, or is none of this chain"
            )
        if found.seq != seq:
            message = f"the chain ends at record {found.seq}; records up to {seq} were signed"
            return Break(found.seq + 1, BreakKind.TRUNCATED, message)
        if found.hash != checkpoint.hash:
            since = self.signed.seq + 1 if self.signed is not None else 1
            message = (
                f"record {seq} is not the one that was signed at {checkpoint.at} by key {checkpoint.key_id}: "
                f"records from {since} to {seq} were made anew, or some of them"
            )
            return Break(seq, BreakKind.SIGNED, message)
        if checkpoint.at < self._last_at:
            message = f"the signed head at record {seq} says {checkpoint.at}, which is before the one before it"
            return Break(seq, BreakKind.TIME, message)
        self._last_at = checkpoint.at
        self.count += 1
        self.vouched(checkpoint, trust)
        return None

    def vouched(self, checkpoint: Checkpoint, trust: Trust) -> None:
        """Count a signature that was found valid."""
        if trust is Trust.TRUSTED:
            self.signed = checkpoint
        else:
            self.unvouched.add(checkpoint.key_id)

    def archived(self, signed: Checkpoint | None, unvouched: Iterable[str], count: int) -> None:
        """What the check of an archived part found sound."""
        self.count += count
        self.unvouched.update(unvouched)
        if signed is not None:
            self.signed = signed

    def page(self, entries: Sequence[Entry], checkpoints: Iterable[Checkpoint], *, workspace: int) -> Break | None:
        """Signed heads of records that follow on each other without a gap, and were found sound."""
        first = entries[0].seq
        for checkpoint in checkpoints:
            entry = entries[checkpoint.seq - first]
            broken = self.take(checkpoint, Head(entry.seq, entry.hash), workspace=workspace)
            if broken is not None:
                return broken
        return None
