"""The processes of a sandbox as the host sees them, for tests that stop or kill one of them from outside."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from skillyard.sandbox.engine import Engine


@dataclass(frozen=True, slots=True)
class GuestProcesses:
    """Pids on the host."""

    relay: int
    zygote: int

    def kill_zygote(self) -> None:
        """Return when it has ended. While the relay is stopped nobody collects it."""
        os.kill(self.zygote, signal.SIGKILL)
        give_up = time.monotonic() + 20
        while Path(f"/proc/{self.zygote}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < give_up, "the zygote lives on"
            time.sleep(0.005)


async def guest_processes(engine: Engine, container: str) -> GuestProcesses:
    """The container's first process, and the first that this started."""
    found = await engine.inspect(container)
    assert found is not None
    relay = int(found["State"]["Pid"])
    children = Path(f"/proc/{relay}/task/{relay}/children").read_text().split()
    return GuestProcesses(relay, min(map(int, children)))
