"""The real pip-audit over the hashed lock, asking our own advisory index on this machine.

pip-audit leaves the matching to the service that it asks, so what it adds is a second reading of the lock and of the
records, and a second matching of every version (``engines.evaluate``); the data is the same, and the report says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from skillyard.governance.advisories.index import IndexFile, index_path
from skillyard.governance.advisories.versions import UnorderableVersionError, canonical_version
from skillyard.governance.engines.engine_output import EngineOutputError, Pin, Reported
from skillyard.governance.engines.engine_run import (
    RunLimits,
    evidence,
    finding,
    one_version_each,
    python_pins,
    run_engine,
    without_lock,
    work_folder,
)
from skillyard.governance.engines.environments import EngineEnvironment, engine_environment
from skillyard.governance.engines.loopback import Loopback, Serving, serving
from skillyard.governance.engines.names import PIP_AUDIT
from skillyard.governance.engines.pip_audit_output import read_pip_audit
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.report import Evidence, EvidenceState, Finding
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.lock import exact_pin
from skillyard.skills.skill import Ecosystem
from skillyard.subprocesses.tools import ToolError


class PipAuditScanner:
    """Runs pip-audit over every locked Python package; a package that it did not look at makes the run a failure.

    A target without Python packages needs no pip-audit: it is not started, and the evidence says so.
    """

    def __init__(
        self,
        *,
        index: IndexFile,
        environment: EngineEnvironment,
        command: Sequence[str] | None = None,
        serve: Serving = serving,
        limits: RunLimits | None = None,
    ) -> None:
        """``command`` is what pip-audit's arguments are appended to; by default the environment's own pip-audit."""
        self._index = index
        self._environment = environment
        self._command = tuple(command or (str(environment.python), "-I", "-m", "pip_audit"))
        self._serve = serve
        self._limits = limits or RunLimits()
        self._turns = asyncio.Semaphore(self._limits.at_once)

    @property
    def name(self) -> str:
        return PIP_AUDIT

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:  # noqa: ARG002  # what is known does not depend on when one looks
        version = self._environment.version
        if without_lock(target):
            reason = "the skill declares pypi packages, and there is no lock of them to look up"
            return (), evidence(self.name, version, EvidenceState.MISSING, reason=reason)
        pins = python_pins(target)
        if not pins:
            return (), evidence(self.name, version, EvidenceState.RAN, reason="there are no Python packages to look up")
        if not await asyncio.to_thread(Path(self._command[0]).exists):
            reason = f"{self.name} {version} is not installed ({self._command[0]}); run: skillyard engines install"
            return (), evidence(self.name, version, EvidenceState.MISSING, reason=reason)
        try:
            async with self._turns:
                return await self._look_up(pins)
        except AdvisoryIndexMissingError as error:
            return (), evidence(self.name, version, EvidenceState.MISSING, reason=str(error))
        except EngineOutputError as error:
            return (), evidence(self.name, version, EvidenceState.FAILED, reason=str(error), skipped=error.skipped)
        except (AdvisoryIndexError, ToolError, OSError) as error:
            return (), evidence(self.name, version, EvidenceState.FAILED, reason=str(error))

    async def _look_up(self, pins: Sequence[Pin]) -> tuple[tuple[Finding, ...], Evidence]:
        index = await asyncio.to_thread(self._index.current)
        status = index.status()
        date = status.data_date(Ecosystem.PYPI)
        reported: list[Reported] = []
        with self._serve(index) as endpoint:
            for group in one_version_each(pins):
                reported += await self._audit(group, endpoint)
            asked = {(one.name, one.version) for one in endpoint.asked}
        unasked = tuple(str(pin) for pin in pins if (pin.name, _spelt(pin.version)) not in asked)
        if unasked:
            raise EngineOutputError(f"it did not ask about {', '.join(unasked)}", skipped=unasked)
        findings = tuple(finding(index, self.name, one) for one in reported)
        version = f"{self._environment.version}+index.{status.fingerprint}"
        return findings, evidence(
            self.name,
            version,
            EvidenceState.RAN,
            reason="a second engine on the data of the advisory index, not independent evidence",
            data_date=date,
        )

    async def _audit(self, pins: Sequence[Pin], endpoint: Loopback) -> tuple[Reported, ...]:
        async with work_folder() as work:
            lock = work / "lock.txt"
            await asyncio.to_thread(lock.write_text, requirements(pins), encoding="utf-8")
            command = [
                *self._command,
                *("-r", str(lock), "--require-hashes", "--disable-pip", "--strict"),
                *("-s", "osv", "--osv-url", f"{endpoint.url}/v1/query", "--timeout", "10"),
                *("-f", "json", "--aliases", "on", "--desc", "off", "--progress-spinner", "off"),
                *("--cache-dir", str(work / "cache")),
            ]
            ended = await run_engine(command, work, self._limits)
            return read_pip_audit(ended.stdout, ended.exit_code, ended.stderr, pins=pins)


def _spelt(version: str) -> str:
    """As pip-audit asks about it: locks of other tools may say ``1.0-1`` where PEP 440 has ``1.0.post1``."""
    try:
        return canonical_version(Ecosystem.PYPI, version)
    except UnorderableVersionError:
        return version


def requirements(pins: Sequence[Pin]) -> str:
    """The lock as pip's requirements file with hashes ("Hash-checking mode" of pip's documentation)."""
    lines = (
        " \\\n    ".join([exact_pin(pin.name, pin.version), *(f"--hash=sha256:{digest}" for digest in pin.hashes)])
        for pin in pins
    )
    return "".join(f"{line}\n" for line in lines)


def create_scanner(settings: Settings) -> PipAuditScanner:
    """Entry point ``skillyard.scanners: pip-audit``."""
    return PipAuditScanner(
        index=IndexFile(index_path(settings.home)),
        environment=engine_environment(settings, PIP_AUDIT),
        limits=RunLimits(seconds=settings.engine_timeout),
    )
