"""Looking fifty pinned packages up: our own matching with the index loaded, beside the real pip-audit on the same lock.

``p50`` is the scanner's whole answer for packages that were looked up before, as it is for most skills of a server;
``first_p50`` is with none of the fifty read from the index yet, and ``open_p50`` what opening and verifying the index
takes, once in a process's life. pip-audit runs as installations run it: a process of its own, asking the same index by
the loopback endpoint. Both must find the same advisories, or nothing is measured.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.update import ensure_index
from skillyard.governance.engines.agreement import RULE as DISAGREE
from skillyard.governance.engines.agreement import agreed
from skillyard.governance.engines.environments import install_engine
from skillyard.governance.report import EvidenceState
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.advisories import AdvisoryScanner
from skillyard.governance.scanners.pip_audit import PipAuditScanner
from skillyard.sandbox.index import PackageIndex
from skillyard.settings import Settings
from skillyard.skills.lock import Lock, LockedArtefact, LockedPackage, Target
from skillyard.skills.parse import parse_skill
from skillyard.skills.skill import Ecosystem
from skillyard.times import utcnow

from benchmarks.effort import FULL, Effort
from benchmarks.measure import typical
from benchmarks.results import Result

_PEER = "pip-audit"
_SCANS, _FIRST_SCANS, _PEER_SCANS = 400, 20, 3
_SKILL = Path(__file__).parent.parent / "skills" / "writing-guide"
_PINS = """
aiohttp==3.8.4 attrs==23.1.0 beautifulsoup4==4.12.2 boto3==1.28.0 botocore==1.31.0 certifi==2022.12.7 cffi==1.15.1
charset-normalizer==3.1.0 click==8.1.3 cryptography==39.0.1 django==3.2.18 fastapi==0.95.0 filelock==3.12.0 flask==2.2.2
fsspec==2023.5.0 grpcio==1.53.0 idna==3.4 importlib-metadata==6.6.0 jinja2==3.1.2 jmespath==1.0.1 lxml==4.9.2
markupsafe==2.1.2 multidict==6.0.4 numpy==1.24.3 openpyxl==3.1.2 packaging==23.1 pandas==2.0.1 pillow==9.5.0
platformdirs==3.5.1 protobuf==4.22.3 psutil==5.9.5 pyarrow==12.0.0 pyasn1==0.5.0 pycparser==2.21 pydantic==1.10.7
pygments==2.15.1 pyjwt==2.6.0 pyparsing==3.0.9 python-dateutil==2.8.2 pytz==2023.3 pyyaml==6.0 requests==2.30.0
scipy==1.10.1 setuptools==65.5.0 six==1.16.0 sqlalchemy==2.0.13 starlette==0.26.1 tornado==6.3.1 urllib3==1.26.15
werkzeug==2.2.2
"""


async def measure(effort: Effort = FULL) -> Result:
    settings = Settings()
    engine = await install_engine(settings, _PEER, index=PackageIndex.from_settings(settings).environment)
    target = _target()
    with tempfile.TemporaryDirectory(prefix="skillyard-bench-scan-") as folder:
        path = await ensure_index(Path(folder), now=utcnow())
        warm: list[list[float]] = []
        first: list[list[float]] = []
        opened: list[list[float]] = []
        peer: list[list[float]] = []
        primary = AdvisoryScanner(index=IndexFile(path))
        second = PipAuditScanner(index=IndexFile(path), environment=engine)
        found = await _agreed(primary, second, target)
        for _ in range(effort.rounds):
            warm.append([await _timed(primary, target) for _ in range(effort.of(_SCANS))])
            fresh = [await _opened(path) for _ in range(effort.of(_FIRST_SCANS))]
            opened.append([taken for _, taken in fresh])
            first.append([await _timed(scanner, target) for scanner, _ in fresh])
            peer.append([await _timed(second, target) for _ in range(effort.of(_PEER_SCANS, least=1))])
    return Result(
        name="scan_50",
        unit="ms",
        better="lower",
        ours={
            "p50": typical(warm, 0.5),
            "p99": typical(warm, 0.99),
            "first_p50": typical(first, 0.5),
            "open_p50": typical(opened, 0.5),
            "advisories_found": float(found),
        },
        peers={_PEER: typical(peer, 0.5)},
        floor=None,
        rounds=effort.rounds,
    )


async def _timed(scanner: Scanner, target: ScanTarget) -> float:
    began = time.perf_counter_ns()
    _, evidence = await scanner.scan(target, now=utcnow())
    taken = (time.perf_counter_ns() - began) / 1e6
    if evidence.state is not EvidenceState.RAN:
        raise RuntimeError(f"{evidence.scanner} did not run: {evidence.reason}")
    return taken


async def _agreed(primary: Scanner, second: Scanner, target: ScanTarget) -> int:
    """How many vulnerabilities both find. Raises ``RuntimeError`` where they disagree."""
    answers = agreed([await scanner.scan(target, now=utcnow()) for scanner in (primary, second)])
    found = [finding for findings, _ in answers for finding in findings]
    wrong = [finding.message for finding in found if finding.rule == DISAGREE]
    if wrong or not found:
        raise RuntimeError(f"the engines disagree: {wrong}")
    return len(found)


async def _opened(path: Path) -> tuple[AdvisoryScanner, float]:
    """A scanner that has opened the index and read no package of it; and the milliseconds of that."""
    index = IndexFile(path)
    began = time.perf_counter_ns()
    opened: AdvisoryIndex = await asyncio.to_thread(index.current)
    taken = (time.perf_counter_ns() - began) / 1e6
    opened.status()
    return AdvisoryScanner(index=index), taken


def _target() -> ScanTarget:
    pins = [pin.partition("==") for pin in _PINS.split()]
    packages = tuple(
        LockedPackage(name, version, (LockedArtefact(f"{name}.whl", "0" * 64, None),), (), True)
        for name, _, version in sorted(pins)
    )
    if len(packages) != 50:
        raise RuntimeError(f"there are {len(packages)} packages, not fifty")
    lock = Lock(Ecosystem.PYPI, Target("3.11", "x86_64-manylinux_2_28"), packages)
    return ScanTarget(parse_skill(_SKILL), (lock,), _SKILL)
