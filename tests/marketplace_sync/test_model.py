"""A small model of a hub and two followers against the real ones: whatever is done in whatever order, nothing is held
that no hub said, nothing that was stopped comes back by itself, and in the end all are equal and every word is there.

What takes processes, sockets and clocks is told by the story ``sync-chaos``. ``MODEL_TELLINGS`` says how many orders
are tried.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from skillyard.errors import ConflictError, InputError, NotFoundError, SkillyardError
from skillyard.marketplace_sync.catalogue.documents import ModerationDocument, ModerationState, read_document
from skillyard.marketplace_sync.catalogue.entry import Entry, EntryId, EntryKind
from skillyard.marketplace_sync.conflicts.values import ConflictState, Strategy
from skillyard.marketplace_sync.remotes.remote import RemoteState
from skillyard.marketplace_sync.upwards.values import DropReason, UploadKind, UploadState
from tests.marketplace_sync.follower.hubs import Row, require_sound
from tests.marketplace_sync.world import SIDES, End, World

T = TypeVar("T")

NAMES = ("anvil", "bellows", "chisel")
TELLINGS = int(os.environ.get("MODEL_TELLINGS", "12"))
STEPS = 30
_HEAL_ROUNDS = 40

names = st.sampled_from(NAMES)
sides = st.sampled_from(SIDES)


def _twice_in_any_order(rows: list[Row]) -> list[Row]:
    return [*reversed(rows), *rows[:2]]


def _of_another_text(rows: list[Row]) -> list[Row]:
    return [{**row, "document": '{"description":"A lie."}'} if number == 0 else row for number, row in enumerate(rows)]


def _without_the_first(rows: list[Row]) -> list[Row]:
    return rows[1:]


def _of_no_kind(rows: list[Row]) -> list[Row]:
    return [{**row, "kind": "virus"} if number == 0 else row for number, row in enumerate(rows)]


LIES = (_twice_in_any_order, _of_another_text, _without_the_first, _of_no_kind)


class Machine(RuleBasedStateMachine):
    """What people do and what goes wrong, in any order."""

    def __init__(self, template: Path, advisories: Path) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self.world = World(template, advisories)
        self.versions: Counter[str] = Counter()
        self.deleted: set[str] = set()
        self.said: dict[tuple[str, str], int] = {}
        """What was rated last, by follower and skill."""
        self.unsure: set[str] = set()
        self.ever: dict[EntryId, set[str]] = {}
        """Every state that the hub ever said something was in, by its hash."""
        self.stopped: dict[str, set[str]] = {side: set() for side in SIDES}
        self.freed: set[str] = set()
        """What a moderator took back some time."""
        self.backup: tuple[Path, frozenset[str]] | None = None
        self._do(self.world.begin())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    @initialize()
    def all_have_the_same(self) -> None:
        for name in NAMES:
            self.publish(name)
        for side in SIDES:
            self.sync(side)
        self.back_up()

    # What people do

    @rule(name=names)
    def publish(self, name: str) -> None:
        if name in self.deleted:
            self._moderate(f"acme/{name}", ModerationState.VISIBLE)
            self.deleted.discard(name)
        self.versions[name] += 1
        self._do(self.world.publish(name, f"1.{self.versions[name]}.0"))

    @rule(name=names, state=st.sampled_from(("yanked", "quarantined", "revoked", "visible")))
    def moderate(self, name: str, state: str) -> None:
        self._moderate(f"acme/{name}@1.1.0", ModerationState(state))

    @rule(name=names)
    def delete(self, name: str) -> None:
        if self._moderate(f"acme/{name}", ModerationState.DELETED):
            self.deleted.add(name)
            self._forget(name)
            self.unsure.discard(name)

    def _moderate(self, key: str, state: ModerationState) -> bool:
        with suppress(NotFoundError, ConflictError):
            self._do(self.world.hub.moderate(key, state, "The model wants it.", by=self.world.by))
            if not state.stops:
                self.freed.add(key)
            return True
        return False

    @rule(side=sides, name=names, stars=st.integers(1, 5))
    def rate(self, side: str, name: str, stars: int) -> None:
        end = self.world.ends[side]
        with suppress(NotFoundError):
            self._do(end.uploads.rate("hub", f"acme/{name}", stars=stars, by=end.person))
            self.said[side, name] = stars

    @rule(side=sides, name=names, text=st.sampled_from(("One.", "Two.", "Three.")))
    def edit(self, side: str, name: str, text: str) -> None:
        end = self.world.ends[side]
        with suppress(NotFoundError, InputError, ConflictError):
            self._do(end.uploads.edit("hub", f"acme/{name}", {"description": f"{text} {side}"}, by=end.by))

    @rule(side=sides)
    def sync(self, side: str) -> None:
        self._do(self.world.ends[side].sync())

    @rule(side=sides)
    def send(self, side: str) -> None:
        self._do(self.world.ends[side].send())

    @rule(side=sides)
    def look_at_a_distrusted_hub(self, side: str) -> None:
        self._do(self.world.ends[side].enable())

    # What goes wrong

    @rule(side=sides, lie=st.sampled_from(LIES))
    def lie_to(self, side: str, lie: Callable[[list[Row]], list[Row]]) -> None:
        self.world.ends[side].line.lie = lie
        self.sync(side)

    @rule(side=sides)
    def cut(self, side: str) -> None:
        self.world.ends[side].line.cuts = True
        self.sync(side)

    @rule(side=sides, what=st.sampled_from(("question", "answer")))
    def lose(self, side: str, what: str) -> None:
        self.world.ends[side].line.loses = what
        self.send(side)
        self._do(self.world.ends[side].hurry())

    @rule()
    def back_up(self) -> None:
        self.backup = self._do(self.world.back_up()), frozenset(self.deleted)

    @rule(said=st.booleans())
    def put_back(self, said: bool) -> None:
        assert self.backup is not None
        file, deleted = self.backup
        self._do(self.world.put_back(file, said=said))
        if not said:
            # Who had not read as far as the backup goes cannot tell that it is one, nor that a word of theirs is lost.
            seq = max(entry.seq for entry in self._do(self.world.entries()).values())
            late = {side for side, end in self.world.ends.items() if self._do(end.here.catalogue()).seq <= seq}
            self.said = {key: stars for key, stars in self.said.items() if key[0] not in late}
        for name in self.deleted ^ deleted:
            self.unsure.add(name)
            self._forget(name)
        self.deleted = set(deleted)

    def _forget(self, name: str) -> None:
        self.said = {key: stars for key, stars in self.said.items() if key[1] != name}

    # What always holds

    @invariant()
    def nothing_is_held_that_no_hub_said(self) -> None:
        for entry in self._do(self.world.entries()).values():
            self.ever.setdefault(entry.id, set()).add(entry.sha256)
        for side, end in self.world.ends.items():
            self._do(require_sound(end.here))
            strange = [one for one in self._do(end.here.entries()) if one.sha256 not in self.ever.get(one.id, ())]
            assert strange == [], f"{side} holds {strange}"

    @invariant()
    def nothing_stopped_comes_back_by_itself(self) -> None:
        for side, end in self.world.ends.items():
            stops = self._do(end.stops())
            back = self.stopped[side] - stops - self.freed
            assert not back, f"{side} lets {back} run again"
            self.stopped[side] |= stops

    # The end

    def teardown(self) -> None:
        try:
            self._heal()
        finally:
            self._do(self.world.end())
            self._runner.close()

    def _heal(self) -> None:
        for end in self.world.ends.values():
            end.line.calm()
        for _ in range(_HEAL_ROUNDS):
            rests = [self._do(self._mended(end)) for end in self.world.ends.values()]
            if all(rests) and self._equal():
                break
        else:
            raise AssertionError("it does not come to rest")
        held = {id_: one for id_, one in self._do(self.world.entries()).items() if not one.deleted}
        for side, end in self.world.ends.items():
            self._do(self._nothing_lost(side, end, held))
        self.nothing_is_held_that_no_hub_said()
        self.nothing_stopped_comes_back_by_itself()

    async def _mended(self, end: End) -> bool:
        """One round of what an operator and time do; whether nothing waits any more."""
        if (await end.market()).state is RemoteState.DISTRUSTED:
            await end.enable()
        await end.hurry()
        await end.send()
        await end.sync()
        workspace = end.by.workspace
        for conflict in await end.conflicts.list(workspace, state=ConflictState.OPEN):
            with suppress(SkillyardError):
                await end.conflicts.resolve(
                    [conflict.id], by=end.by, successors=end.uploads.collisions, strategy=Strategy.REMOTE_WINS
                )
        waits = await end.uploads.list(workspace, state=UploadState.WAITING)
        return not waits and not await end.conflicts.list(workspace, state=ConflictState.OPEN)

    def _equal(self) -> bool:
        held = {id_: one.sha256 for id_, one in self._do(self.world.entries()).items() if not one.deleted}
        for end in self.world.ends.values():
            there = {one.id: one.sha256 for one in self._do(end.here.entries()) if not one.deleted}
            if there != held:
                return False
        return True

    async def _nothing_lost(self, side: str, end: End, held: Mapping[EntryId, Entry]) -> None:
        ratings = await end.uploads.list(end.by.workspace, kind=UploadKind.RATING, limit=1000)
        last = {one.key: one for one, _ in ratings}
        for key, upload in last.items():
            name = key.partition("#")[0].removeprefix("acme/")
            stars = self.said.get((side, name))
            if stars is None or name in self.unsure or name in self.deleted or upload.state is UploadState.DEAD:
                continue
            entry = held.get(EntryId(EntryKind.RATING, key))
            assert entry is not None, f"what {side} said of {name} is not up there: {upload}"
            assert orjson.loads(entry.document or "")["stars"] == stars, f"{side} gave {name} {stars}: {entry}"
        edits = await end.uploads.list(end.by.workspace, kind=UploadKind.SKILL, limit=1000)
        logged = Counter(one.key for one in await end.conflicts.list(end.by.workspace, limit=1000))
        dropped = Counter(one.key for one, _ in edits if one.dropped is DropReason.THEIRS)
        assert dropped <= logged, f"edits of {side} are lost: {dropped}, and logged are {logged}"
        stopped = {
            id_.key
            for id_, one in held.items()
            if id_.kind is EntryKind.MODERATION and read_document(ModerationDocument, one.document or "").state.stops
        }
        assert stopped <= await end.stops()


@pytest.mark.timeout(600)
def test_whatever_happens_in_whatever_order_nothing_is_lost_and_nothing_is_made_up(
    _migrated_file: Path,  # noqa: PT019 - its value is what is wanted
    advisories: Path,
) -> None:
    run_state_machine_as_test(
        lambda: Machine(_migrated_file, advisories),  # type: ignore[arg-type]  # whatever makes one will do
        settings=settings(
            max_examples=TELLINGS, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
