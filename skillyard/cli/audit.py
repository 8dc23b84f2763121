"""``audit``: list, export and check the records of this home, without a server."""

from __future__ import annotations

import asyncio
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import orjson
import typer

from skillyard.api.audit_answers import record_view
from skillyard.api.schemas.audit import RecordsView, RecordView
from skillyard.cli import audit_upkeep
from skillyard.cli.audit_home import (
    AuditHome,
    Named,
    OfAction,
    OfActor,
    OfAgent,
    OfCall,
    OfSubject,
    Since,
    Until,
    audit_home,
    wanted_records,
)
from skillyard.cli.audit_verify import verify
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen, plain
from skillyard.governance.audit import Entry
from skillyard.governance.audit.listing import Filter, Page
from skillyard.governance.identity import Workspace
from skillyard.settings import Settings

app = typer.Typer(add_completion=False, help="List, verify, export, sign or archive the audit log.")
app.command()(verify)

_FOLLOW_SECONDS = 1.0
_PAGE = 500
_RECORD = b'{"workspace_id":'
"""How the line of a record begins, and no other."""


@app.command("list")
def list_records(
    *,
    workspace: Named = None,
    since: Since = None,
    until: Until = None,
    actor: OfActor = None,
    action: OfAction = None,
    subject: OfSubject = None,
    agent: OfAgent = None,
    invocation: OfCall = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_PAGE, help="Most records.")] = 50,
    cursor: Annotated[
        int | None, typer.Option("--cursor", min=0, help="Go on behind this place, as the list before said.")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest-first", help="Begin at the beginning.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is recorded from now on.")] = False,
    json: Json = False,
) -> ExitCode:
    """Records in the database, the newest first. What was archived is in the archives' files, and not listed.

    With --follow the last ones in the order of time and then each new one, with --json one document a line.
    """
    screen, settings = Screen(json=json), settings_for()
    wanted = wanted_records(
        since=since, until=until, actor=actor, action=action, subject=subject, agent=agent, invocation=invocation
    )
    if follow and (oldest or cursor is not None):
        raise UsageProblemError("goes on from the newest; leave --cursor and --oldest-first out", field="--follow")
    if follow:
        to_the_end(_follow(settings, workspace, wanted, limit, screen))
        return ExitCode.DONE
    page = to_the_end(_list(settings, workspace, wanted, limit, cursor, oldest=oldest))
    items = tuple(record_view(entry) for entry in page.entries)
    following = None if page.next is None else str(page.next)
    document = RecordsView(items=items, next_cursor=following, archived_through=page.archived_through)
    screen.answer(document, lambda: [_line(one) for one in items])
    if following is not None:
        screen.note(f"There may be more: --cursor {following}")
    return ExitCode.DONE


@app.command()
def export(
    *,
    workspace: Named = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file, not the terminal.")] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress; also where the file's name ends in .gz.")] = False,
    since: Since = None,
    until: Until = None,
    actor: OfActor = None,
    action: OfAction = None,
    subject: OfSubject = None,
    agent: OfAgent = None,
    invocation: OfCall = None,
    json: Json = False,
) -> ExitCode:
    """Write one workspace's records as a signed file of JSON lines, oldest first, every text as it was hashed.

    Whole, archives included, or what the options pick. `verify --file FILE` checks it, here or anywhere else. With
    --json, and always with --output, the answer says what was written.
    """
    screen, settings = Screen(json=json), settings_for()
    if json and output is None:
        raise UsageProblemError("the export is JSON lines, not one document; give --output as well", field="--json")
    wanted = wanted_records(
        since=since, until=until, actor=actor, action=action, subject=subject, agent=agent, invocation=invocation
    )
    compress = gzip or (output is not None and output.suffix == ".gz")
    name, count = to_the_end(_export(settings, workspace, output, wanted, compress=compress))
    if output is not None:
        document = {"workspace": name, "records": count, "output": output}
        screen.answer(document, lambda: [f"wrote {count} records of workspace {name} to {output}"])
    return ExitCode.DONE


async def _list(
    settings: Settings, workspace: str | None, wanted: Filter, limit: int, cursor: int | None, *, oldest: bool
) -> Page:
    """A page that is full, or the last: the log is asked on where it looked at many records and found few."""
    async with audit_home(settings) as home:
        one = home.one(workspace)
        entries: tuple[Entry, ...] = ()
        place = cursor
        while True:
            page = await home.log.records(
                one.id, wanted, limit=limit - len(entries), cursor=place, newest_first=not oldest
            )
            entries, place = (*entries, *page.entries), page.next
            if place is None or len(entries) >= limit:
                return Page(entries, place, page.reached, page.archived_through)


async def _follow(settings: Settings, workspace: str | None, wanted: Filter, limit: int, screen: Screen) -> None:
    """Ends when somebody ends it."""
    async with audit_home(settings) as home:
        one = home.one(workspace)
        reached = await _head(home, one)
        last = await _list(settings, workspace, wanted, limit, reached + 1, oldest=False)
        _tell(screen, [record_view(entry) for entry in reversed(last.entries)])
        while True:
            page = await home.log.records(one.id, wanted, limit=_PAGE, cursor=reached, newest_first=False)
            _tell(screen, [record_view(entry) for entry in page.entries])
            reached = max(reached, page.reached)
            if page.next is None:
                await asyncio.sleep(_FOLLOW_SECONDS)


async def _head(home: AuditHome, workspace: Workspace) -> int:
    newest = await home.log.records(workspace.id, Filter(), limit=1, cursor=None, newest_first=True)
    return newest.entries[0].seq if newest.entries else newest.archived_through


def _tell(screen: Screen, records: list[RecordView]) -> None:
    for record in records:
        screen.answer(record, partial(_lines, record))


async def _export(
    settings: Settings, wanted: str | None, output: Path | None, picked: Filter, *, compress: bool
) -> tuple[str, int]:
    async with audit_home(settings) as home:
        one = home.one(wanted)
        content = await home.log.export(one.id, picked)
        count = 0
        target: IO[bytes] = sys.stdout.buffer if output is None else await asyncio.to_thread(output.open, "wb")
        deflate = zlib.compressobj(6, zlib.DEFLATED, 31) if compress else None
        try:
            async for chunk in content:
                count += chunk.startswith(_RECORD) + chunk.count(b"\n" + _RECORD)
                await asyncio.to_thread(target.write, chunk if deflate is None else deflate.compress(chunk))
            if deflate is not None:
                target.write(deflate.flush())
            target.flush()
        finally:
            if output is not None:
                target.close()
        return one.name, count


def _lines(record: RecordView) -> list[str]:
    return [_line(record)]


def _line(record: RecordView) -> str:
    payload = orjson.dumps(record.payload).decode()
    return plain(f"{record.seq}  {record.at}  {record.actor}  {record.action}  {record.subject}  {payload}")


app.command("sign")(audit_upkeep.sign)
app.command("keys")(audit_upkeep.keys)
app.command("rotate-key")(audit_upkeep.rotate_key)
app.command("archive")(audit_upkeep.archive)
app.command("archives")(audit_upkeep.archives)
