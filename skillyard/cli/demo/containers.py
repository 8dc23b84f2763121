"""The demo's own look at the engine: what the server's containers are like, and whether any is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skillyard.cli.loop import to_the_end
from skillyard.runtime.instance import home_id
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.hostconfig import LABEL_PREFIX


class Containers:
    """Containers that carry the label of one home."""

    def __init__(self, *, address: str | None, home: Path) -> None:
        self._address = address
        self._labels = {f"{LABEL_PREFIX}instance": home_id(home)}

    def count(self) -> int:
        return len(self.host_configs())

    def host_configs(self) -> tuple[Mapping[str, Any], ...]:
        """The engine's ``HostConfig`` of each."""
        return to_the_end(self._host_configs())

    async def _host_configs(self) -> tuple[Mapping[str, Any], ...]:
        engine = Engine(address=self._address)
        try:
            found = [await engine.inspect(one.id) for one in await engine.containers(self._labels)]
            return tuple(one["HostConfig"] for one in found if one is not None)
        finally:
            await engine.close()
