"""What a strategy makes of a conflict: a pure function from three documents and a strategy to what is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import orjson

from skillyard.marketplace_sync.catalogue.entry import canonical
from skillyard.marketplace_sync.conflicts.merge import DERIVED, Side, merge_skill, skill_fields
from skillyard.marketplace_sync.conflicts.values import Strategy
from skillyard.marketplace_sync.upwards.values import UploadDraft


@dataclass(frozen=True, slots=True)
class TakeTheirs:
    """The remote's side counts; ours does not go up."""

    result: str


@dataclass(frozen=True, slots=True)
class Send:
    """This goes up, made from the remote's side as it is now. ``successor`` is a version under another number."""

    result: str
    successor: UploadDraft | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody has to decide. ``why`` is a sentence."""

    why: str


Settlement = TakeTheirs | Send | Wait


def settle_skill(strategy: Strategy, base: str | None, local: str, theirs: str) -> Settlement:
    """Of what is said about a skill. ``local_wins`` takes from the remote what we did not change: a release that
    happened there meanwhile is not undone by our description."""
    match strategy:
        case Strategy.REMOTE_WINS:
            return TakeTheirs(theirs)
        case Strategy.LOCAL_WINS:
            merged = merge_skill(base, local, theirs, prefer=Side.LOCAL)
        case Strategy.MERGE:
            merged = merge_skill(base, local, theirs)
        case Strategy.MANUAL:
            return Wait("this remote's conflicts are settled by hand")
        case _:
            assert_never(strategy)
    if merged.document is None:
        places = ", ".join(merged.clashes)
        return Wait(f"both changed {places}" if places else "what both say does not fit into one valid document")
    if skill_fields(merged.document) == skill_fields(theirs):
        return TakeTheirs(theirs)
    return Send(made_from(theirs, merged.document))


def made_from(theirs: str, document: str) -> str:
    """A document as it is sent: what the hub makes itself is as the hub has it."""
    derived = {name: value for name, value in orjson.loads(theirs).items() if name in DERIVED}
    rest = {name: value for name, value in orjson.loads(document).items() if name not in DERIVED}
    return canonical({**rest, **derived})
