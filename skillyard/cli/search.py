"""``search`` and ``show``: what a marketplace has, the server's own or the mirror of one that it follows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from skillyard.api.schemas.marketplace_search import ListingView, MirrorView, SearchView, SkillDetailView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import ExitCode
from skillyard.cli.screen import Json, Screen, table
from skillyard.marketplace_sync.search.query import Sort

app = typer.Typer(add_completion=False)

Remote = Annotated[
    str | None, typer.Option("--remote", help="The mirror of this remote; without it, the server's own catalogue.")
]


@app.command()
def search(
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Words to look for; without any, everything.")] = "",
    *,
    category: Annotated[str | None, typer.Option("--category", help="Only of this category.")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="Only of this topic.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only of this kind.")] = None,
    ecosystem: Annotated[str | None, typer.Option("--ecosystem", help="Only with packages of it.")] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help="Only of this verdict: PASS or FLAG.")] = None,
    publisher: Annotated[str | None, typer.Option("--publisher", help="Only of this publisher.")] = None,
    stars: Annotated[int | None, typer.Option("--stars", min=1, max=5, help="The least average rating.")] = None,
    sort: Annotated[Sort, typer.Option("--sort", help="What comes first.")] = Sort.RELEVANCE,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="Most skills on a page.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Go on behind a page.")] = None,
    remote: Remote = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Search a marketplace: exact names first, then names that begin so, then by relevance."""
    screen = Screen(json=json)
    asked: dict[str, str | int | None] = {
        "q": text,
        "category": category,
        "topic": topic,
        "kind": kind,
        "ecosystem": ecosystem,
        "verdict": verdict,
        "publisher": publisher,
        "stars": stars,
        "sort": sort.value,
        "limit": limit,
        "cursor": cursor,
        "remote": remote,
    }
    with connected(server) as client:
        found = parsed(SearchView, client.get("/v1/marketplace/skills", **asked).value)
    screen.answer(found, lambda: _lines(found))
    return ExitCode.DONE


@app.command()
def show(
    skill: Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name.")],
    *,
    remote: Remote = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Show everything that a marketplace says of one skill, also of one that search hides, with the reason."""
    screen = Screen(json=json)
    publisher, _, name = skill.partition("/")
    with connected(server) as client:
        path = f"/v1/marketplace/skills/{quoted(publisher)}/{quoted(name)}"
        found = parsed(SkillDetailView, client.get(path, remote=remote).value)
    screen.answer(found, lambda: _facts(found))
    return ExitCode.DONE


def _lines(found: SearchView) -> list[str]:
    rows = [
        (one.skill, one.version or "", _rating(one), str(one.installs), one.verdict or "", _described(one))
        for one in found.items
    ]
    lines = table(("skill", "version", "rating", "installs", "verdict", "description"), rows)
    if found.similar:
        lines.append("among them names that only resemble what you typed")
    shown = f"{len(found.items)} of {found.total}"
    lines.append(shown if found.next_cursor is None else f"{shown}; go on with --cursor {found.next_cursor}")
    return lines + _fresh(found.mirror)


def _facts(found: SkillDetailView) -> list[str]:
    lines = [f"{found.skill}: {found.description}"]
    if found.moderation.state != "visible":
        lines.append(f"{found.moderation.state}: {found.moderation.reason}")
    if found.deprecated is not None:
        successor = f"; use {found.deprecated.successor}" if found.deprecated.successor else ""
        lines.append(f"deprecated: {found.deprecated.reason}{successor}")
    lines += [f"{name}: {version}" for name, version in sorted(found.channels.items())]
    if found.listing is not None:
        lines.append(f"rating: {_rating(found.listing)}, installs: {found.listing.installs}")
    if found.latest is not None:
        lines.append(f"{found.latest.verdict}, {found.latest.files} files, {found.latest.bundle}")
    return lines + _fresh(found.mirror)


def _rating(one: ListingView) -> str:
    return "none" if one.rating is None else f"{one.rating:.1f} ({one.ratings})"


def _described(one: ListingView) -> str:
    text = " ".join(one.description.split())
    short = text if len(text) <= 60 else f"{text[:59]}…"
    return f"deprecated: {short}" if one.deprecated else short


def _fresh(mirror: MirrorView | None) -> list[str]:
    if mirror is None:
        return []
    as_of = "never synced" if mirror.as_of is None else f"as of {_moment(mirror.as_of)}"
    trouble = f"; the last run failed: {mirror.error}" if mirror.error else ""
    return [f"the mirror of {mirror.remote}, {mirror.state}, {as_of}{trouble}"]


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
