"""The in-memory twin of an advisory source, for tests alone; it passes the same contract suite as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from skillyard.governance.advisories.source import Fetched, OnProgress, Progress, RecordSet, Unchanged
from skillyard.skills.skill import Ecosystem


class MemorySource:
    """Delivers records that it was given. ``validator`` makes it answer ``Unchanged`` when asked with the same one."""

    def __init__(
        self,
        records: Sequence[bytes],
        *,
        name: str = "memory",
        validator: str | None = None,
        ecosystems: frozenset[Ecosystem] | None = None,
        data_date: datetime | None = None,
    ) -> None:
        self._records = tuple(records)
        self._name = name
        self._validator = validator
        self._ecosystems = ecosystems
        self._data_date = data_date

    @property
    def name(self) -> str:
        return self._name

    async def fetch(self, staging: Path, *, validator: str | None, on_progress: OnProgress) -> Fetched | Unchanged:
        if validator is not None and validator == self._validator:
            return Unchanged()
        path = staging / "records.jsonl"
        written = await asyncio.to_thread(path.write_bytes, b"".join(record + b"\n" for record in self._records))
        on_progress(Progress("fetch", written, written))
        return Fetched((RecordSet(path, self._ecosystems, self._data_date),), self._validator)
