"""What was said to a remote, arrived, and is not there any more: a backup was put back there, or another hub.

Looked for whenever a remote was read whole, because only then what is not there is known to be missing. What was said
goes up again as it was said; a remote that knows it changes nothing.
"""

from __future__ import annotations

from typing import Final

from skillyard.database import Session
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import CountsDocument, RatingDocument, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.catalogue.stamp import parse_stamp
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.marketplace_sync.follower.store import UNSEEN
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.values import Upload, UploadKind, UploadState
from skillyard.times import utcnow

_AT_ONCE: Final = 500
_KINDS = (UploadKind.RATING, UploadKind.COUNTS)
"""Registers whose authority is here. Versions and edits are the hub's once it took them."""


async def say_again(session: Session, remote: RemoteMarket) -> int:
    """Let go up again what the whole reading of a remote did not bring, in the caller's transaction: before what it did
    not bring is forgotten. Returns how many items."""
    again = 0
    for kind in _KINDS:
        after = 0
        while said := await store.last_words(session, remote.id, kind, after=after, limit=_AT_ONCE):
            after = said[-1].id
            lost = await _lost(session, remote, [one for one in said if one.state is UploadState.SENT])
            await store.send_again(session, [one.id for one in lost], at=utcnow())
            again += len(lost)
    return again


async def _lost(session: Session, remote: RemoteMarket, said: list[Upload]) -> list[Upload]:
    about = {one: EntryId(one.kind.entry_kind, one.key) for one in said}
    skills = {one: EntryId(EntryKind.SKILL, one.key.partition("#")[0]) for one in said}
    held = await catalogue_store.get_many(session, remote.catalogue, {*about.values(), *skills.values()})
    return [one for one in said if _is_there(held.get(skills[one])) and _is_lost(one, held.get(about[one]))]


def _is_there(entry: Entry | None) -> bool:
    return entry is not None and not entry.deleted and entry.seq != UNSEEN


def _is_lost(said: Upload, there: Entry | None) -> bool:
    if there is not None and there.deleted:
        return False  # It was taken away up there, or taken back from here, and we were told.
    if there is None or not _is_there(there):
        return said.document is not None
    return said.document is None or _is_older(there, said.document)


def _is_older(there: Entry, said: str) -> bool:
    """Whether the remote has an earlier word than the one that it had already taken."""
    if there.document is None:
        return False  # Left out by filters: nobody can tell, and the rating is there.
    try:
        if there.id.kind is EntryKind.COUNTS:
            has, had = read_document(CountsDocument, there.document), read_document(CountsDocument, said)
            return has.installs < had.installs or has.calls < had.calls
        rated, was = read_document(RatingDocument, there.document), read_document(RatingDocument, said)
    except DocumentError:
        return True
    # A stamp of ours that lay ahead of the hub's clock was clamped there: words tell whether it is the same rating.
    same = (rated.stars, rated.review, rated.author) == (was.stars, was.review, was.author)
    return not same and parse_stamp(rated.stamp) < parse_stamp(was.stamp)
