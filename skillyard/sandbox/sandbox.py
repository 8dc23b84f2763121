"""The seam to whatever runs a skill: start from a decision's grant, check, call, stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from skillyard.ids import BundleDigest
from skillyard.sandbox.events import Emitted
from skillyard.sandbox.outcome import Call, Outcome
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import Entry, SkillKind


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything a sandbox is made of. Folders are on the host and are mounted read-only.

    ``labels`` are put on the container under ``skillyard.``: instance, workspace, skill, digest, lease.
    """

    kind: SkillKind
    bundle_digest: BundleDigest
    bundle: Path
    environment: Path | None
    """``None`` for a skill without packages."""
    preload: tuple[str, ...]
    """Modules the zygote imports once, before the first call."""
    labels: Mapping[str, str]


OutputSink = Callable[[Emitted], None]
"""Takes what a call says while it runs, on the event loop and without blocking."""


def discard(_emitted: Emitted) -> None:
    """The null sink."""


class RunningSandbox(Protocol):
    """One started container. Serves one call at a time; calling it twice at once is an error of ours."""

    @property
    def alive(self) -> bool: ...

    async def check(self, entries: tuple[Entry, ...]) -> None:
        """Import what the entries need and see that each exists; raises ``HealthError``."""
        ...

    async def call(self, call: Call, on_output: OutputSink = discard) -> Outcome:
        """Run one call to its end. Cancelling the task kills the call and leaves the sandbox usable or not alive.

        Raises ``NotBegunError`` where it is certain that nothing of the call has run: the caller may go elsewhere.
        """
        ...

    async def stop(self) -> None:
        """Remove the container. Returns when it is gone, the second time as well; gone already is no error."""
        ...


class Sandbox(Protocol):
    """Makes running sandboxes (entry-point group ``skillyard.sandboxes``)."""

    async def start(self, spec: SandboxSpec, granted: Granted) -> RunningSandbox:
        """A started sandbox whose guest said it is ready; raises ``StartError`` or ``EngineUnavailableError``."""
        ...

    async def close(self) -> None:
        """Let go of every connection it holds; what it started must be stopped before. Idempotent."""
        ...
