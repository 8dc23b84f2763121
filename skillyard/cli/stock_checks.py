"""What ``doctor`` says of a home: what is on disk, which processes and containers there are, which calls run."""

from __future__ import annotations

from collections.abc import Sequence

from skillyard.cli.diagnosis import Check, State
from skillyard.cli.screen import size
from skillyard.errors import SkillyardError
from skillyard.runtime.inventory import Held, KnownLease, Stock

_SWEEP = "A running server removes this within its sweep period; else the next start of a server or run does."


async def stock_checks(stock: Stock, *, engine_up: bool) -> tuple[Check, ...]:
    """Without an engine nobody asks it for images or containers; the rest is looked at all the same."""
    held = await stock.held(with_engine=engine_up)
    try:
        leases = await stock.leases()
    except SkillyardError as error:
        return _stored(held), Check("processes", State.WARNING, f"cannot be told: {error}")
    checks = [_stored(held), _processes(leases, stock.database_problem), _calls(leases, stock.database_problem)]
    if engine_up:
        checks.append(await _leftovers(stock, leases))
    return tuple(checks)


def _stored(held: Sequence[Held]) -> Check:
    facts: dict[str, object] = {one.kind: {"count": one.count, "bytes": one.bytes} for one in held}
    known = "; ".join(f"{one.count} {one.kind} {size(one.bytes)}" for one in held if one.count)
    problems = [f"{one.kind}: {one.problem}" for one in held if one.problem is not None]
    if problems:
        text = "; ".join(filter(None, (known, *problems)))
        return Check("stored", State.WARNING, text, "See the reason; what was not looked at is not counted.", facts)
    return Check("stored", State.OK, known or "nothing", facts=facts)


def _processes(leases: Sequence[KnownLease], unknown: str | None) -> Check:
    facts: dict[str, object] = {"leases": leases}
    dead = [one for one in leases if one.alive is False]
    text = "; ".join(_process(one) for one in leases) or "none"
    if unknown is not None:
        return Check("processes", State.WARNING, f"by their locks alone: {text}", f"Database: {unknown}", facts)
    if dead:
        return Check("processes", State.WARNING, text, _SWEEP, facts)
    return Check("processes", State.OK, text, facts=facts)


def _process(one: KnownLease) -> str:
    word = {True: "alive", False: "DEAD", None: "elsewhere"}[one.alive]
    who = "" if one.machine is None else f" pid {one.pid} on {one.machine.host}"
    beat = "" if one.heartbeat_age is None else f", heartbeat {one.heartbeat_age:.0f} s ago"
    return f"{one.id[:8]}{who} {word}{beat}"


def _calls(leases: Sequence[KnownLease], unknown: str | None) -> Check:
    if unknown is not None:
        return Check("open calls", State.WARNING, f"cannot be told: {unknown}")
    running = sum(one.open_calls for one in leases if one.alive is not False)
    lost = sum(one.open_calls for one in leases if one.alive is False)
    facts: dict[str, object] = {"running": running, "lost": lost}
    if lost:
        text = f"{lost} of processes that are gone, not recorded as lost yet; {running} running"
        return Check("open calls", State.WARNING, text, _SWEEP, facts)
    return Check("open calls", State.OK, f"{running} running", facts=facts)


async def _leftovers(stock: Stock, leases: Sequence[KnownLease]) -> Check:
    """Containers of this home, and those among them whose process is gone."""
    try:
        ours = await stock.containers(leases)
    except SkillyardError as error:
        return Check("leftovers", State.WARNING, str(error))
    dead = [one for one in ours if one.owned is False]
    states: dict[str, int] = {}
    for one in ours:
        states[one.state] = states.get(one.state, 0) + 1
    facts: dict[str, object] = {
        "containers": len(dead),
        "running": len(ours) - len(dead),
        "states": states,
        "all": ours,
    }
    if dead:
        text = f"{len(dead)} containers of processes that are gone"
        return Check("leftovers", State.WARNING, text, _SWEEP, facts)
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return Check("leftovers", State.OK, f"none ({by_state or 'no containers'} in use)", facts=facts)
