"""Commands of ``agents`` about how far one is trusted: evidence, promoting, demoting, what was done so far."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from skillyard.api.schemas.agents import AgentView, EvidenceView, MaturityChangeView
from skillyard.cli.agent_names import MaturityName, Name, Why, agent_id, agent_named
from skillyard.cli.client import Client, Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.screen import Json, Screen, table
from skillyard.governance.decision import Maturity

app = typer.Typer(add_completion=False)

Target = Annotated[
    MaturityName | None,
    typer.Option("--to", case_sensitive=False, help="Default: one level further in that direction."),
]
Force = Annotated[bool, typer.Option("--force", help="Promote over more than one level at once.")]


@app.command()
def evidence(
    name: Name,
    *,
    days: Annotated[float, typer.Option("--days", min=0.01, max=3650, help="How far back to count.")] = 30.0,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """What the records say of an agent's calls."""
    screen = Screen(json=json)
    with connected(server) as client:
        found = _evidence(client, agent_id(client, name), days)
    screen.answer(found, lambda: _told(found))
    return ExitCode.DONE


@app.command()
def promote(
    name: Name, *, reason: Why, to: Target = None, force: Force = False, server: Server = None, json: Json = False
) -> ExitCode:
    """Trust an agent more, from the next call on; the evidence is shown, and kept with it."""
    return _change(name, to, 1, reason, force=force, server=server, screen=Screen(json=json))


@app.command()
def demote(name: Name, *, reason: Why, to: Target = None, server: Server = None, json: Json = False) -> ExitCode:
    """Trust an agent less, from the next call on; the evidence is shown, and kept with it."""
    return _change(name, to, -1, reason, force=False, server=server, screen=Screen(json=json))


@app.command("set-maturity")
def set_maturity(
    name: Name,
    maturity: Annotated[MaturityName, typer.Argument(case_sensitive=False)],
    *,
    reason: Why,
    force: Force = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Trust an agent exactly so far, from the next call on."""
    screen = Screen(json=json)
    with connected(server) as client:
        changed = _set(client, agent_named(client, name), Maturity[maturity.value], reason, force=force)
    screen.answer(changed, lambda: [f"{changed.name} is {changed.maturity}"])
    return ExitCode.DONE


@app.command()
def history(name: Name, *, server: Server = None, json: Json = False) -> ExitCode:
    """An agent's promotions and demotions, newest first."""
    screen = Screen(json=json)
    with connected(server) as client:
        path = f"/v1/agents/{agent_id(client, name)}/maturity-changes"
        found = list(client.pages(path, MaturityChangeView))
    rows = [(f"{one.at:%Y-%m-%d %H:%M}", one.before, one.after, f"person/{one.by}", one.reason) for one in found]
    screen.answer({"changes": found}, lambda: table(("at", "from", "to", "by", "reason"), rows))
    return ExitCode.DONE


def _change(
    name: str, to: MaturityName | None, step: int, reason: str, *, force: bool, server: str | None, screen: Screen
) -> ExitCode:
    with connected(server) as client:
        agent = agent_named(client, name)
        before = Maturity[agent.maturity]
        after = _next(before, step) if to is None else Maturity[to.value]
        if (after - before) * step <= 0:
            which = "above" if step > 0 else "below"
            raise UsageProblemError(f"{name} is {before.name}; {after.name} is not {which} that", field="--to")
        seen = _evidence(client, agent.id, 30.0)
        changed = _set(client, agent, after, reason, force=force)
    document = {"agent": changed, "from": before.name, "to": after.name, "evidence": seen}
    screen.answer(document, lambda: [*_told(seen), f"{changed.name}: {before.name} -> {changed.maturity}"])
    return ExitCode.DONE


def _next(before: Maturity, step: int) -> Maturity:
    if before + step not in list(Maturity):
        raise UsageProblemError(f"{before.name} is the {'highest' if step > 0 else 'lowest'} maturity")
    return Maturity(before + step)


def _set(client: Client, agent: AgentView, maturity: Maturity, reason: str, *, force: bool) -> AgentView:
    body = {"maturity": maturity.name, "reason": reason, "force": force}
    return parsed(AgentView, client.put(f"/v1/agents/{agent.id}/maturity", body).value)


def _evidence(client: Client, agent: int, days: float) -> EvidenceView:
    return parsed(EvidenceView, client.get(f"/v1/agents/{agent}/evidence", days=f"{days:g}").value)


def _told(found: EvidenceView) -> Iterator[str]:
    yield f"calls      {found.calls} since {found.since:%Y-%m-%d %H:%M}, of {found.skills} skills"
    if found.success is None:
        yield "success    no call ended by itself"
    else:
        rate = found.success
        yield (
            f"success    {rate.rate:.1%} ({rate.part} of {rate.whole}; 95 % interval {rate.low:.1%} to {rate.high:.1%})"
        )
    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    yield f"ended      {states or 'none'}"
    median = found.median_wall_seconds
    yield f"median     {'none measured' if median is None else f'{median:.3f} s'}"
    for kind in ("denied", "held", "refused"):
        hits: dict[str, int] = getattr(found.policy, kind)
        named = ", ".join(f"{count} {code}" for code, count in hits.items())
        yield f"{kind:<10} {named or 'none'}"
    if found.policy.since > found.since:
        yield f"           (older records are archived; these are since {found.policy.since:%Y-%m-%d %H:%M})"
