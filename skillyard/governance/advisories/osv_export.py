"""OSV's export of one ecosystem: the whole of it once a week, and what changed in between.

Source of the layout: osv.dev, "Data dumps". Beside ``all.zip`` there are every record (``ID.json``) and a list of when
each was last modified (``modified_id.csv``, newest first). Records reach the export some time after they were modified,
and not in that order, so that a day more is asked for than what was seen. A record that left the export altogether is
noticed by the next whole delivery alone; until then it goes on counting, which errs on the safe side.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx

from skillyard.governance.advisories.downloads import Downloads, Session, checked, parsed, shown
from skillyard.governance.advisories.osv import ECOSYSTEMS
from skillyard.governance.advisories.source import Fetched, OnProgress, RecordKind, RecordSet, Unchanged
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

_WHOLE_AGAIN: Final = timedelta(days=7)
_OVERLAP: Final = timedelta(days=1)
_MOST_CHANGES: Final = 2_000
"""More than these are had sooner by fetching the whole."""
_AT_ONCE: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_VALIDATOR: Final = re.compile(r"changes since (\S+), whole of (\S+)")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the index has: changes up to ``newest``, and everything as it was at ``whole``."""

    newest: datetime
    whole: datetime

    def written(self) -> str:
        return f"changes since {self.newest.isoformat()}, whole of {self.whole.isoformat()}"


def exported(url: str) -> Ecosystem | None:
    """The ecosystem whose export an address is, if it is one."""
    folder, _, file = parsed(url).path.rpartition("/")
    return ECOSYSTEMS.get(folder.rpartition("/")[2]) if file == "all.zip" else None


class OsvExportSource:
    """One ecosystem's export at the address of its ``all.zip``."""

    def __init__(self, url: str, ecosystem: Ecosystem, *, downloads: Downloads) -> None:
        self._url = checked(parsed(url), shown(url))
        self._ecosystem = ecosystem
        self._downloads = downloads

    @property
    def name(self) -> str:
        return shown(str(self._url))

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:
        seen = _seen(validator)
        async with self._downloads.session(self._url, self.name, on_progress) as session:
            newest, changes = await self._listed(session, staging, seen)
            if seen is not None and newest is not None and newest >= seen.newest and not _due(seen):
                if newest == seen.newest:
                    return Unchanged()
                if len(changes) <= _MOST_CHANGES and await self._records(session, staging, changes):
                    return self._fetched(staging / "changes", _Seen(min(newest, utcnow()), seen.whole), changes=True)
            answer = await session.get(self._url, staging / "all.zip")
            self._require(answer.status)
            # The export may be older than the list of changes is, by less than what is asked for twice anyway.
            had = _Seen(min(newest, utcnow()), utcnow()) if newest is not None else None
            return self._fetched(staging / "all.zip", had, changes=False)

    def _fetched(self, path: Path, seen: _Seen | None, *, changes: bool) -> Fetched:
        date = seen.newest if seen is not None and changes else None
        records = RecordSet(path, frozenset({self._ecosystem}), date, RecordKind.ADVISORIES, changes)
        return Fetched((records,), seen.written() if seen is not None else None)

    async def _listed(self, session: Session, staging: Path, seen: _Seen | None) -> tuple[datetime | None, list[str]]:
        """When anything was last modified, ``None`` where nobody says, and the ids of what has to be had."""
        answer = await session.get(self._url.join("modified_id.csv"), staging / "modified_id.csv")
        if answer.status in (httpx.codes.NOT_FOUND, httpx.codes.FORBIDDEN):
            return None, []
        self._require(answer.status)
        return await asyncio.to_thread(self._read, staging / "modified_id.csv", seen)

    def _read(self, path: Path, seen: _Seen | None) -> tuple[datetime | None, list[str]]:
        newest, changes = None, []
        with path.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                modified, identity = self._change(line, number)
                newest = modified if newest is None else max(newest, modified)
                if seen is not None and modified > seen.newest - _OVERLAP:
                    changes.append(identity)
        return newest, changes

    def _change(self, line: str, number: int) -> tuple[datetime, str]:
        modified, _, identity = line.strip().partition(",")
        try:
            moment = datetime.fromisoformat(modified).astimezone(UTC)
        except ValueError:
            moment = None
        if moment is None or not _ID.fullmatch(identity):
            raise AdvisorySourceError("has a list of changes that cannot be read", source=self.name, line=number)
        return moment, identity

    async def _records(self, session: Session, staging: Path, changes: Iterable[str]) -> bool:
        """Fetch the records that changed; false where one that is listed is not there, and so the list is not true."""
        folder = staging / "changes"
        await asyncio.to_thread(folder.mkdir)
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(identity: str) -> int:
            async with turns:
                # As a path of its own, or a colon would make a scheme of what stands before it.
                return (await session.get(self._url.join(f"./{identity}.json"), folder / f"{identity}.json")).status

        try:
            async with asyncio.TaskGroup() as group:
                answers = [group.create_task(one(change)) for change in changes]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        statuses = {task.result() for task in answers}
        for status in statuses - {httpx.codes.NOT_FOUND}:
            self._require(status)
        return httpx.codes.NOT_FOUND not in statuses

    def _require(self, status: int) -> None:
        if status != httpx.codes.OK:
            raise AdvisorySourceError(f"answered with status {status}", source=self.name)


def _due(seen: _Seen) -> bool:
    return not timedelta() <= utcnow() - seen.whole < _WHOLE_AGAIN


def _seen(validator: str | None) -> _Seen | None:
    found = _VALIDATOR.fullmatch(validator or "")
    return _Seen(datetime.fromisoformat(found[1]), datetime.fromisoformat(found[2])) if found else None
