"""The audit chain: its records, its check, its signed heads; and what is known about advisories."""

from __future__ import annotations

from typing import Any

from skillyard.api.schemas.values import View
from skillyard.governance.audit import BreakKind


class HeadView(View):
    """Where the chain ends. Note it elsewhere: it proves later that nothing before it was rewritten."""

    seq: int
    hash: str


class BreakView(View):
    """The first place where a chain does not hold; ``seq`` is 0 for what is about the list of keys."""

    seq: int
    kind: BreakKind
    message: str


class CheckpointView(View):
    """A signed head. The signature is Ed25519 over a text that docs/concepts/audit.md gives, hexadecimal."""

    seq: int
    hash: str
    at: str
    key_id: str
    signature: str


class SignedHeadView(CheckpointView):
    """A signed head with the public key that it is checked with, hexadecimal and as PEM."""

    workspace_id: int
    public_key: str
    pem: str


class KeyView(View):
    """A public key that heads were signed with. ``retired_at`` is null for one in force."""

    id: str
    public_key: str
    added_at: str
    retired_at: str | None
    previous_id: str | None


class SegmentView(View):
    """An archived part of the chain. ``file`` is in the archive folder of the server that wrote it."""

    first_seq: int
    last_seq: int
    last_hash: str
    file: str
    file_bytes: int
    file_sha256: str
    archived_at: str
    key_id: str


class VerificationView(View):
    """``broken`` is null for a chain that shows no break; ``indeterminate`` says why that may not be all."""

    records: int
    head: HeadView
    broken: BreakView | None
    indeterminate: str | None
    signed: CheckpointView | None
    """The furthest signed head whose key counts; the ``unsigned`` records behind it are only chained."""
    unsigned: int
    checkpoints: int
    unvouched: tuple[str, ...]
    unchecked: tuple[SegmentView, ...]


class RecordView(View):
    """One record. ``payload`` is its JSON."""

    seq: int
    at: str
    actor: str
    action: str
    subject: str
    payload: Any
    hash: str


class RecordsView(View):
    """A page of records. ``next_cursor`` may be there although the page is short or empty: see "Lists".

    Records up to ``archived_through`` are in archives, and so in no list.
    """

    items: tuple[RecordView, ...]
    next_cursor: str | None
    archived_through: int
