"""The audit log: one append-only hash chain a workspace, with signed heads.

What belongs here: the records and their hashes, keys and signatures, reading, checking, exporting and the form of
archives. What does not: deciding when to sign or to archive, which is ``runtime.audit_log`` and its neighbours.

Each record is hashed together with the hash of the record before it, so that an edit, a deletion or a reordering
breaks the chain where it happened; ``audit_heads`` says where the chain ends, so that a cut end shows too. Who can
rewrite the whole database can also recompute the whole chain: signed heads catch that, and who has the key as well is
caught by a head noted elsewhere (an export, a line in a ticket). See docs/concepts/audit.md.
"""

from skillyard.governance.audit.actions import Action
from skillyard.governance.audit.check import Break, BreakKind, ChainCheck, UnreadableRecordError
from skillyard.governance.audit.document_check import verify_export
from skillyard.governance.audit.export import export
from skillyard.governance.audit.record import (
    COLUMN_NAMES,
    EMPTY,
    GENESIS,
    AuditRecord,
    Entry,
    Head,
    as_columns,
    chain,
    seal,
)
from skillyard.governance.audit.store import append, open_chain
from skillyard.governance.audit.verification import Verification
from skillyard.governance.audit.verify import require_sound, verify

__all__ = [
    "COLUMN_NAMES",
    "EMPTY",
    "GENESIS",
    "Action",
    "AuditRecord",
    "Break",
    "BreakKind",
    "ChainCheck",
    "Entry",
    "Head",
    "UnreadableRecordError",
    "Verification",
    "append",
    "as_columns",
    "chain",
    "export",
    "open_chain",
    "require_sound",
    "seal",
    "verify",
    "verify_export",
]
