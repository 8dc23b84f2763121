"""``audit sign``, ``keys``, ``rotate-key``, ``archive`` and ``archives``: what keeps a log sound over the years."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from skillyard.api.schemas.audit import KeyView, SegmentView
from skillyard.cli.audit_home import Named, audit_home, moment
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.progress import Watcher
from skillyard.cli.screen import Json, Screen, size, table
from skillyard.governance.audit.signed import Checkpoint, RegisteredKey, Segment
from skillyard.governance.signing import PublicKey, pem
from skillyard.runtime.audit_signing import Rotated
from skillyard.sandbox.environment import Progress
from skillyard.settings import Settings
from skillyard.times import utcnow


def sign(*, workspace: Named = None, json: Json = False) -> ExitCode:
    """Sign where the chains end now. Note what this prints somewhere else.

    Whoever has this home's key can make everything anew but what you noted.
    """
    screen, settings = Screen(json=json), settings_for()
    signed, key = to_the_end(_sign(settings, workspace))
    heads = [
        {
            "workspace": name,
            "seq": one.seq,
            "hash": one.hash,
            "at": one.at,
            "key_id": one.key_id,
            "signature": one.signature,
            "public_key": key.hex,
            "pem": pem(key),
        }
        for name, one in signed
    ]
    screen.answer({"heads": heads}, lambda: (f"{name}: {one.seq}:{one.hash} at {one.at}" for name, one in signed))
    return ExitCode.DONE


def keys(*, json: Json = False) -> ExitCode:
    """The public keys that heads were signed with, and which one is this home's."""
    screen, settings = Screen(json=json), settings_for()
    found, own = to_the_end(_keys(settings))
    document = {"own": own, "keys": [KeyView.model_validate(one) for one in found]}
    screen.answer(document, lambda: _told_keys(found, own))
    return ExitCode.DONE


def rotate_key(*, json: Json = False) -> ExitCode:
    """Sign with a new key from now on. Both keys sign that it takes over; the old private key is deleted.

    A running server over this home goes on with the new key by itself.
    """
    screen, settings = Screen(json=json), settings_for()
    done = to_the_end(_rotate(settings))
    document = {"previous": done.previous, "current": done.current, "at": done.at}
    screen.answer(document, lambda: [f"key {done.current} took over from {done.previous} at {done.at}"])
    return ExitCode.DONE


def archive(
    *,
    before: Annotated[datetime, typer.Option("--before", help="Up to the first record that is not older than this.")],
    workspace: Named = None,
    json: Json = False,
) -> ExitCode:
    """Move old records from the database into signed, compressed files.

    Each file is read back and checked before its records are deleted. Without --workspace: of every workspace.
    """
    limit = moment(before)
    if limit is None or limit > utcnow():
        raise UsageProblemError("lies in the future", field="--before")
    screen, settings = Screen(json=json), settings_for()
    with screen.watch("archiving audit records") as watcher:
        done = to_the_end(_archive(settings, workspace, limit, watcher))
    document = {"archived": [{"workspace": name, **_segment(one)} for name, one in done]}
    screen.answer(document, lambda: _told_segments(done) if done else ["No record is that old."])
    return ExitCode.DONE


def archives(*, workspace: Named = None, json: Json = False) -> ExitCode:
    """The archives that were made, the oldest first."""
    screen, settings = Screen(json=json), settings_for()
    found = to_the_end(_archives(settings, workspace))
    document = {"archives": [{"workspace": name, **_segment(one)} for name, one in found]}
    screen.answer(document, lambda: _told_segments(found))
    return ExitCode.DONE


async def _sign(settings: Settings, wanted: str | None) -> tuple[list[tuple[str, Checkpoint]], PublicKey]:
    async with audit_home(settings) as home:
        signed = [(one.name, await home.log.signer.sign(one.id)) for one in home.some(wanted)]
        return signed, (await home.log.signer.key()).public


async def _keys(settings: Settings) -> tuple[tuple[RegisteredKey, ...], str | None]:
    async with audit_home(settings) as home:
        own = await home.log.signer.known_key()
        return await home.log.keys(), own.id if own is not None else None


async def _rotate(settings: Settings) -> Rotated:
    async with audit_home(settings) as home:
        return await home.log.signer.rotate()


async def _archive(
    settings: Settings, wanted: str | None, before: datetime, watcher: Watcher
) -> list[tuple[str, Segment]]:
    async with audit_home(settings) as home:
        done: list[tuple[str, Segment]] = []
        for one in home.some(wanted):

            def step(records: int, total: int, name: str = one.name) -> None:
                watcher.step(Progress(f"archiving {name}", records, total))

            found = await home.log.archiver.archive(one, before=before, on_progress=step)
            done += [(one.name, segment) for segment in found]
        return done


async def _archives(settings: Settings, wanted: str | None) -> list[tuple[str, Segment]]:
    async with audit_home(settings) as home:
        return [(one.name, segment) for one in home.some(wanted) for segment in await home.log.segments(one.id)]


def _segment(segment: Segment) -> dict[str, object]:
    return SegmentView.model_validate(segment).model_dump(mode="json")


def _told_keys(found: tuple[RegisteredKey, ...], own: str | None) -> Iterator[str]:
    rows = [
        (one.id, one.added_at, one.retired_at or "", "this home's" if one.id == own else "", one.public_key)
        for one in found
    ]
    yield from table(("key", "since", "retired", "", "public key"), rows)


def _told_segments(found: list[tuple[str, Segment]]) -> Iterator[str]:
    rows = [
        (name, f"{one.first_seq}-{one.last_seq}", size(one.file_bytes), one.archived_at, one.file)
        for name, one in found
    ]
    yield from table(("workspace", "records", "size", "archived", "file"), rows)
