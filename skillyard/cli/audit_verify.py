"""``audit verify``: of the chains of this home, or of a file that was exported or archived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.audit import VerificationView
from skillyard.cli.audit_home import Named, audit_home
from skillyard.cli.configuration import settings_for
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.loop import to_the_end
from skillyard.cli.progress import Watcher
from skillyard.cli.screen import Json, Screen
from skillyard.errors import InputError
from skillyard.governance.audit import Head, Verification
from skillyard.governance.audit.document import opened
from skillyard.governance.audit.document_check import verify_file
from skillyard.governance.audit.keys import KeyFolder, key_id
from skillyard.sandbox.environment import Progress
from skillyard.settings import Settings


@dataclass(frozen=True, slots=True)
class Checked:
    """One chain or file, by its name. ``doubt`` is why no break is not the same as sound."""

    name: str
    found: Verification
    doubt: str | None


def verify(
    *,
    workspace: Named = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "--export", help="Check an exported or archived file instead, compressed or not."),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="KEY", help="A key that counts: its id, its hexadecimal, or a PEM file."),
    ] = None,
    noted: Annotated[
        list[str] | None,
        typer.Option("--noted", metavar="SEQ:HASH", help="A head that was noted earlier; may be repeated."),
    ] = None,
    json: Json = False,
) -> ExitCode:
    """Check that no record was edited, deleted or reordered, and which part of the chain is signed.

    Without --workspace: of every workspace of this home. Exit code 1 if a chain does not hold, 3 if that cannot be
    said: an archive is not here, or nobody vouches for the keys of a file. A head noted elsewhere proves also that the
    chain was not made anew as a whole by somebody who has the key.
    """
    screen, settings = Screen(json=json), settings_for()
    heads = tuple(_head(text) for text in noted or ())
    trusted = frozenset(_key(text) for text in key or ())
    with screen.watch("checking the audit log") as watcher:
        if file is not None:
            checked = [_verify_file(settings, file, heads, trusted, watcher)]
        else:
            checked = to_the_end(_verify(settings, workspace, heads, trusted, watcher))
    screen.answer(_document(checked), lambda: _told(checked))
    if any(one.found.broken is not None for one in checked):
        return ExitCode.REFUSED
    return ExitCode.INDETERMINATE if any(one.doubt is not None for one in checked) else ExitCode.DONE


def _head(text: str) -> Head:
    seq, _, digest = text.partition(":")
    if not seq.isdecimal() or len(digest) != 64:
        raise UsageProblemError(f"{text!r} is not SEQ:HASH, as `audit verify` prints it", field="--noted")
    return Head(int(seq), digest)


def _key(text: str) -> str:
    try:
        return key_id(text)
    except InputError as error:
        raise UsageProblemError(error.message, field="--key") from error


def _verify_file(
    settings: Settings, path: Path, noted: tuple[Head, ...], trusted: frozenset[str], watcher: Watcher
) -> Checked:
    known = trusted | KeyFolder(settings.home / "keys").own()

    def step(records: int) -> None:
        watcher.step(Progress(f"checking {path.name}", records, None))

    try:
        found = verify_file(lambda: opened(path), noted, trusted=known, on_records=step)
    except OSError as error:
        raise UsageProblemError(f"cannot be read: {error.strerror}", file=str(path), field="--file") from error
    anchored = found.signed is not None or (noted and not found.excerpt)
    doubt = None
    if found.broken is None and not anchored:
        keys = ", ".join(found.unvouched)
        doubt = (
            f"it is signed by {keys}, and nobody here says whose key that is: give --key"
            if keys
            else ("it is not signed: give a head that was noted elsewhere with --noted")
        )
    return Checked(str(path), found, doubt)


async def _verify(
    settings: Settings, wanted: str | None, noted: tuple[Head, ...], trusted: frozenset[str], watcher: Watcher
) -> list[Checked]:
    async with audit_home(settings) as home:
        checked = []
        for one in home.some(wanted) if not noted else (home.one(wanted),):

            def step(done: int, total: int, name: str = one.name) -> None:
                watcher.step(Progress(f"checking {name}", done, total))

            found = await home.log.verify(one.id, noted, trusted=trusted, on_progress=step)
            checked.append(Checked(one.name, found, found.indeterminate))
        return checked


def _document(checked: Sequence[Checked]) -> dict[str, object]:
    chains = [
        {
            "workspace": one.name,
            **VerificationView.model_validate(one.found).model_dump(mode="json"),
            "indeterminate": one.doubt,
            "excerpt": one.found.excerpt,
        }
        for one in checked
    ]
    return {"ok": all(one.found.broken is None and one.doubt is None for one in checked), "chains": chains}


def _told(checked: Sequence[Checked]) -> Iterator[str]:
    if not checked:
        yield "There is no workspace yet, and so no record."
    for one in checked:
        name, found = one.name, one.found
        head = f"{found.head.seq}:{found.head.hash}"
        if found.broken is not None:
            yield f"{name}: BROKEN at record {found.broken.seq} ({found.broken.kind.value}): {found.broken.message}"
            yield f"{name}: {found.records} records before it hold; the last of them is {head}"
            continue
        if found.excerpt:
            yield f"{name}: {found.records} records that were picked, each as it was written"
        else:
            yield f"{name}: {found.records} records, none edited, deleted or reordered; head {head}"
        if one.doubt is not None:
            yield f"{name}: INDETERMINATE: {one.doubt}"
        if found.signed is not None:
            yield f"{name}: signed up to record {found.signed.seq} at {found.signed.at} by key {found.signed.key_id}"
            if found.unsigned:
                yield f"{name}: the {found.unsigned} records after that are chained, and not signed yet"
        elif one.doubt is None:
            yield f"{name}: nothing of it is signed"
