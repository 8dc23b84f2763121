"""What of a page can be taken: every entry is read in full before it is believed. Pure.

What does not fit is set aside with its reason, and the page goes on without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from skillyard.marketplace_sync.catalogue.documents import (
    DOCUMENTS,
    Document,
    ModerationDocument,
    RatingDocument,
    SkillDocument,
    VersionDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import MAX_INTEGER, Entry, EntryId, EntryKind, entry_hash, member
from skillyard.marketplace_sync.catalogue.stamp import clamped, parse_stamp
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.marketplace_sync.follower.values import SetAside
from skillyard.marketplace_sync.remotes.remote import ChangePage, Filters

_MOST_SEQ = 10**18


@dataclass(frozen=True, slots=True)
class Intake:
    """A page, judged. ``entries`` are as received."""

    entries: tuple[Entry, ...]
    documents: tuple[Document | None, ...]
    """What was read of the entries: as long as they are held here, nobody reads them again (``read_document``)."""
    moderation: dict[EntryId, ModerationDocument]
    unread: dict[EntryId, int]
    """Words of moderators that came whole and say something that this release cannot read, with their epoch as far as
    it can be told, else 1. They are set aside as well."""
    versions: dict[EntryId, VersionDocument]
    left_out: frozenset[EntryId]
    """Entries outside of the filters: kept without their document."""
    set_aside: tuple[SetAside, ...]
    ahead: int
    """Ratings whose stamp lies too far ahead of our clock."""
    after: int
    """Which number the page began behind: there it can be asked for again, whatever its rows say of themselves."""

    def kept(self, entry: Entry) -> Entry:
        """The entry as the mirror keeps it."""
        return replace(entry, document=None) if entry.id in self.left_out else entry


def judge(page: ChangePage, filters: Filters, *, after: int, now: datetime) -> Intake:
    """Read everything on a page, which begins behind a number."""
    aside = [SetAside(one.kind, one.key, one.seq, one.reason, one.raw, one.member) for one in page.unreadable]
    entries: list[Entry] = []
    documents: list[Document | None] = []
    moderation: dict[EntryId, ModerationDocument] = {}
    unread: dict[EntryId, int] = {}
    versions: dict[EntryId, VersionDocument] = {}
    left_out: set[EntryId] = set()
    ahead = 0
    now_ms = int(now.timestamp() * 1000)
    for entry in page.entries:
        try:
            document = _read(entry)
            if isinstance(document, RatingDocument):
                stamp = parse_stamp(document.stamp)
                ahead += clamped(stamp, now_ms=now_ms) != stamp
        except DocumentError as error:
            claimed = None if entry.deleted else member(entry.id, entry.sha256)
            raw = entry.document or ""
            aside.append(SetAside(entry.id.kind.value, entry.id.key, entry.seq, str(error), raw, claimed))
            if entry.id.kind is EntryKind.MODERATION and entry.document is not None and is_whole(entry):
                unread[entry.id] = _epoch_in(entry.document)
            continue
        entries.append(entry)
        documents.append(document)
        match document:
            case ModerationDocument():
                moderation[entry.id] = document
            case VersionDocument():
                versions[entry.id] = document
            case _:
                pass
        if document is not None and not wanted(entry.id, document, filters):
            left_out.add(entry.id)
    return Intake(
        entries=tuple(entries),
        documents=tuple(documents),
        moderation=moderation,
        unread=unread,
        versions=versions,
        left_out=frozenset(left_out),
        set_aside=tuple(aside),
        ahead=ahead,
        after=after,
    )


def wanted(id_: EntryId, document: Document, filters: Filters) -> bool:
    """Whether the filters let an entry in with its document.

    A publisher's filter is about its skills, versions, ratings and counts; categories are a skill's, kinds a version's.
    What moderators say is always kept.
    """
    if isinstance(document, ModerationDocument) or "/" not in id_.key:
        return True
    if filters.publishers and id_.key.partition("/")[0] not in filters.publishers:
        return False
    match document:
        case SkillDocument(categories=categories):
            return not filters.categories or not set(filters.categories).isdisjoint(categories)
        case VersionDocument(kind=kind):
            return not filters.kinds or kind.value in filters.kinds
        case _:
            return True


def _read(entry: Entry) -> Document | None:
    """The document; ``None`` for a tombstone. Raises ``DocumentError``."""
    if not 0 < entry.seq < _MOST_SEQ or not 0 < entry.rev < _MOST_SEQ:
        raise DocumentError("a number that no feed counts to", field="seq" if entry.rev > 0 else "rev")
    if entry.deleted and entry.document is not None:
        raise DocumentError("deleted, and yet with a document", field="document")
    if not entry.deleted and entry.document is None:
        raise DocumentError("without its document", field="document")
    if not is_whole(entry):
        raise DocumentError("its hash is of something else", field="sha256")
    return None if entry.document is None else read_document(DOCUMENTS[entry.id.kind], entry.document)


def is_whole(entry: Entry) -> bool:
    return entry_hash(entry.id, entry.rev, entry.document, deleted=entry.deleted) == entry.sha256


def _epoch_in(document: str) -> int:
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        return 1
    epoch = value.get("epoch") if isinstance(value, dict) else None
    return epoch if isinstance(epoch, int) and not isinstance(epoch, bool) and 1 <= epoch <= MAX_INTEGER else 1
