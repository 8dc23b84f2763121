"""What others push: many items at once, each with its own result, each taken once.

An item is known by its sender and key: sent again it is answered as before, and the same key with another body is
refused. Only what was taken is remembered: what was refused, is missing files or was in conflict is looked at anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakValueDictionary

import orjson
from pydantic import TypeAdapter

from skillyard.database import Database, Session
from skillyard.errors import ConflictError, InputError, MachineError, NotFoundError, SkillyardError
from skillyard.governance.report import Report
from skillyard.marketplace_sync.catalogue.documents import (
    Document,
    ModerationState,
    Reason,
    SkillDocument,
    read_document,
)
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryKind, entry_id
from skillyard.marketplace_sync.errors import (
    DocumentError,
    HubBusyError,
    ItemReusedError,
    MarketplaceError,
    ReservedError,
    RevisionConflictError,
    TokenEndedError,
)
from skillyard.marketplace_sync.hub import store as hub_store
from skillyard.marketplace_sync.hub.edits import Edits
from skillyard.marketplace_sync.hub.ground import Ground
from skillyard.marketplace_sync.hub.moderation import Moderation
from skillyard.marketplace_sync.hub.publish import MissingFiles, Published, Publishing, Ready
from skillyard.marketplace_sync.hub.ratings import Ratings, Register, Taken
from skillyard.marketplace_sync.hub.values import MOST_ITEMS, Sender, WantedVersion
from skillyard.marketplace_sync.remotes.remote import PushItem, PushResult, PushStatus
from skillyard.runtime.errors import ReportRefusedError
from skillyard.times import utcnow

_TOGETHER = 25
"""Items of one transaction: others write in between, and one commit is paid for several."""
_REGISTERS_TOGETHER = 200
"""Of ratings and counts alone, which are written by a few statements in all."""

_TAKEN = (PushStatus.APPLIED, PushStatus.DUPLICATE)
_RESULT = TypeAdapter(PushResult)


class WordDocument(Document):
    """What a publisher says as a moderation entry: ``yanked`` with a reason, ``visible`` to take that back."""

    state: ModerationState
    reason: Reason


@dataclass(frozen=True, slots=True)
class Answered:
    """A result, with the report where that is why it was refused."""

    result: PushResult
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    item: PushItem
    body: str


class Push:
    """Takes items in their order. A version is scanned outside the transactions, everything else is written by one."""

    def __init__(
        self,
        *,
        database: Database,
        ground: Ground,
        publishing: Publishing,
        edits: Edits,
        ratings: Ratings,
        moderation: Moderation,
    ) -> None:
        self._database = database
        self._ground = ground
        self._publishing = publishing
        self._edits = edits
        self._ratings = ratings
        self._moderation = moderation
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, sender: Sender, items: Sequence[PushItem]) -> tuple[Answered, ...]:
        """Results in the items' order. Raises ``MachineError`` and its kin, ``HubBusyError`` and ``TokenEndedError``:
        those before are taken, and known again."""
        if len(items) > MOST_ITEMS:
            raise InputError(f"more than {MOST_ITEMS} items", field="items")
        if len({one.item for one in items}) != len(items):
            raise InputError("an idempotency key occurs twice", field="items")
        answers: list[Answered] = []
        waiting: list[_Item] = []
        most = _REGISTERS_TOGETHER
        for item in items:
            one = _Item(item, _hash(item))
            if item.kind is not EntryKind.VERSION:
                waiting.append(one)
                most = most if _is_register(one) else _TOGETHER
                if len(waiting) < most:
                    continue
            answers += await self._together(sender, waiting)
            waiting, most = [], _REGISTERS_TOGETHER
            if item.kind is EntryKind.VERSION:
                answers.append(await self._version(sender, one))
        return (*answers, *(await self._together(sender, waiting)))

    async def _together(self, sender: Sender, items: Sequence[_Item]) -> list[Answered]:
        if not items:
            return []
        async with self._database.transaction() as session:
            known = await hub_store.pushed(session, sender.id, [one.item.item for one in items])
            at_once = await self._registers(session, sender, [one for one in items if one.item.item not in known])
            answers, taken = [], []
            for one in items:
                answer = _known(one, known)
                if answer is None:
                    said = at_once.get(one.item.item)
                    write = said or _apart(session, partial(self._write, session, sender, one.item))
                    answer = await _judged(one.item, write)
                    taken += _to_remember(one, answer)
                answers.append(await self._with_current(session, one.item, answer))
            await hub_store.remember(session, sender.id, taken, at=utcnow())
        return answers

    async def _registers(
        self, session: Session, sender: Sender, items: Sequence[_Item]
    ) -> dict[str, Callable[[], Awaitable[PushResult]]]:
        """Ratings and counts that may be written together: those that are alone with their key. Their results, as
        ``_judged`` wants to have them."""
        times = Counter((one.item.kind, one.item.key) for one in items)
        alone = [one.item for one in items if _is_register(one) and times[one.item.kind, one.item.key] == 1]
        registers = [Register(item.kind, item.key, item.document or "") for item in alone]
        found = await self._ratings.take_many(session, sender, registers) if registers else []
        return {item.item: partial(_said, item, taken) for item, taken in zip(alone, found, strict=True)}

    async def _version(self, sender: Sender, one: _Item) -> Answered:
        """One at a time for a version: who sends it again while it is being scanned waits for that."""
        async with self._turns.setdefault(one.item.key, asyncio.Lock()):
            return await self._publish(sender, one)

    async def _publish(self, sender: Sender, one: _Item) -> Answered:
        async with self._database.reading() as session:
            known = await hub_store.pushed(session, sender.id, [one.item.item])
        if (answer := _known(one, known)) is not None:
            return answer
        looked: list[Ready | Published | MissingFiles] = []

        async def look() -> PushResult:
            if one.item.document is None:
                raise DocumentError("a version is not taken back, but yanked or deleted", field="document")
            wanted = read_document(WantedVersion, one.item.document)
            looked.append(await self._publishing.prepare(sender, one.item.key, wanted, one.item.files))
            return PushResult(one.item.item, PushStatus.APPLIED)

        answer = await _judged(one.item, look)
        if not looked:
            async with self._database.reading() as session:
                return await self._with_current(session, one.item, answer)
        found = looked[0]
        if isinstance(found, MissingFiles):
            return Answered(PushResult(one.item.item, PushStatus.MISSING, missing=found.sha256))
        return await self._write_version(sender, one, found)

    async def _write_version(self, sender: Sender, one: _Item, found: Ready | Published) -> Answered:
        async with self._database.transaction() as session:
            known = await hub_store.pushed(session, sender.id, [one.item.item])
            if (answer := _known(one, known)) is not None:
                return answer

            async def write() -> PushResult:
                done = found if isinstance(found, Published) else await self._publishing.write(session, sender, found)
                status = PushStatus.APPLIED if done.created else PushStatus.DUPLICATE
                return PushResult(one.item.item, status, rev=done.entry.rev)

            answer = await _judged(one.item, _apart(session, write))
            await hub_store.remember(session, sender.id, _to_remember(one, answer), at=utcnow())
            answer = await self._with_current(session, one.item, answer)
        if answer.result.status in _TAKEN:
            await self._publishing.settled(sender, one.item.files)
        return answer

    async def _write(self, session: Session, sender: Sender, item: PushItem) -> PushResult:
        match item.kind:
            case EntryKind.RATING:
                return _of_register(item, await self._ratings.take(session, sender, item.key, item.document))
            case EntryKind.COUNTS if item.document is not None:
                return _of_register(item, await self._ratings.count(session, sender, item.key, item.document))
            case EntryKind.SKILL if item.document is not None:
                if item.base_rev is None:
                    raise DocumentError("an edit says which revision it was made from", field="base_rev")
                wanted = read_document(SkillDocument, item.document)
                edited, changed = await self._edits.replace(session, sender, item.key, wanted, base_rev=item.base_rev)
                return _result(item, edited, changed=changed)
            case EntryKind.MODERATION if item.document is not None:
                word = read_document(WordDocument, item.document)
                said = await self._moderation.by_publisher(session, sender, item.key, word.state, word.reason)
                return _result(item, said.entry, changed=True)
            case _:
                raise DocumentError(f"a {item.kind.value} is not pushed, or not taken back so", field="kind")

    async def _with_current(self, session: Session, item: PushItem, answer: Answered) -> Answered:
        # Of a number that has other content too: its publisher compares both, and gives theirs another number.
        if answer.result.status is not PushStatus.CONFLICT and answer.result.code != ReservedError.code:
            return answer
        current = await self._ground.entry(session, entry_id(item.kind.value, item.key))
        return replace(answer, result=replace(answer.result, current=current))


async def _judged(item: PushItem, work: Callable[[], Awaitable[PushResult]]) -> Answered:
    """The work's result; what it refuses for the item's own sake becomes one. Errors of ours go on."""
    try:
        return Answered(await work())
    except RevisionConflictError as error:
        return Answered(PushResult(item.item, PushStatus.CONFLICT, code=error.code, detail=str(error)))
    except ReportRefusedError as error:
        return Answered(_refused(item, error), error.report)
    except (MachineError, HubBusyError, TokenEndedError):
        # Nothing is wrong with the item: refused, it would never be sent again.
        raise
    except (InputError, ConflictError, NotFoundError, MarketplaceError) as error:
        return Answered(_refused(item, error))


def _apart(session: Session, work: Callable[[], Awaitable[PushResult]]) -> Callable[[], Awaitable[PushResult]]:
    """The work within a savepoint: of an item that is refused nothing stays in the transaction that it shares."""

    async def within() -> PushResult:
        async with session.begin_nested():
            return await work()

    return within


def _refused(item: PushItem, error: SkillyardError) -> PushResult:
    return PushResult(item.item, PushStatus.REFUSED, code=error.code, detail=str(error)[:2000])


def _known(one: _Item, known: dict[str, tuple[str, str]]) -> Answered | None:
    found = known.get(one.item.item)
    if found is None:
        return None
    body, result = found
    if body != one.body:
        error = ItemReusedError(f"the key {one.item.item} was used for something else before")
        return Answered(_refused(one.item, error))
    return Answered(replace(_RESULT.validate_json(result), status=PushStatus.DUPLICATE))


def _to_remember(one: _Item, answer: Answered) -> list[tuple[str, str, str]]:
    if answer.result.status not in _TAKEN:
        return []
    return [(one.item.item, one.body, _RESULT.dump_json(answer.result).decode())]


async def _said(item: PushItem, taken: Taken | SkillyardError) -> PushResult:
    if isinstance(taken, SkillyardError):
        raise taken
    return _of_register(item, taken)


def _is_register(one: _Item) -> bool:
    """Whether it is a register that gets a document."""
    return one.item.kind in (EntryKind.RATING, EntryKind.COUNTS) and one.item.document is not None


def _of_register(item: PushItem, taken: Taken) -> PushResult:
    if taken.entry is None:
        return PushResult(item.item, PushStatus.APPLIED if taken.changed else PushStatus.DUPLICATE)
    return _result(item, taken.entry, changed=taken.changed)


def _result(item: PushItem, entry: Entry, *, changed: bool) -> PushResult:
    return PushResult(item.item, PushStatus.APPLIED if changed else PushStatus.DUPLICATE, rev=entry.rev)


def _hash(item: PushItem) -> str:
    """Of everything that an item says but its key."""
    files = [[one.path, one.sha256, one.size, one.executable] for one in item.files]
    said = [item.kind.value, item.key, item.base_rev, item.document, sorted(files)]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()
