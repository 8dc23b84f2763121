"""The real safety, on our index and, with a key, by its command line; whatever goes wrong is INDETERMINATE."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import SecretStr
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import IndexFile
from skillyard.governance.engines.engine_run import RunLimits
from skillyard.governance.engines.environments import EngineEnvironment
from skillyard.governance.report import EvidenceState, Finding, Report, Severity, Verdict
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.advisories import AdvisoryScanner
from skillyard.governance.scanners.safety import SafetyScanner
from tests.governance.engines.conftest import NOW, MakeTarget

Installed = Callable[[str], EngineEnvironment]
Program = Callable[[str], Sequence[str]]
VULNERABLE = {"jinja2": "2.10", "requests": "2.19.1", "werkzeug": "99.0"}
CLEAN = {"jinja2": "3.1.6"}
GOOD = '{"version": "3.8.1", "checked": [["jinja2", "3.1.6"]], "vulnerabilities": []}'


async def report_of(scanner: Scanner, target: ScanTarget, index: IndexFile) -> Report:
    scanners = (AdvisoryScanner(index=index), scanner)
    return await scan(target, scanners, policy=ScanPolicy(max_age=None), now=NOW)


def evidence_of(report: Report) -> tuple[EvidenceState, str]:
    (one,) = [each for each in report.evidence if each.scanner == "safety"]
    return one.state, one.reason or ""


async def test_without_a_key_it_runs_on_our_data_and_says_that_this_is_no_independent_evidence(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = SafetyScanner(index=index, environment=installed("safety"))
    assert list(mismatches(scanner, Scanner)) == []
    report = await report_of(scanner, target(VULNERABLE), index)
    ids = ["PYSEC-2018-28", "PYSEC-2019-217", "PYSEC-2021-66", "PYSEC-2023-74"]
    assert sorted(str(one.advisory) for one in report.findings) == ids
    assert {one.rule for one in report.findings} == {"advisory"}
    assert evidence_of(report) == (
        EvidenceState.RAN,
        "a second engine on the data of the advisory index, not independent evidence",
    )


async def test_without_packages_nothing_is_started_and_without_a_lock_it_is_missing(
    index: IndexFile, target: MakeTarget, tmp_path: Path
) -> None:
    scanner = SafetyScanner(index=index, environment=nowhere(tmp_path))
    assert evidence_of(await report_of(scanner, target(), index))[0] is EvidenceState.RAN
    assert evidence_of(await report_of(scanner, target(CLEAN, locked=False), index))[0] is EvidenceState.MISSING


async def test_an_engine_that_is_not_installed_is_missing_evidence(
    index: IndexFile, target: MakeTarget, tmp_path: Path
) -> None:
    report = await report_of(SafetyScanner(index=index, environment=nowhere(tmp_path)), target(CLEAN), index)
    state, reason = evidence_of(report)
    assert (report.verdict, state) == (Verdict.INDETERMINATE, EvidenceState.MISSING)
    assert "skillyard engines install safety" in reason


OUTPUTS = {
    "empty": "",
    "truncated": GOOD[:40],
    "no JSON": "Welcome to Safety! Please log in.",
    "an array": "[]",
    "nothing checked": GOOD.replace('[["jinja2", "3.1.6"]]', "[]"),
    "another package": GOOD.replace("jinja2", "flask"),
    "another version of safety": GOOD.replace("3.8.1", "3.9.0"),
    "no vulnerabilities": GOOD.replace("vulnerabilities", "findings"),
    "a vulnerability of another shape": GOOD.replace('"vulnerabilities": []', '"vulnerabilities": [["jinja2"]]'),
    "an advisory it was not given": GOOD.replace(
        '"vulnerabilities": []', '"vulnerabilities": [["jinja2", "3.1.6", "PYSEC-0"]]'
    ),
}


@pytest.mark.parametrize("exit_code", [0, 1, 2, 137])
@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
async def test_output_that_is_not_safetys_is_indeterminate_whatever_the_exit_code(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path, output: str, exit_code: int
) -> None:
    command = program(f"import sys; sys.stdout.write({output!r}); sys.exit({exit_code})")
    scanner = SafetyScanner(index=index, environment=nowhere(tmp_path), command=command)
    report = await report_of(scanner, target(CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


@pytest.mark.parametrize("exit_code", [1, 2, 64, 137])
async def test_a_clean_answer_with_an_exit_code_that_does_not_fit_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path, exit_code: int
) -> None:
    command = program(f"import sys; sys.stdout.write({GOOD!r}); sys.exit({exit_code})")
    report = await report_of(
        SafetyScanner(index=index, environment=nowhere(tmp_path), command=command), target(CLEAN), index
    )
    assert evidence_of(report) == (EvidenceState.FAILED, f"it ended with exit code {exit_code}")


async def test_an_engine_that_hangs_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    command, limits = program("import time; time.sleep(1000)"), RunLimits(seconds=2)
    scanner = SafetyScanner(index=index, environment=nowhere(tmp_path), command=command, limits=limits)
    report = await report_of(scanner, target(CLEAN), index)
    assert report.verdict is Verdict.INDETERMINATE
    assert "did not end within 2 s" in evidence_of(report)[1]


async def test_an_index_that_is_missing_is_indeterminate(
    installed: Installed, target: MakeTarget, tmp_path: Path
) -> None:
    gone = IndexFile(tmp_path / "none.db")
    report = await report_of(SafetyScanner(index=gone, environment=installed("safety")), target(CLEAN), gone)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.MISSING)


async def test_with_a_key_its_own_command_line_runs_on_its_makers_data(
    index: IndexFile, installed: Installed, target: MakeTarget, service: Service
) -> None:
    service.knows("jinja2", "<3", "70612", "CVE-2099-1")
    scanner = SafetyScanner(
        index=index, environment=installed("safety"), key=SecretStr("the-key"), network=service.network
    )
    report = await report_of(scanner, target({"jinja2": "2.10"}), index)
    assert evidence_of(report) == (EvidenceState.RAN, "the database of safety's makers, fetched for this scan")
    assert [one.data_date for one in report.evidence if one.scanner == "safety"] == [NOW]
    assert service.keys == {"the-key"}
    (theirs,) = [one for one in report.findings if one.rule == "engines_disagree" and one.advisory]
    assert (theirs.advisory, theirs.aliases) == ("CVE-2099-1", ("SAFETY-70612",))
    assert (theirs.level, theirs.severity) == (Verdict.BLOCK, Severity.UNKNOWN)
    assert sorted(_unseen(report.findings)) == ["PYSEC-2019-217", "PYSEC-2021-66"]


async def test_a_service_that_cannot_be_reached_is_indeterminate_and_the_key_is_not_told(
    index: IndexFile, installed: Installed, target: MakeTarget, service: Service
) -> None:
    service.status = 500
    scanner = SafetyScanner(
        index=index, environment=installed("safety"), key=SecretStr("the-key"), network=service.network
    )
    report = await report_of(scanner, target(CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)
    assert "the-key" not in str(report)


def _unseen(findings: Sequence[Finding]) -> Iterator[str]:
    for one in findings:
        if one.rule == "engines_disagree" and one.advisory is None:
            yield one.message.partition("affected by ")[2].partition(";")[0]


def nowhere(folder: Path) -> EngineEnvironment:
    return EngineEnvironment("safety", "3.8.1", folder / "no-such-environment")


class Service:
    """Stands where safety's makers' service is: a real server that serves a database of ours in their format."""

    def __init__(self) -> None:
        self.keys: set[str | None] = set()
        self.status = 200
        self.url = ""
        self._known: dict[str, list[Mapping[str, object]]] = {}

    @property
    def network(self) -> dict[str, str]:
        """safety takes its addresses from variables of its own."""
        names = ("DATA_API_BASE_URL", "PLATFORM_API_BASE_URL", "AUTH_SERVER_URL", "SAFETY_PLATFORM_URL")
        more = ("SAFETY_PLATFORM_V2_URL", "FIREWALL_API_BASE_URL")
        return {f"SAFETY_{name}": f"{self.url}/{name}/" for name in (*names, *more)} | {"NO_PROXY": "127.0.0.1"}

    def knows(self, package: str, specifier: str, identity: str, cve: str) -> None:
        ids = [{"type": "pyup", "id": identity}, {"type": "cve", "id": cve}]
        entry = {"ids": ids, "specs": [specifier], "advisory": "", "transitive": False, "more_info_path": ""}
        self._known.setdefault(package, []).append(entry)

    def page(self, name: str) -> object:
        meta = {"schema_version": "2.0.0", "base_domain": "", "packages": {}, "severities": {}}
        if name == "insecure.json":
            specs = {
                package: [spec for one in known for spec in one["specs"]] for package, known in self._known.items()
            }  # type: ignore[attr-defined]  # lists of texts
            return {"meta": meta, "vulnerable_packages": specs}
        if name == "insecure_full.json":
            return {"meta": meta, "vulnerable_packages": self._known}
        if name == "openid-configuration":
            ends = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "end_session_endpoint")
            return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **{end: f"{self.url}/{end}" for end in ends}}
        return {"keys": []} if name == "jwks" else {}


@pytest.fixture
def service() -> Iterator[Service]:
    serving = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if name.startswith("insecure"):
                serving.keys.add(self.headers.get("X-Api-Key"))
            body = json.dumps(serving.page(name)).encode()
            self.send_response(serving.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_POST = do_GET  # noqa: N815  # names that the base class looks up

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    server.shutdown()
    thread.join()
    server.server_close()
