"""A record and its place in a chain: what is hashed, and how.

The durable writer of calls seals records too, so this stays cheap: no I/O, no database, no signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

import orjson

from skillyard.governance.audit.actions import Action
from skillyard.governance.identity import Actor
from skillyard.ids import WorkspaceId
from skillyard.json_value import JsonValue
from skillyard.times import in_utc

GENESIS = "0" * 64
"""What a workspace's first record continues from."""

_DOMAIN = b"skillyard audit record, version 1\n"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What is to be recorded. ``subject`` names the thing acted on (``agent/7``, ``pypi/jinja2``), 500 characters.

    The payload is JSON and holds no secrets: it is exported as it is.
    """

    workspace: WorkspaceId
    at: datetime
    actor: Actor
    action: Action
    subject: str
    payload: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ends: the number of its records, and the hash of the last."""

    seq: int
    hash: str


EMPTY = Head(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as it is kept and exported: the texts that were hashed, in the order of the table's columns.

    ``at`` is ``YYYY-MM-DDTHH:MM:SS.ffffffZ``; ``payload`` is JSON with sorted keys.
    """

    workspace_id: int
    seq: int
    at: str
    actor_kind: str
    actor_id: int | None
    action: str
    subject: str
    payload: str
    prev_hash: str
    hash: str


COLUMN_NAMES: tuple[str, ...] = Entry.__slots__

_columns_of = attrgetter(*COLUMN_NAMES)


def as_columns(entry: Entry) -> tuple[str | int | None, ...]:
    """The entry's values in the order of ``COLUMN_NAMES``, for the durable writer."""
    values: tuple[str | int | None, ...] = _columns_of(entry)
    return values


def chain(prev_hash: str, seq: int, record: Entry | AuditRecord) -> str:
    """The hash of a record at a place: SHA-256, hexadecimal.

    Over a domain line, the previous hash, and a JSON array of sequence number, workspace, time, actor, action,
    subject and the payload's canonical text. JSON quotes its strings, so no two records give the same bytes.
    """
    return digest(prev_hash, seq, record if isinstance(record, Entry) else seal(record, Head(seq - 1, prev_hash)))


def seal(record: AuditRecord, head: Head) -> Entry:
    """The record as the next link after ``head``. Raises ``TypeError`` for a payload that is not JSON."""
    payload = orjson.dumps(record.payload, option=orjson.OPT_SORT_KEYS).decode()
    actor, seq = record.actor, head.seq + 1
    texts = (time_text(record.at), actor.kind.value, actor.id, record.action.value, record.subject, payload)
    found = _hash(head.hash, (seq, record.workspace, *texts))
    return Entry(record.workspace, seq, *texts, prev_hash=head.hash, hash=found)


def time_text(moment: datetime) -> str:
    """A moment as the chain and its signatures write it; texts of two moments sort as the moments do."""
    return in_utc(moment).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def digest(prev_hash: str, seq: int, entry: Entry) -> str:
    """The hash that an entry would have at ``seq``, behind a record of hash ``prev_hash``."""
    texts = (entry.at, entry.actor_kind, entry.actor_id, entry.action, entry.subject, entry.payload)
    return _hash(prev_hash, (seq, entry.workspace_id, *texts))


def _hash(prev_hash: str, facts: tuple[str | int | None, ...]) -> str:
    return hashlib.sha256(_DOMAIN + prev_hash.encode() + b"\n" + orjson.dumps(facts)).hexdigest()
