"""One run of one engine over the Python packages of a target: what every engine's scanner has in common.

An engine is a program of somebody else's that reads what a stranger asked for, so it gets a folder of its own, an
environment without our secrets and proxies, and limits on time, memory, output and disk; it dies with us.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.advisories.severity import worst
from skillyard.governance.engines.engine_output import Pin, Reported
from skillyard.governance.report import Evidence, EvidenceState, Finding, PackageRef, Severity, Verdict
from skillyard.governance.scanner import ScanTarget
from skillyard.skills.skill import Ecosystem
from skillyard.subprocesses.tools import DiskLimit, Ended, run_tool
from skillyard.threads import taken

RULE: Final = "advisory"
"""The primary's own rule: what both engines find is one finding (``agreement``)."""
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Bounds of one run: seconds, and bytes of address space, of each output stream, and of the work folder.

    ``at_once`` is how many runs of one engine there are at a time; more wait, within the scan's own time limit.
    """

    seconds: float = 60.0
    at_once: int = 2
    memory: int | None = 2048 * _MIB
    output: int = 16 * _MIB
    disk: int = 256 * _MIB


@asynccontextmanager
async def work_folder() -> AsyncIterator[Path]:
    """A temporary folder, gone afterwards, also when cancelled."""
    folder = Path(await taken(partial(tempfile.mkdtemp, prefix="skillyard-engine-"), shutil.rmtree))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


async def run_engine(
    command: Sequence[str], work: Path, limits: RunLimits, *, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run an engine in its folder. Raises ``ToolError``."""
    return await run_tool(
        command,
        environment={**_environment(work), **(environment or {})},
        cwd=work,
        timeout=limits.seconds,
        output_limit=limits.output,
        disk_limit=DiskLimit(work, limits.disk),
        file_limit=limits.disk,
        memory_limit=limits.memory,
    )


def _environment(work: Path) -> dict[str, str]:
    """Nothing of ours: no proxy (the endpoint is on this machine), no home, no keys."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(work),
        "TMPDIR": str(work),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python_pins(target: ScanTarget) -> tuple[Pin, ...]:
    """Every Python package of the closure, build requirements included, as an engine is to see it."""
    return pins_of(target, Ecosystem.PYPI)


def pins_of(target: ScanTarget, ecosystem: Ecosystem) -> tuple[Pin, ...]:
    """Every package of one ecosystem."""
    return tuple(
        Pin(package.name, package.version, tuple(sorted({one.sha256 for one in package.artefacts})), ecosystem)
        for lock in target.locks
        if lock.ecosystem is ecosystem
        for package in lock.all_packages
    )


def without_lock(target: ScanTarget, ecosystem: Ecosystem = Ecosystem.PYPI) -> bool:
    """Whether the skill declares packages that nobody locked, so that there is nothing to look at."""
    declares = any(package.ecosystem is ecosystem for package in target.skill.declared)
    return declares and not any(lock.ecosystem is ecosystem for lock in target.locks)


def one_version_each(pins: Sequence[Pin]) -> tuple[tuple[Pin, ...], ...]:
    """Groups in which no name is there twice: a build may need another version of a package than the skill does, and
    engines read two versions of one package as a mistake. npm takes ``jQuery`` and ``jquery``, two packages, for one.
    """
    groups: list[dict[str, Pin]] = []
    for pin in pins:
        for group in groups:
            if pin.name.casefold() not in group:
                group[pin.name.casefold()] = pin
                break
        else:
            groups.append({pin.name.casefold(): pin})
    return tuple(tuple(group.values()) for group in groups)


def finding(index: AdvisoryIndex, engine: str, reported: Reported) -> Finding:
    """What an engine reported, as a finding with the severity that the index knows (unknown where it knows none)."""
    pin = reported.pin
    identity, *others = reported.ids
    known = index.advisories(pin.ecosystem, pin.name)
    names = set(reported.ids)
    severities = [one.severity for one in known if not names.isdisjoint({one.id, *one.aliases})]
    severity = worst(severities) if severities else Severity.UNKNOWN
    aliases = f" ({', '.join(others)})" if others else ""
    return Finding(
        rule=RULE,
        level=Verdict.BLOCK,
        severity=severity,
        message=f"{pin} is affected by {identity}{aliases}, says {engine}.",
        package=PackageRef(pin.ecosystem, pin.name, pin.version),
        advisory=identity,
        aliases=tuple(others),
    )


def evidence(
    engine: str,
    version: str,
    state: EvidenceState,
    *,
    reason: str | None = None,
    data_date: datetime | None = None,
    skipped: tuple[str, ...] = (),
) -> Evidence:
    return Evidence(engine, version, state, data_date, reason, skipped)
