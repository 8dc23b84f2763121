"""``audit``: check the hash chains of this home, or an export of one, and write an export."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.audit import VerificationView
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.screen import Json, Screen
from skillyard.database import open_database
from skillyard.governance import audit, people
from skillyard.governance.audit import Head, Verification
from skillyard.governance.identity import Workspace
from skillyard.settings import Settings

app = typer.Typer(add_completion=False, help="Verify or export the audit log.")

Named = Annotated[str | None, typer.Option("--workspace", "-w", help="One workspace, by its name.")]


@app.command()
def verify(
    *,
    workspace: Named = None,
    export: Annotated[Path | None, typer.Option("--export", help="Check an exported file instead.")] = None,
    noted: Annotated[
        list[str] | None,
        typer.Option("--noted", metavar="SEQ:HASH", help="A head that was noted earlier; may be repeated."),
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Check that no record was edited, deleted or reordered.

    Without --workspace: of every workspace of this home. Exit code 1 if a chain does not hold. A head noted elsewhere
    proves also that the chain was not made anew as a whole.
    """
    screen, settings = Screen(json=json), settings_for()
    heads = tuple(_head(text) for text in noted or ())
    if export is not None:
        chains = [(str(export), _verify_file(export, heads))]
    else:
        chains = to_the_end(_verify(settings, workspace, heads))
    sound = all(found.broken is None for _, found in chains)
    document = {
        "ok": sound,
        "chains": [
            {"workspace": name, **VerificationView.model_validate(found).model_dump(mode="json")}
            for name, found in chains
        ],
    }
    screen.answer(document, lambda: _told(chains))
    return ExitCode.DONE if sound else ExitCode.REFUSED


@app.command()
def export(
    *,
    workspace: Named = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file, not the terminal.")] = None,
    json: Json = False,
) -> ExitCode:
    """Write one workspace's records as JSON lines, oldest first, every text exactly as it was hashed.

    `verify --export FILE` checks them again. With --json, and always with --output, the answer says what was written.
    """
    screen, settings = Screen(json=json), settings_for()
    if json and output is None:
        raise UsageProblemError("the export is JSON lines, not one document; give --output as well", field="--json")
    name, count = to_the_end(_export(settings, workspace, output))
    if output is not None:
        document = {"workspace": name, "records": count, "output": output}
        screen.answer(document, lambda: [f"wrote {count} records of workspace {name} to {output}"])
    return ExitCode.DONE


def _head(text: str) -> Head:
    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or len(digest) != 64:
        raise UsageProblemError(f"{text!r} is not SEQ:HASH, as `audit verify` prints it", field="--noted")
    return Head(int(seq), digest)


def _verify_file(path: Path, noted: tuple[Head, ...]) -> Verification:
    try:
        with path.open("rb") as lines:
            return audit.verify_export(lines, noted)
    except OSError as error:
        raise UsageProblemError(f"cannot be read: {error.strerror}", file=str(path), field="--export") from error


async def _verify(settings: Settings, wanted: str | None, noted: tuple[Head, ...]) -> list[tuple[str, Verification]]:
    database = await open_database(settings.database)
    try:
        async with database.reading() as session:
            every = await people.workspaces(session)
            chosen = [_chosen(every, wanted)] if wanted is not None or noted else list(every)
            return [(one.name, await audit.verify(session, one.id, noted)) for one in chosen]
    finally:
        await database.close()


async def _export(settings: Settings, wanted: str | None, output: Path | None) -> tuple[str, int]:
    database = await open_database(settings.database)
    try:
        async with database.reading() as session:
            one = _chosen(await people.workspaces(session), wanted)
            count = 0
            target = sys.stdout.buffer if output is None else await asyncio.to_thread(output.open, "wb")
            try:
                async for line in audit.export(session, one.id):
                    await asyncio.to_thread(target.write, line)
                    count += 1
                target.flush()
            finally:
                if output is not None:
                    target.close()
            return one.name, count
    finally:
        await database.close()


def _chosen(every: tuple[Workspace, ...], wanted: str | None) -> Workspace:
    """The named workspace, or the only one there is."""
    names = ", ".join(one.name for one in every) or "none"
    if wanted is None:
        if len(every) == 1:
            return every[0]
        raise UsageProblemError(f"say which of these: {names}", field="--workspace")
    found = next((one for one in every if one.name == wanted), None)
    if found is None:
        raise UsageProblemError(f"there is no workspace {wanted!r}; there is: {names}", field="--workspace")
    return found


def _told(chains: list[tuple[str, Verification]]) -> Iterator[str]:
    if not chains:
        yield "There is no workspace yet, and so no record."
    for name, found in chains:
        head = f"{found.head.seq}:{found.head.hash}"
        if found.broken is None:
            yield f"{name}: {found.records} records, none edited, deleted or reordered; head {head}"
        else:
            yield f"{name}: BROKEN at record {found.broken.seq} ({found.broken.kind.value}): {found.broken.message}"
            yield f"{name}: {found.records} records before it hold; the last of them is {head}"
