"""Checking an archived part of a chain: what is kept about it, its manifest, its file, and every record in that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from skillyard.governance.audit.check import Break, BreakKind
from skillyard.governance.audit.document import opened
from skillyard.governance.audit.document_check import OnRecords, unheard, verify_file
from skillyard.governance.audit.record import Head
from skillyard.governance.audit.signed import Checkpoint, KeyRing, Segment, Trust
from skillyard.governance.errors import AuditBrokenError

MANIFEST = ".manifest.json"
_MOST_MANIFEST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SegmentCheck:
    """What came of one segment: broken, or not here to be checked (``here`` is false), or sound."""

    broken: Break | None = None
    here: bool = True
    records: int = 0
    signed: Checkpoint | None = None
    unvouched: tuple[str, ...] = ()
    checkpoints: int = 0


def manifest_of(segment: Segment) -> bytes:
    """The manifest that lies beside an archive's file: everything that is kept about it in the database."""
    return orjson.dumps({"version": 1, **asdict(segment)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def check_segment(
    segment: Segment,
    *,
    head: Head,
    folder: Path | None,
    ring: KeyRing,
    noted: Iterable[Head] = (),
    on_records: OnRecords = unheard,
) -> SegmentCheck:
    """Check one segment, which has to follow on ``head``. ``folder`` holds the files; blocks."""
    name, first = f"the archive {segment.file}", segment.first_seq

    def broken(message: str, *, seq: int = first, kind: BreakKind = BreakKind.ARCHIVE) -> SegmentCheck:
        return SegmentCheck(broken=Break(seq, kind, message))

    trust = ring.judge(segment.statement, segment.key_id, segment.signature, segment.archived_at)
    if trust is Trust.INVALID:
        return broken(f"what is kept about {name} was changed: its signature does not hold")
    if first != head.seq + 1:
        return broken(f"records from {head.seq + 1} on are missing; the next archive begins at {first}")
    if segment.prev_hash != head.hash or segment.last_seq < first:
        return broken(f"{name} does not continue record {head.seq}")
    unvouched = (segment.key_id,) if trust is Trust.UNVOUCHED else ()
    file = None if folder is None else folder / segment.file
    if file is None or not file.exists():
        return SegmentCheck(here=False, unvouched=unvouched)
    try:
        return _check_files(segment, file, ring, tuple(noted), on_records)
    except OSError as error:
        return broken(f"{name} cannot be read: {error.strerror}")
    except AuditBrokenError as error:
        return broken(f"{name} was changed: {error}")


def _check_files(
    segment: Segment, file: Path, ring: KeyRing, noted: tuple[Head, ...], on_records: OnRecords
) -> SegmentCheck:
    name = f"the archive {segment.file}"
    manifest = file.with_name(file.name + MANIFEST)
    if not manifest.exists():
        raise AuditBrokenError(f"its manifest {manifest.name} is not there")
    with manifest.open("rb") as opened_manifest:
        if opened_manifest.read(_MOST_MANIFEST_BYTES) != manifest_of(segment):
            raise AuditBrokenError(f"its manifest {manifest.name} is not the one that was written")
    same = (file.stat().st_size, _digest(file)) == (segment.file_bytes, segment.file_sha256)
    inside = [head for head in noted if segment.first_seq <= head.seq <= segment.last_seq]
    found = verify_file(lambda: opened(file), inside, ring=ring, on_records=on_records)
    if found.broken is not None:
        message = f"{name}: {found.broken.message}"
        return SegmentCheck(broken=Break(found.broken.seq, found.broken.kind, message))
    if not same or found.excerpt or found.head != Head(segment.last_seq, segment.last_hash):
        raise AuditBrokenError("it is not the file that was written")
    return SegmentCheck(
        records=found.records, signed=found.signed, unvouched=found.unvouched, checkpoints=found.checkpoints
    )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
