"""The real ``npm audit`` over a project made from the npm lock, asking our own advisory index on this machine.

npm compares versions itself, by node-semver: a second matching by other people's code, on the same data.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile, index_path
from skillyard.governance.engines.engine_output import EngineOutputError, Pin, Reported
from skillyard.governance.engines.engine_run import (
    RunLimits,
    evidence,
    finding,
    one_version_each,
    pins_of,
    run_engine,
    without_lock,
    work_folder,
)
from skillyard.governance.engines.loopback import Loopback, Serving, serving
from skillyard.governance.engines.names import NPM_AUDIT
from skillyard.governance.engines.npm_audit_output import read_npm_audit
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.report import Evidence, EvidenceState, Finding
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from skillyard.subprocesses.tools import ToolError

_NODE_HEAP_MIB: Final = 1024


class NpmAuditScanner:
    """Runs npm audit over every locked npm package; one that it did not ask about makes the run a failure."""

    def __init__(
        self, *, index: IndexFile, program: Path | None, serve: Serving = serving, limits: RunLimits | None = None
    ) -> None:
        self._index = index
        self._program = program
        self._serve = serve
        # V8 reserves far more address space than it uses, so its heap is what is limited.
        self._limits = replace(limits or RunLimits(), memory=None)
        self._turns = asyncio.Semaphore(self._limits.at_once)

    @property
    def name(self) -> str:
        return NPM_AUDIT

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:  # noqa: ARG002  # what is known does not depend on when one looks
        if without_lock(target, Ecosystem.NPM):
            return self._not(EvidenceState.MISSING, "the skill declares npm packages, and there is no lock of them")
        pins = pins_of(target, Ecosystem.NPM)
        if not pins:
            return self._not(EvidenceState.RAN, "there are no npm packages to look up")
        if self._program is None or not await asyncio.to_thread(self._program.exists):
            return self._not(
                EvidenceState.MISSING, "npm is not installed; install it, or take npm-audit out of `engines`"
            )
        try:
            async with self._turns:
                return await self._look_up(self._program, pins)
        except AdvisoryIndexMissingError as error:
            return self._not(EvidenceState.MISSING, str(error))
        except EngineOutputError as error:
            return self._not(EvidenceState.FAILED, str(error), error.skipped)
        except (AdvisoryIndexError, ToolError, OSError) as error:
            return self._not(EvidenceState.FAILED, str(error))

    def _not(
        self, state: EvidenceState, reason: str, skipped: tuple[str, ...] = ()
    ) -> tuple[tuple[Finding, ...], Evidence]:
        return (), evidence(self.name, "npm", state, reason=reason, skipped=skipped)

    async def _look_up(self, program: Path, pins: Sequence[Pin]) -> tuple[tuple[Finding, ...], Evidence]:
        index = await asyncio.to_thread(self._index.current)
        status = index.status()
        date = status.data_date(Ecosystem.NPM)
        version = await self._version(program)
        reported: list[Reported] = []
        with self._serve(index) as endpoint:
            for group in one_version_each(pins):
                reported += await self._audit(program, group, endpoint)
            asked = {(one.name, one.version) for one in endpoint.asked}
        unasked = tuple(str(pin) for pin in pins if (pin.name, pin.version) not in asked)
        if unasked:
            raise EngineOutputError(f"it did not ask about {', '.join(unasked)}", skipped=unasked)
        findings = tuple(finding(index, self.name, _with_aliases(index, one)) for one in reported)
        return findings, evidence(
            self.name,
            f"npm {version}+index.{status.fingerprint}",
            EvidenceState.RAN,
            reason="a second engine on the data of the advisory index, not independent evidence",
            data_date=date,
        )

    async def _version(self, program: Path) -> str:
        async with work_folder() as work:
            ended = await run_engine([str(program), "--version"], work, self._limits, environment=_environment(work))
        version = ended.stdout.strip()
        if ended.exit_code != 0 or not version or len(version) > 40:
            raise EngineOutputError(f"npm does not say its version (exit code {ended.exit_code})")
        return version

    async def _audit(self, program: Path, pins: Sequence[Pin], endpoint: Loopback) -> tuple[Reported, ...]:
        async with work_folder() as work:
            await asyncio.to_thread(_write_project, work, pins)
            command = [
                *(str(program), "audit", "--package-lock-only", "--json", "--registry", f"{endpoint.url}/"),
                *("--ignore-scripts", "--no-update-notifier", "--fetch-retries", "0"),
            ]
            ended = await run_engine(command, work, self._limits, environment=_environment(work))
            return read_npm_audit(ended.stdout, ended.exit_code, ended.stderr, pins=pins)


def _environment(work: Path) -> dict[str, str]:
    """npm's settings of this machine and its users stay out; nothing is written outside the folder."""
    return {
        "NODE_OPTIONS": f"--max-old-space-size={_NODE_HEAP_MIB}",
        "npm_config_cache": str(work / "cache"),
        "npm_config_userconfig": str(work / "user.npmrc"),
        "npm_config_globalconfig": str(work / "global.npmrc"),
        "npm_config_fund": "false",
    }


def _write_project(work: Path, pins: Sequence[Pin]) -> None:
    """A project that has every locked package at its top: npm needs names and versions, and fetches nothing."""
    wanted = {pin.name: pin.version for pin in pins}
    root = {"name": "locked", "version": "0.0.0", "dependencies": wanted}
    packages = {"": root} | {f"node_modules/{name}": {"version": version} for name, version in wanted.items()}
    lock = {"name": "locked", "version": "0.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    (work / "package.json").write_bytes(orjson.dumps(root))
    (work / "package-lock.json").write_bytes(orjson.dumps(lock))


def _with_aliases(index: AdvisoryIndex, reported: Reported) -> Reported:
    (identity,) = reported.ids
    known = index.advisories(Ecosystem.NPM, reported.pin.name)
    aliases = next((one.aliases for one in known if one.id == identity), None)
    if aliases is None:
        raise EngineOutputError(f"it reported {identity}, which it was not given")
    return Reported(reported.pin, (identity, *aliases))


def npm_program(settings: Settings) -> Path | None:
    """The machine's npm, on the path that tools are given."""
    found = shutil.which("npm", path=settings.tool_environment.get("PATH"))
    return None if found is None else Path(found)


def create_scanner(settings: Settings) -> NpmAuditScanner:
    """Entry point ``skillyard.scanners: npm-audit``."""
    return NpmAuditScanner(
        index=IndexFile(index_path(settings.home)),
        program=npm_program(settings),
        limits=RunLimits(seconds=settings.engine_timeout),
    )
