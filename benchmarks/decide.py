"""A decision at full size, beside the usual answer: a dictionary that keeps decisions for a minute.

With 10,000 rules, 1,000 agents and locks of 200 packages. ``p50`` is a decision like most: the version was decided on
before under these rules, by whichever agent. ``cold`` is the first one on a version, none of whose packages was ever
compared with a rule. ``reload`` is what the first decision after a change waits for: reading what changed beside 10,000
rules that did not, and deciding anew.

The peer is ``cachetools.TTLCache``, the way it is put before a policy: what an agent may do with a skill, for 60 s.
After a ban it is asked until it notices; its clock is moved by hand, which its ``timer`` is for. Ours is asked to admit
calls that were decided on before the ban.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
import uuid
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from types import ModuleType

from skillyard.governance.closure import compile_rules
from skillyard.governance.decision import Allow, Decision
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import AgentId, InvocationId, SkillVersionId
from skillyard.runtime.journal import Admission, Admitted
from skillyard.runtime.values import InstalledVersion
from skillyard.runtime.views import View
from skillyard.skills.lock import closure_digest
from skillyard.times import utcnow

from benchmarks.books import Books, lock, open_books, package_name
from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.provision import provisions
from benchmarks.results import Result

_PEER = "a dictionary for 60 s"
_TTL_SECONDS = 60
_DECISIONS, _COLD, _RELOADS = 20_000, 100, 20
_BEFORE_THE_BAN = 100
"""Calls that were decided on before a ban, and are to be admitted after it."""

_Question = tuple[AgentId, InstalledVersion]
_Decide = Callable[[AgentId, InstalledVersion], Decision]


async def measure(effort: Effort = FULL) -> Result:
    async with open_books() as books:
        warm: list[list[float]] = []
        usual: list[list[float]] = []
        cold: list[list[float]] = []
        reload: list[list[float]] = []
        for number in range(effort.rounds):
            view = await books.views.current(books.admin.workspace)
            asked = _questions(view, effort.of(_DECISIONS))
            kept = _Kept(books, view)
            warm.append(_timed(_ours(books, view), asked))
            for agent, version in asked:
                kept.decide(agent, version)
            usual.append(_timed(kept.decide, asked))
            cold.append(_first_decisions(books, view, effort.of(_COLD)))
            reload.append([await _changed(books, f"unused-{number}-{each}") for each in range(effort.of(_RELOADS))])
        believed, admitted = await _after_a_ban(books)
    return Result(
        name="decide",
        unit="µs",
        better="lower",
        ours={
            "p50": typical(warm, 0.5),
            "p99": typical(warm, 0.99),
            "cold_p50": typical(cold, 0.5),
            "cold_p99": typical(cold, 0.99),
            "reload_p50": typical(reload, 0.5),
            "wrong_after_a_ban_calls": admitted,
        },
        peers={_PEER: typical(usual, 0.5)},
        peer_figures={_PEER: {"p99": typical(usual, 0.99), "wrong_after_a_ban_s": believed}},
        floor=None,
        rounds=effort.rounds,
    )


class _Kept:
    """Decisions by agent and version, each kept for 60 s; what is not there is decided from the view at hand."""

    def __init__(self, books: Books, view: View) -> None:
        self._decider = books.decider
        self.view = view
        self.now = 0.0
        self._kept: MutableMapping[tuple[AgentId, SkillVersionId], Decision] = _cachetools().TTLCache(
            maxsize=100_000, ttl=_TTL_SECONDS, timer=lambda: self.now
        )

    def decide(self, agent: AgentId, version: InstalledVersion) -> Decision:
        found = self._kept.get((agent, version.id))
        if found is None:
            found = self._kept[agent, version.id] = self._decider.decide(self.view, agent, version)
        return found


def _cachetools() -> ModuleType:
    """The peer, from the peers' environment: pure Python, of the same version as ours."""
    folder = str(provisions().packages)
    if folder not in sys.path:
        sys.path.append(folder)  # behind our own packages, so that none of ours is replaced
    return importlib.import_module("cachetools")


def _ours(books: Books, view: View) -> _Decide:
    return lambda agent, version: books.decider.decide(view, agent, version)


def _questions(view: View, count: int) -> list[_Question]:
    agents, versions = list(view.agents), list(view.versions.values())
    chance = random.Random(count)
    return [(chance.choice(agents), chance.choice(versions)) for _ in range(count)]


def _timed(decide: _Decide, asked: list[_Question]) -> list[float]:
    """Microseconds of each decision; all of them have to be Allow."""
    taken = []
    for agent, version in asked:
        began = time.perf_counter_ns()
        decided = decide(agent, version)
        taken.append((time.perf_counter_ns() - began) / 1e3)
        _require_allowed(decided)
    return taken


def _first_decisions(books: Books, view: View, count: int) -> list[float]:
    agent, version = next(iter(view.agents)), next(iter(view.versions.values()))
    rules = [rule for group in view.rules.by_name.values() for rule in group.rules]
    taken = []
    for _ in range(count):
        # Neither a ruling nor what was found out about rules and locks: all are new values.
        unseen = compile_rules(workspace=view.workspace, epoch=view.epoch, rules=rules)
        decide = _ours(books, replace(view, rules=unseen, rulings={}))
        read = replace(version, locks=(lock(),))
        closure_digest(read.locks)  # as it is when a view was read
        taken += _timed(decide, [(agent, read)])
    return taken


async def _changed(books: Books, name: str) -> float:
    """Microseconds until a decision can be made under rules that have just changed."""
    await books.ban(name)
    began = time.perf_counter_ns()
    view = await books.views.current(books.admin.workspace)
    decided = books.decider.decide(view, next(iter(view.agents)), next(iter(view.versions.values())))
    taken = (time.perf_counter_ns() - began) / 1e3
    _require_allowed(decided)
    return taken


async def _after_a_ban(books: Books) -> tuple[float, float]:
    """For how many seconds the dictionary still says Allow, and how many calls ours admits by its old decision."""
    view = await books.views.current(books.admin.workspace)
    asked = _questions(view, _BEFORE_THE_BAN)
    kept = _Kept(books, view)
    for agent, version in asked:
        _require_allowed(kept.decide(agent, version))
        _require_allowed(books.decider.decide(view, agent, version))
    await books.ban(package_name(0))

    kept.view = await books.views.current(books.admin.workspace)
    while any(isinstance(kept.decide(agent, version), Allow) for agent, version in asked):
        kept.now += 1.0
    admitted = 0
    async with books.writer() as writer:
        for agent, version in asked:
            admission = Admission(
                invocation=InvocationId(str(uuid.uuid4())),
                workspace=view.workspace,
                actor=Actor(ActorKind.AGENT, agent),
                skill_version=version.id,
                entry="scripts/main.py:run",
                epoch=view.epoch,
                at=utcnow(),
            )
            admitted += isinstance(await writer.admit(admission), Admitted)
    return kept.now, admitted


def _require_allowed(decided: Decision) -> None:
    if not isinstance(decided, Allow):
        raise RuntimeError(f"a measured decision was {decided}")  # noqa: TRY004 - not an argument's type
