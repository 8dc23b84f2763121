"""The real safety: with a key its command line on its makers' database, otherwise its matching on ours.

Without a key it is a second engine on the same data and no independent evidence; the evidence says so each time. With
one, its makers' database is fetched during the scan, used, and thrown away: its licence forbids keeping it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson
from pydantic import SecretStr

from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile, index_path
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
from skillyard.governance.engines.environments import SAFETY_DRIVER, EngineEnvironment, engine_environment
from skillyard.governance.engines.names import SAFETY
from skillyard.governance.engines.safety_database import safety_database
from skillyard.governance.engines.safety_output import read_safety, read_safety_report
from skillyard.governance.errors import AdvisoryIndexError, AdvisoryIndexMissingError
from skillyard.governance.report import Evidence, EvidenceState, Finding
from skillyard.governance.scanner import ScanTarget
from skillyard.settings import Settings
from skillyard.skills.skill import Ecosystem
from skillyard.subprocesses.tools import ToolError

_SAME_DATA: Final = "a second engine on the data of the advisory index, not independent evidence"
_OTHER_DATA: Final = "the database of safety's makers, fetched for this scan"
_NOWHERE: Final = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": ""}
"""A proxy that is not there: without a key safety has nobody to ask, and whatever it tried would fail."""


class SafetyScanner:
    """Runs safety over every locked Python package; a package that it did not look at makes the run a failure."""

    def __init__(
        self,
        *,
        index: IndexFile,
        environment: EngineEnvironment,
        command: Sequence[str] | None = None,
        key: SecretStr | None = None,
        network: Mapping[str, str] | None = None,
        limits: RunLimits | None = None,
    ) -> None:
        """``command`` stands for safety's interpreter. ``network`` is the environment in which the command line asks
        its makers' service (proxies, CA bundle); it is used with a ``key`` alone."""
        self._index = index
        self._environment = environment
        self._command = tuple(command or (str(environment.python),))
        self._key = key
        self._network = dict(network or {})
        self._limits = limits or RunLimits()
        self._turns = asyncio.Semaphore(self._limits.at_once)

    @property
    def name(self) -> str:
        return SAFETY

    async def scan(self, target: ScanTarget, *, now: datetime) -> tuple[tuple[Finding, ...], Evidence]:
        version = self._environment.version
        if without_lock(target):
            reason = "the skill declares pypi packages, and there is no lock of them to look up"
            return (), evidence(SAFETY, version, EvidenceState.MISSING, reason=reason)
        pins = python_pins(target)
        if not pins:
            reason = "there are no Python packages to look up"
            return (), evidence(SAFETY, version, EvidenceState.RAN, reason=reason)
        if not await asyncio.to_thread(Path(self._command[0]).exists):
            reason = f"safety {version} is not installed ({self._command[0]}); run: skillyard engines install safety"
            return (), evidence(SAFETY, version, EvidenceState.MISSING, reason=reason)
        try:
            index = await asyncio.to_thread(self._index.current)
            groups = one_version_each(pins)
            async with self._turns:
                if self._key is None:
                    return await self._on_our_data(index, groups)
                return await self._on_their_data(index, groups, self._key, now)
        except AdvisoryIndexMissingError as error:
            return (), evidence(SAFETY, version, EvidenceState.MISSING, reason=str(error))
        except EngineOutputError as error:
            return (), evidence(SAFETY, version, EvidenceState.FAILED, reason=str(error), skipped=error.skipped)
        except (AdvisoryIndexError, ToolError, OSError) as error:
            return (), evidence(SAFETY, version, EvidenceState.FAILED, reason=str(error))

    async def _on_our_data(
        self, index: AdvisoryIndex, groups: Sequence[Sequence[Pin]]
    ) -> tuple[tuple[Finding, ...], Evidence]:
        status = index.status()
        date = status.data_date(Ecosystem.PYPI)
        found = [one for pins in groups for one in await self._drive(index, pins)]
        version = f"{self._environment.version}+index.{status.fingerprint}"
        done = evidence(SAFETY, version, EvidenceState.RAN, reason=_SAME_DATA, data_date=date)
        return tuple(finding(index, SAFETY, one) for one in found), done

    async def _on_their_data(
        self, index: AdvisoryIndex, groups: Sequence[Sequence[Pin]], key: SecretStr, now: datetime
    ) -> tuple[tuple[Finding, ...], Evidence]:
        found = [one for pins in groups for one in await self._check(pins, key)]
        # Of the day on which it was fetched: the service names no other date, and evidence has to grow old somehow.
        done = evidence(SAFETY, self._environment.version, EvidenceState.RAN, reason=_OTHER_DATA, data_date=now)
        return tuple(finding(index, SAFETY, one) for one in found), done

    async def _drive(self, index: AdvisoryIndex, pins: Sequence[Pin]) -> tuple[Reported, ...]:
        async with work_folder() as work:
            request = await asyncio.to_thread(_write_request, work, index, pins)
            command = [*self._command, "-I", str(SAFETY_DRIVER), str(request)]
            ended = await run_engine(command, work, self._limits, environment=_NOWHERE)
            reported = read_safety(
                ended.stdout, ended.exit_code, ended.stderr, pins=pins, version=self._environment.version
            )
            return tuple(_with_aliases(index, one) for one in reported)

    async def _check(self, pins: Sequence[Pin], key: SecretStr) -> tuple[Reported, ...]:
        async with work_folder() as work:
            lock, report = work / "lock.txt", work / "report.json"
            await asyncio.to_thread(lock.write_text, "".join(f"{pin}\n" for pin in pins), encoding="utf-8")
            command = [
                *(*self._command, "-I", "-m", "safety", "check", "-r", str(lock)),
                *("--disable-audit-and-monitor", "--save-json", str(report)),
            ]
            environment = {"NO_PROXY": "", **self._network, "SAFETY_API_KEY": key.get_secret_value()}
            environment |= {"HOME": str(work), "TMPDIR": str(work)}
            ended = await run_engine(command, work, self._limits, environment=environment)
            text = await asyncio.to_thread(_read, report, self._limits.output)
            complaint = ended.stderr.replace(key.get_secret_value(), "…")
            return read_safety_report(text, ended.exit_code, complaint, pins=pins)


def _write_request(work: Path, index: AdvisoryIndex, pins: Sequence[Pin]) -> Path:
    database = safety_database(one for pin in pins for one in index.advisories(Ecosystem.PYPI, pin.name))
    (work / "insecure.json").write_bytes(orjson.dumps(database.insecure))
    (work / "insecure_full.json").write_bytes(orjson.dumps(database.full))
    request = work / "request.json"
    request.write_bytes(orjson.dumps({"database": str(work), "pins": [[pin.name, pin.version] for pin in pins]}))
    return request


def _with_aliases(index: AdvisoryIndex, reported: Reported) -> Reported:
    """safety hands back the id of a record of ours; the record has the aliases."""
    (identity,) = reported.ids
    known = index.advisories(Ecosystem.PYPI, reported.pin.name)
    aliases = next((one.aliases for one in known if one.id == identity), None)
    if aliases is None:
        raise EngineOutputError(f"it reported {identity}, which it was not given")
    return Reported(reported.pin, (identity, *aliases))


def _read(report: Path, most: int) -> str:
    """The report, or nothing where none was written; a huge one is no report."""
    try:
        with report.open("rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        return ""
    if len(data) > most:
        raise EngineOutputError(f"its report is larger than {most} bytes")
    return data.decode(errors="replace")


def create_scanner(settings: Settings) -> SafetyScanner:
    """Entry point ``skillyard.scanners: safety``."""
    return SafetyScanner(
        index=IndexFile(index_path(settings.home)),
        environment=engine_environment(settings, SAFETY),
        key=settings.safety_api_key,
        network=settings.tool_environment,
        limits=RunLimits(seconds=settings.engine_timeout),
    )
