"""Ratings and counts as the hub takes them: registers that one rater, or one instance, writes and nobody else.

The latest stamp of a rating wins, whatever order they come in, and one that lies too far ahead is clamped. Counts only
grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from skillyard.database import Session
from skillyard.errors import NotFoundError, SkillyardError
from skillyard.governance import audit
from skillyard.governance.administrators import Administrator, require_operator
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.identity import PersonPrincipal
from skillyard.json_value import JsonValue
from skillyard.marketplace_sync.catalogue import standing, store
from skillyard.marketplace_sync.catalogue.documents import (
    CountsDocument,
    Document,
    RatingDocument,
    moment,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind, entry_id
from skillyard.marketplace_sync.catalogue.stamp import Stamp, clamped, next_stamp, parse_stamp
from skillyard.marketplace_sync.catalogue.store import Change
from skillyard.marketplace_sync.errors import DocumentError, NotAllowedError, RemovedError
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub import token_store
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.values import InstancePrincipal, InstanceScope, Sender
from skillyard.marketplace_sync.metrics.figures import SyncMetrics
from skillyard.times import utcnow

HUB_LABEL = "hub"
"""What figures about stamps that came here are labelled with, in the place of a remote."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The register as it stands; ``changed`` is false where it was as late already. ``None`` where it is empty."""

    entry: Entry | None
    changed: bool


@dataclass(frozen=True, slots=True)
class Register:
    """A register as an instance brings it: a rating or counts, with the document that it is to have."""

    kind: EntryKind
    key: str
    document: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What registers are judged by, looked up for all of them. ``refused`` is by origin; ``held`` has tombstones."""

    held: Mapping[EntryId, Entry]
    refused: Mapping[str, SkillyardError]
    struck: frozenset[str]
    rateable: frozenset[str]
    bound: set[str] = field(default_factory=set)

    def require_open(self, id_: EntryId) -> None:
        """Raises what keeps anybody, or this sender, from writing the register."""
        if (why := self.refused.get(_origin(id_.key))) is not None:
            raise why
        if id_.key in self.struck:
            raise _struck(id_.key)
        if _skill(id_.key) not in self.rateable:
            raise NotFoundError(f"there is no skill {_skill(id_.key)} to be rated")


class Ratings:
    """Writes registers in the caller's transaction."""

    def __init__(self, *, ground: Ground, metrics: SyncMetrics) -> None:
        self._ground = ground
        self._metrics = metrics

    async def rate(self, session: Session, person: PersonPrincipal, skill: str, stars: int, review: str) -> Entry:
        """A person of this hub rates. Raises ``NotFoundError``, ``DocumentError``, and ``RemovedError`` where a
        moderator took their review away."""
        id_ = await self._own_register(session, person, skill)
        await self._require_rateable(session, skill)
        if await hub_store.struck(session, [id_.key]):
            raise _struck(id_.key)
        before = await self._ground.entry(session, id_)
        last = None if before is None or before.document is None else _stamp(before.document)
        now = utcnow()
        origin = (await self._ground.catalogue(session)).feed_id
        stamp = next_stamp(last, now_ms=int(now.timestamp() * 1000), node=origin)
        document = RatingDocument(
            stars=stars, review=review, author=person.person.name, stamp=str(stamp), at=moment(now)
        )
        _, written = await self._ground.change(session, [Change(id_, document.text)], at=now)
        facts = {"stars": stars}
        await audit.append(session, AuditRecord(person.workspace, now, person.actor, Action.MARKET_RATED, skill, facts))
        return written[0]

    async def take_back(self, session: Session, person: PersonPrincipal, skill: str) -> None:
        """Raises ``NotFoundError`` where there is no rating of theirs."""
        id_ = await self._own_register(session, person, skill)
        await self._remove(session, id_)
        facts = {"removed": True}
        record = AuditRecord(person.workspace, utcnow(), person.actor, Action.MARKET_RATED, skill, facts)
        await audit.append(session, record)

    async def strike(self, session: Session, key: str, reason: str, *, by: Administrator) -> None:
        """An operator takes a review away, whoever wrote it: no other comes in its place until one lifts that."""
        await require_operator(session, by)
        await self._remove(session, entry_id(EntryKind.RATING, key))
        await hub_store.add_strike(session, key, at=utcnow())
        await self._record_strike(session, key, {"removed": True, "reason": reason, **by.facts}, by)

    async def lift(self, session: Session, key: str, reason: str, *, by: Administrator) -> None:
        """Its rater may rate again. What was struck does not come back by itself. Raises ``NotFoundError``."""
        await require_operator(session, by)
        if not await hub_store.remove_strike(session, entry_id(EntryKind.RATING, key).key):
            raise NotFoundError(f"no review of {key} was taken away")
        await self._record_strike(session, key, {"lifted": True, "reason": reason, **by.facts}, by)

    @staticmethod
    async def _record_strike(session: Session, key: str, facts: dict[str, JsonValue], by: Administrator) -> None:
        await audit.append(session, AuditRecord(by.workspace, utcnow(), by.actor, Action.MARKET_RATED, key, facts))

    async def take(self, session: Session, sender: Sender, key: str, document: str | None) -> Taken:
        """A rating that an instance brings of its own raters; ``None`` takes one back. The later stamp stays."""
        if document is not None:
            return await self._take_one(session, sender, Register(EntryKind.RATING, key, document))
        id_ = entry_id(EntryKind.RATING, key)
        await self._require_origin(session, sender, _origin(key))
        if await self._ground.entry(session, id_) is None:
            return Taken(None, changed=False)
        await self._bind(session, sender, _origin(key), set())
        await self._remove(session, id_)
        return Taken(None, changed=True)

    async def count(self, session: Session, sender: Sender, key: str, document: str) -> Taken:
        """What an instance counted in all. Neither figure ever goes down."""
        return await self._take_one(session, sender, Register(EntryKind.COUNTS, key, document))

    async def _take_one(self, session: Session, sender: Sender, register: Register) -> Taken:
        (taken,) = await self.take_many(session, sender, (register,))
        if isinstance(taken, SkillyardError):
            raise taken
        return taken

    async def take_many(
        self, session: Session, sender: Sender, registers: Sequence[Register]
    ) -> list[Taken | SkillyardError]:
        """As ``take`` and ``count``, of registers of different keys: looked up and written together, because one by one
        a thousand ratings are ten thousand questions to the database."""
        now = utcnow()
        ids = {one: _id_or_error(one) for one in registers}
        known = [id_ for id_ in ids.values() if isinstance(id_, EntryId)]
        found = await self._found(session, sender, known)
        taken: dict[Register, Taken | SkillyardError] = {}
        changes: dict[EntryId, Register] = {}
        texts: dict[EntryId, str] = {}
        for one, id_ in ids.items():
            if not isinstance(id_, EntryId):
                taken[one] = id_
                continue
            held = found.held.get(id_)
            before = None if held is None or held.deleted else held
            try:
                found.require_open(id_)
                document = self._merged(one, before, now)
                text = None if document is None else document.text
                await self._bind(session, sender, _origin(id_.key), found.bound)
            except (DocumentError, NotAllowedError, NotFoundError, RemovedError) as error:
                taken[one] = error
                continue
            taken[one] = Taken(before, changed=False)
            if text is not None:
                changes[id_], texts[id_] = one, text
        if changes:
            wanted = [Change(id_, texts[id_]) for id_ in changes]
            _, written = await self._ground.change(session, wanted, at=now)
            taken |= {changes[entry.id]: Taken(entry, changed=True) for entry in written}
        return [taken[one] for one in registers]

    async def _found(self, session: Session, sender: Sender, ids: Sequence[EntryId]) -> _Found:
        origins = dict.fromkeys(_origin(id_.key) for id_ in ids)
        refused = {origin: await self._why_not(session, sender, origin) for origin in origins}
        skills = {_skill(id_.key) for id_ in ids}
        standings = await standing.standings(session, self._ground.id, skills)
        there = await store.get_many(session, self._ground.id, [EntryId(EntryKind.SKILL, skill) for skill in skills])
        return _Found(
            held=await store.get_many(session, self._ground.id, ids),
            refused={origin: why for origin, why in refused.items() if why is not None},
            struck=await hub_store.struck(session, [id_.key for id_ in ids]),
            rateable=frozenset(
                id_.key for id_, one in there.items() if not one.deleted and standings[id_.key].installable
            ),
        )

    def _merged(self, register: Register, held: Entry | None, now: datetime) -> Document | None:
        """What the register is to say; ``None`` where it says that, or something later, already."""
        if register.kind is EntryKind.COUNTS:
            return _counted(read_document(CountsDocument, register.document), held)
        wanted = read_document(RatingDocument, register.document)
        stamp, origin = parse_stamp(wanted.stamp), _origin(register.key)
        if stamp.node != origin:
            raise DocumentError(f"was stamped by {stamp.node}, and is of {origin}", field="stamp")
        before = None if held is None or held.document is None else _stamp(held.document)
        if before is not None and stamp <= before:
            return None
        if (counts := clamped(stamp, now_ms=int(now.timestamp() * 1000))) != stamp:
            self._metrics.stamp_clamped(HUB_LABEL)
            if before is not None and counts <= before:
                # What was clamped before lies as far ahead, or our clock was set back since: later is later.
                counts = next_stamp(before, now_ms=0, node=origin)
            wanted = wanted.model_copy(update={"stamp": str(counts)})
        return wanted

    async def _why_not(self, session: Session, sender: Sender, origin: str) -> SkillyardError | None:
        try:
            await self._require_origin(session, sender, origin)
        except NotAllowedError as error:
            return error
        return None

    async def _own_register(self, session: Session, person: PersonPrincipal, skill: str) -> EntryId:
        origin = (await self._ground.catalogue(session)).feed_id
        return entry_id(EntryKind.RATING, f"{skill}#{origin}/person-{person.person.id}")

    async def _remove(self, session: Session, id_: EntryId) -> None:
        if await self._ground.entry(session, id_) is None:
            raise NotFoundError(f"there is no {id_}")
        await self._ground.change(session, [Change(id_, None)], at=utcnow())

    async def _require_rateable(self, session: Session, skill: str) -> None:
        id_ = entry_id(EntryKind.SKILL, skill)
        found = await standing.standing_of(session, self._ground.id, skill)
        if await self._ground.entry(session, id_) is None or not found.installable:
            raise NotFoundError(f"there is no skill {skill} to be rated")

    async def _require_origin(self, session: Session, sender: Sender, origin: str) -> None:
        """What instances bring is their own raters' alone; persons rate here themselves."""
        if not isinstance(sender.principal, InstancePrincipal):
            raise NotAllowedError("persons rate a skill by its own route; this is for instances and their raters")
        sender.require(InstanceScope.RATE)
        await token_store.require_valid(session, sender.principal, utcnow())
        if origin == (await self._ground.catalogue(session)).feed_id:
            raise NotAllowedError(f"{origin} is this hub itself, whose people rate here")
        await token_store.require_origin(session, sender.principal, origin)

    @staticmethod
    async def _bind(session: Session, sender: Sender, origin: str, bound: set[str]) -> None:
        """From the first that is taken on a token brings the ratings of one instance; what is refused binds nothing."""
        if origin not in bound and isinstance(sender.principal, InstancePrincipal):
            await token_store.bind_origin(session, sender.principal, origin)
            bound.add(origin)


def _id_or_error(register: Register) -> EntryId | SkillyardError:
    try:
        return entry_id(register.kind, register.key)
    except DocumentError as error:
        return error


def _struck(key: str) -> RemovedError:
    return RemovedError(f"a moderator took the review {key} away")


def _counted(wanted: CountsDocument, held: Entry | None) -> CountsDocument | None:
    """Neither figure ever goes down."""
    if held is None or held.document is None:
        return wanted
    before = read_document(CountsDocument, held.document)
    if wanted.installs <= before.installs and wanted.calls <= before.calls:
        return None
    most = {"installs": max(wanted.installs, before.installs), "calls": max(wanted.calls, before.calls)}
    return wanted.model_copy(update=most)


def _skill(key: str) -> str:
    return key.partition("#")[0]


def _origin(key: str) -> str:
    return key.partition("#")[2].partition("/")[0]


def _stamp(document: str) -> Stamp:
    return parse_stamp(read_document(RatingDocument, document).stamp)
