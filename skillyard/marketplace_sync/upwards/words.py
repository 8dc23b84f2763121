"""What people say of a remote's skills, as registers: under which key, with which stamp; and edits as documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from skillyard.database import Session
from skillyard.errors import InputError
from skillyard.governance.identity import PersonPrincipal
from skillyard.marketplace_sync.catalogue import store as catalogue_store
from skillyard.marketplace_sync.catalogue.documents import RatingDocument, SkillDocument, moment, read_document
from skillyard.marketplace_sync.catalogue.entry import EntryId, EntryKind, canonical, entry_id
from skillyard.marketplace_sync.catalogue.stamp import Stamp, next_stamp, parse_stamp
from skillyard.marketplace_sync.conflicts.merge import DERIVED
from skillyard.marketplace_sync.errors import DocumentError
from skillyard.marketplace_sync.remotes.remote import RemoteMarket
from skillyard.marketplace_sync.upwards import store
from skillyard.marketplace_sync.upwards.identity import origin_of, rater_of
from skillyard.marketplace_sync.upwards.values import Upload, UploadKind
from skillyard.times import utcnow


@dataclass(frozen=True, slots=True)
class GivenRating:
    """What a person of the workspace said about a remote's skill, and where that stands."""

    remote: str
    skill: str
    stars: int | None
    """``None`` where it was taken back."""
    review: str
    author: str
    upload: Upload


async def next_word(session: Session, remote: RemoteMarket, skill: str, by: PersonPrincipal) -> tuple[str, Stamp]:
    """The key of a person's rating, and a stamp later than all they said so far, whatever the clock says."""
    key = await rating_key(session, remote, skill, by)
    texts = list(await store.documents_of(session, remote.id, UploadKind.RATING, key))
    there = await catalogue_store.get(session, remote.catalogue, EntryId(EntryKind.RATING, key))
    if there is not None and there.document is not None:
        texts.append(there.document)
    said = [stamp for stamp in map(_stamp, texts) if stamp is not None]
    origin = key.partition("#")[2].partition("/")[0]
    now_ms = int(utcnow().timestamp() * 1000)
    return key, next_stamp(max(said, default=None), now_ms=now_ms, node=origin)


async def rating_key(session: Session, remote: RemoteMarket, skill: str, by: PersonPrincipal) -> str:
    own = await catalogue_store.own(session, at=utcnow())
    origin = origin_of(own.feed_id, remote.workspace)
    key = f"{skill}#{origin}/{rater_of(own.feed_id, remote.workspace, by.person.id)}"
    return entry_id(EntryKind.RATING, key).key


def edited(start: str, fields: Mapping[str, object]) -> str:
    """A skill's document with these fields changed. Raises ``InputError``, ``DocumentError``."""
    value = orjson.loads(start)
    channels = fields.get("channels")
    changes = {name: one for name, one in fields.items() if name != "channels"}
    if channels is not None:
        if not isinstance(channels, Mapping):
            raise InputError("a mapping of channels to versions", field="channels")
        merged = {**value.get("channels", {}), **channels}
        changes["channels"] = {name: version for name, version in merged.items() if version is not None}
    value |= changes
    value["updated_at"] = moment(utcnow()).isoformat()
    text = canonical({name: one for name, one in value.items() if one is not None or name in DERIVED})
    read_document(SkillDocument, text)
    return text


def given(remote: RemoteMarket, upload: Upload) -> GivenRating:
    """The rating that an upload is."""
    said = None if upload.document is None else read_document(RatingDocument, upload.document)
    return GivenRating(
        remote=remote.name,
        skill=upload.key.partition("#")[0],
        stars=None if said is None else said.stars,
        review="" if said is None else said.review,
        author="" if said is None else said.author,
        upload=upload,
    )


def _stamp(text: str) -> Stamp | None:
    try:
        return parse_stamp(read_document(RatingDocument, text).stamp)
    except DocumentError:
        return None
