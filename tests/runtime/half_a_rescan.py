"""A process of a test: it matches one version, says so, and hangs until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from skillyard.governance.advisories.index import index_path
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.advisories.update import update
from skillyard.runtime import rescan
from skillyard.runtime.rescan import Rescanner
from skillyard.runtime.rescan_work import Unmatched
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.snapshots import Snapshot
from skillyard.settings import Settings
from skillyard.times import utcnow


class Half(Rescanner):
    """The real one, which does not come to its second batch."""

    async def _batch(self, snapshot: Snapshot, after: int) -> tuple[Unmatched, ...]:
        if after:
            sys.stdout.write("half done\n")
            sys.stdout.flush()
            await asyncio.sleep(600)
        return await super()._batch(snapshot, after)


async def main() -> None:
    rescan._READ_TOGETHER = 1  # type: ignore[misc]  # batches of one, so that there is a half
    async with await create_runtime(Settings(), first_person=False) as runtime:
        await update(index_path(runtime.settings.home), FileSource(Path(sys.argv[1])), now=utcnow())
        await Half(
            settings=runtime.settings,
            database=runtime.database,
            installer=runtime._installer,
            enforcer=runtime.rescanner._enforcer,
            policy=runtime.policy.scan,
            events=runtime.events,
            lease=runtime.lease,
        ).rescan()


asyncio.run(main())
