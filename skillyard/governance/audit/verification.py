"""What came of checking a chain."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.governance.audit.check import Break
from skillyard.governance.audit.record import Head
from skillyard.governance.audit.signed import Checkpoint, Segment
from skillyard.ids import WorkspaceId


@dataclass(frozen=True, slots=True)
class Verification:
    """``records`` were checked and sound, up to ``head``; ``broken`` is ``None`` for a chain that holds."""

    workspace: WorkspaceId
    records: int
    head: Head
    broken: Break | None
    signed: Checkpoint | None = None
    """The furthest signed head whose key counts: up to there, who cannot sign cannot have changed anything."""
    checkpoints: int = 0
    """How many signed heads were checked."""
    unvouched: tuple[str, ...] = ()
    """Keys that made valid signatures, and of which nothing outside the database says whose they are."""
    unchecked: tuple[Segment, ...] = ()
    """Archived parts whose files are not here."""
    excerpt: bool = False
    """Whether records were picked: each is checked by itself, and nothing is said about what lies between them."""

    @property
    def unsigned(self) -> int:
        """How many records come behind the furthest signed head."""
        return self.head.seq - (self.signed.seq if self.signed is not None else 0)

    @property
    def indeterminate(self) -> str | None:
        """Why a chain that shows no break cannot be said to hold; ``None`` where that can be said."""
        if self.broken is not None:
            return None
        if self.unchecked:
            names = ", ".join(f"records {one.first_seq} to {one.last_seq} ({one.file})" for one in self.unchecked)
            return f"archives that are not here could not be checked: {names}"
        if self.unvouched and self.signed is None:
            return f"all signatures are of keys that nobody here vouches for: {', '.join(self.unvouched)}"
        return None
