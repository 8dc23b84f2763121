"""Admitting a call and recording its end, both durable before anybody is answered.

One call after the other; and as many as 8 and 64 clients get through together, whose transactions are grouped. Beside
it, on the same database, the rows that this writes with SQLAlchemy's async session, one transaction for the admission
and one for the end, and none of what else they do: the epoch, the chain of the audit log, the caller's workspace. First
on SQLite, then on a PostgreSQL of its own on the same disk.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle

from skillyard.database import Database
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import InvocationId
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.journal import Admission, Admitted
from skillyard.runtime.states import InvocationState
from skillyard.runtime.tables import InvocationRow
from skillyard.runtime.views import View
from skillyard.sandbox.outcome import Outcome, OutcomeState
from skillyard.times import utcnow
from sqlalchemy import update

from benchmarks.books import Books, open_books
from benchmarks.effort import FULL, Effort
from benchmarks.measure import back_to_back, rate, typical
from benchmarks.postgres import postgres
from benchmarks.results import Result

_PEER = "SQLAlchemy, two transactions"
_PAIRS, _SECONDS = 500, 2.0
_CLIENTS = (8, 64)
_ENTRY = "scripts/main.py:run"

_Pair = Callable[[], Awaitable[None]]


async def measure(effort: Effort = FULL) -> Result:
    file = await _measured(None, effort)
    with postgres() as url:
        server = await _measured(url, effort)
    return Result(
        name="admission",
        unit="ms",
        better="lower",
        ours=_both(file["ours"], server["ours"]),
        peers={_PEER: file[_PEER]["p50"]},
        peer_figures={
            _PEER: {name: value for name, value in _both(file[_PEER], server[_PEER]).items() if name != "p50"}
        },
        floor=None,
        rounds=effort.rounds,
    )


async def _measured(url: str | None, effort: Effort) -> dict[str, dict[str, float]]:
    """The figures of ours and of the peer on one engine, in turns."""
    taken: dict[str, list[list[float]]] = {"ours": [], _PEER: []}
    rates: dict[tuple[str, int], list[float]] = {(name, clients): [] for name in taken for clients in _CLIENTS}
    async with open_books(url, rules=1000, agents=20) as books, _pairs(books) as pairs:
        for pair in pairs.values():
            await back_to_back(pair, 20)  # warm
        for _ in range(effort.rounds):
            for name, pair in pairs.items():
                taken[name].append(await back_to_back(pair, effort.of(_PAIRS)))
                for clients in _CLIENTS:
                    got, _ = await rate(pair, clients, max(0.5, _SECONDS * effort.share))
                    rates[name, clients].append(got)
    return {name: _figures(name, taken, rates) for name in pairs}


@asynccontextmanager
async def _pairs(books: Books) -> AsyncIterator[dict[str, _Pair]]:
    view = await books.views.current(books.admin.workspace)
    async with books.writer() as writer:
        yield {"ours": _ours(writer, view), _PEER: _rows_alone(books.database, view)}


def _ours(writer: AdmissionWriter, view: View) -> _Pair:
    turns = cycle([(agent, version) for agent in view.agents for version in view.versions])

    async def pair() -> None:
        agent, version = next(turns)
        invocation = InvocationId(str(uuid.uuid4()))
        admission = Admission(
            invocation=invocation,
            workspace=view.workspace,
            actor=Actor(ActorKind.AGENT, agent),
            skill_version=version,
            entry=_ENTRY,
            epoch=view.epoch,
            at=utcnow(),
        )
        if not isinstance(await writer.admit(admission), Admitted):
            raise RuntimeError("a measured call was not admitted")  # noqa: TRY004 - no argument's type
        await writer.finish(invocation, Outcome(OutcomeState.SUCCEEDED))

    return pair


def _rows_alone(database: Database, view: View) -> _Pair:
    turns = cycle([(agent, version) for agent in view.agents for version in view.versions])

    async def pair() -> None:
        agent, version = next(turns)
        invocation = str(uuid.uuid4())
        async with database.transaction() as session:
            session.add(
                InvocationRow(
                    id=invocation,
                    workspace_id=view.workspace,
                    agent_id=agent,
                    skill_version_id=version,
                    entry=_ENTRY,
                    epoch=view.epoch,
                    instance_id="bench",
                    state=InvocationState.ACCEPTED,
                    started_at=utcnow(),
                )
            )
        async with database.transaction() as session:
            ended = update(InvocationRow).where(InvocationRow.id == invocation)
            await session.execute(ended.values(state=InvocationState.SUCCEEDED, ended_at=utcnow()))

    return pair


def _both(file: dict[str, float], server: dict[str, float]) -> dict[str, float]:
    """Those of SQLite by their names, those of PostgreSQL with its name before them."""
    return file | {f"postgresql_{name}": value for name, value in server.items()}


def _figures(
    name: str, taken: dict[str, list[list[float]]], rates: dict[tuple[str, int], list[float]]
) -> dict[str, float]:
    """Of a pair alone in milliseconds, and of many together how many there are in a second."""
    figures = {"p50": typical(taken[name], 0.5), "p99": typical(taken[name], 0.99)}
    for clients in _CLIENTS:
        figures[f"times_a_second_{clients}_clients"] = round(statistics.median(rates[name, clients]), 1)
    return figures
