"""From a record of the audit log to what a client gets."""

from __future__ import annotations

import orjson

from skillyard.api.schemas.audit import RecordView
from skillyard.governance.audit import Entry


def record_view(entry: Entry) -> RecordView:
    """A record for people. A payload that is no JSON any more is shown as the text that it is."""
    try:
        payload = orjson.loads(entry.payload)
    except orjson.JSONDecodeError:
        payload = entry.payload
    actor = entry.actor_kind if entry.actor_id is None else f"{entry.actor_kind}/{entry.actor_id}"
    return RecordView(
        seq=entry.seq,
        at=entry.at,
        actor=actor,
        action=entry.action,
        subject=entry.subject,
        payload=payload,
        hash=entry.hash,
    )
