"""How long the engine takes for each step of a start, seen from outside: its methods, wrapped for a while."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from skillyard.sandbox.engine import Engine
from skillyard.sandbox.running import DockerRunningSandbox


@dataclass(slots=True)
class Steps:
    """Milliseconds of each step, and what containers were created from."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    created: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)
    """The fields of each create request, and its host configuration."""


_STEPS = ((Engine, "create"), (Engine, "attach"), (Engine, "start"), (DockerRunningSandbox, "greet"))


@contextmanager
def observed() -> Iterator[Steps]:
    """Watch every engine of this process for as long as the block lasts."""
    steps = Steps()
    originals = [(owner, name, getattr(owner, name)) for owner, name in _STEPS]
    for owner, name, original in originals:
        setattr(owner, name, _timed(steps, name, original))
    try:
        yield steps
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _timed(steps: Steps, name: str, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter_ns()
        try:
            return await original(*arguments, **options)
        finally:
            steps.taken.setdefault(name, []).append((time.perf_counter_ns() - began) / 1e6)
            if name == "create":
                steps.created.append((arguments[1], arguments[2]))

    return timed
