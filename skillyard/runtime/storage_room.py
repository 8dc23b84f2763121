"""Room for the files that calls leave, in workspaces with a storage quota.

What a call left is known when it ends. Ends with files take turns there, each measured once the one before is on
record, so that they cannot pass the quota together. That holds within a process; of two processes, each can let one
end through at the same moment, and pass the quota by the files of that call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from skillyard.database import Database
from skillyard.governance.quotas import Quota, QuotaExceededError, Quotas
from skillyard.ids import WorkspaceId
from skillyard.runtime import usage
from skillyard.sandbox.outcome import Outcome, OutcomeState


class StorageRoom:
    """Asked at the end of every call; it does nothing where there is no quota, or no file."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._turns: dict[WorkspaceId, asyncio.Lock] = {}

    @asynccontextmanager
    async def kept(self, workspace: WorkspaceId, quotas: Quotas, outcome: Outcome) -> AsyncIterator[Outcome]:
        """The outcome to record inside the block: as it is, or without its files where there is no room for them."""
        limit, left = quotas.of(Quota.STORAGE), bytes_left(outcome)
        if limit is None or not left:
            yield outcome
            return
        async with self._turns.setdefault(workspace, asyncio.Lock()):
            async with self._database.reading() as session:
                used = await usage.storage_in_use(session, workspace)
            if used + left <= limit:
                yield outcome
            else:
                refused = QuotaExceededError(Quota.STORAGE, limit=limit, used=used, wanted=left)
                yield _without_files(outcome, refused)


def bytes_left(outcome: Outcome) -> int:
    """What the files of a call take together."""
    result = outcome.result_file
    return sum(file.size for file in outcome.files) + (0 if result is None else result.size)


def _without_files(outcome: Outcome, refused: QuotaExceededError) -> Outcome:
    facts = {"quota": refused.quota.value, "limit": str(refused.limit), "used": str(refused.used)}
    return replace(
        outcome,
        state=OutcomeState.DISK_FULL,
        reason=f"{refused.code}: {refused}",
        files=(),
        result_file=None,
        refusal={"code": refused.code, **facts},
    )
