"""Rows of a page, read one by one: an entry, or why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import orjson

from skillyard.marketplace_sync.catalogue.entry import MAX_DOCUMENT_BYTES, Entry, entry_hash, entry_id, member_of
from skillyard.marketplace_sync.errors import DocumentError, RemoteAnswerError
from skillyard.marketplace_sync.remotes.http import said
from skillyard.marketplace_sync.remotes.remote import Head, PushResult, PushStatus, Unreadable

MAX_RAW = 2000
"""Characters of a row that are kept for people to look at."""

_MOST_NUMBER = 2**63
_MOST_MEMBER = 8000
_ZERO = timedelta(0)


def read_rows(rows: Sequence[object], head: Head | None) -> tuple[tuple[Entry, ...], tuple[Unreadable, ...]]:
    """What of a page's rows can be read, and what cannot, each in its order."""
    entries: list[Entry] = []
    unreadable: list[Unreadable] = []
    for row in rows:
        entry, wrong = read_row(row, head)
        if entry is not None:
            entries.append(entry)
        elif wrong is not None:
            unreadable.append(wrong)
    return tuple(entries), tuple(unreadable)


def read_row(row: object, head: Head | None) -> tuple[Entry | None, Unreadable | None]:
    """One of the two. The hash is computed here, over what came."""
    try:
        entry = _entry(row)
    except DocumentError as error:
        return None, _unreadable(row, str(error))
    if head is not None and entry.seq > head.seq:
        return None, _unreadable(row, f"its number {entry.seq} lies behind the head, {head.seq}")
    return entry, None


def read_result(value: object) -> PushResult:
    """What became of a pushed item. Raises ``RemoteAnswerError``."""
    try:
        if not isinstance(value, dict):
            raise RemoteAnswerError("a result that is no object")
        current = value.get("current")
        missing = value.get("missing") or []
        rev, code, detail = value.get("rev"), value.get("code"), value.get("detail")
        if rev is not None:
            _number(rev, "rev")
        if not isinstance(missing, list) or len(missing) > 512:
            raise RemoteAnswerError("a result whose missing files are no list")
        return PushResult(
            item=_text(value.get("item"), "item", 64),
            status=PushStatus(_text(value.get("status"), "status", 40)),
            rev=rev,
            code=None if code is None else said(_text(code, "code", 100)),
            detail=None if detail is None else said(_text(detail, "detail", 4000)),
            current=None if current is None else _entry(current),
            missing=tuple(_hex(one) for one in missing),
        )
    except DocumentError as error:
        raise RemoteAnswerError(f"a result that cannot be read: {error}") from error
    except ValueError as error:
        raise RemoteAnswerError("a result with a status that there is none of") from error


def _entry(row: object) -> Entry:
    if not isinstance(row, dict):
        raise DocumentError("not an object")
    kind, key, document = row.get("kind"), row.get("key"), row.get("document")
    id_ = entry_id(_text(kind, "kind", 40), _text(key, "key", 4000))
    deleted = row.get("deleted")
    if not isinstance(deleted, bool):
        raise DocumentError("neither true nor false", field="deleted")
    if deleted is not (document is None):
        raise DocumentError("a tombstone has no document, and everything else has one", field="document")
    if document is not None:
        _check_document(document)
    rev, seq = _number(row.get("rev"), "rev"), _number(row.get("seq"), "seq")
    sha256 = entry_hash(id_, rev, document, deleted=deleted)
    if row.get("sha256") != sha256:
        raise DocumentError(f"its hash is not that of what came ({sha256})", field="sha256")
    return Entry(id_, seq, rev, document, sha256, deleted, _moment(row.get("changed_at")))


def _check_document(document: object) -> None:
    text = _text(document, "document", MAX_DOCUMENT_BYTES)
    try:
        content = text.encode()
        value = orjson.loads(content)
        again = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (UnicodeEncodeError, orjson.JSONDecodeError, TypeError) as error:
        raise DocumentError(f"not JSON: {error}", field="document") from error
    if len(content) > MAX_DOCUMENT_BYTES or not isinstance(value, dict):
        raise DocumentError(f"not an object of at most {MAX_DOCUMENT_BYTES} bytes", field="document")
    if again != content:
        # Two readers of it could read different things: keys twice, numbers that not everybody can hold.
        raise DocumentError("not canonical JSON", field="document")


def _text(value: object, field: str, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise DocumentError(f"not a text of 1 to {most} characters", field=field)
    return value


def _number(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < _MOST_NUMBER:
        raise DocumentError("not a whole number from 1 on", field=field)
    return value


def _hex(value: object) -> str:
    text = _text(value, "missing", 64)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise DocumentError("not a SHA-256", field="missing")
    return text


def _moment(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(_text(value, "changed_at", 40))
    except ValueError as error:
        raise DocumentError("not a moment", field="changed_at") from error
    if found.utcoffset() != _ZERO:
        raise DocumentError("not a moment in UTC", field="changed_at")
    return found


def _unreadable(row: object, reason: str) -> Unreadable:
    values = row if isinstance(row, dict) else {}
    kind, key, seq = values.get("kind"), values.get("key"), values.get("seq")
    try:
        raw = orjson.dumps(row).decode()
    except (TypeError, ValueError):
        raw = repr(row)
    return Unreadable(
        kind=said(kind)[:40] if isinstance(kind, str) else "",
        key=said(key)[:300] if isinstance(key, str) else "",
        seq=seq if isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < _MOST_NUMBER else 0,
        reason=reason[:500],
        raw=raw[:MAX_RAW],
        member=_member(values),
    )


def _member(values: dict[str, object]) -> bytes | None:
    """A row whose content is wrong may still be the one that the hub signed, and its hash says which."""
    kind, key, sha256 = values.get("kind"), values.get("key"), values.get("sha256")
    if values.get("deleted") is True or not (
        isinstance(kind, str) and isinstance(key, str) and isinstance(sha256, str)
    ):
        return None
    if len(kind) + len(key) + len(sha256) > _MOST_MEMBER:
        return None
    return member_of(kind, key, sha256)
