"""The real pip-audit on our index; and whatever goes wrong with it, the verdict is INDETERMINATE."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.advisories.index import AdvisoryIndex, IndexFile
from skillyard.governance.advisories.testing import MemorySource
from skillyard.governance.advisories.update import update
from skillyard.governance.engines.engine_output import Pin
from skillyard.governance.engines.engine_run import RunLimits, one_version_each
from skillyard.governance.engines.environments import EngineEnvironment
from skillyard.governance.engines.loopback import Loopback
from skillyard.governance.report import EvidenceState, Report, Verdict
from skillyard.governance.scan import scan
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.advisories import AdvisoryScanner
from skillyard.governance.scanners.pip_audit import PipAuditScanner
from skillyard.skills.skill import Ecosystem
from tests.governance.engines.conftest import NOW, MakeTarget
from tests.governance.engines.test_loopback import NPM_RECORD

Installed = Callable[[str], EngineEnvironment]
Program = Callable[[str], Sequence[str]]
Misrouted = Callable[[str], Callable[[AdvisoryIndex], AbstractContextManager[Loopback]]]
VULNERABLE = {"jinja2": "2.10", "requests": "2.19.1", "werkzeug": "99.0"}
CLEAN = {"jinja2": "3.1.6"}
GOOD = '{"dependencies": [{"name": "jinja2", "version": "3.1.6", "vulns": []}], "fixes": []}'
ANY_AGE = ScanPolicy(max_age=None)


async def report_of(scanner: Scanner, target: ScanTarget, index: IndexFile | None = None) -> Report:
    """The report of this engine beside the primary, as an installation makes it."""
    scanners = (scanner,) if index is None else (AdvisoryScanner(index=index), scanner)
    return await scan(target, scanners, policy=ANY_AGE, now=NOW)


def evidence_of(report: Report) -> tuple[EvidenceState, str]:
    (one,) = [each for each in report.evidence if each.scanner == "pip-audit"]
    return one.state, one.reason or ""


async def test_the_real_pip_audit_finds_what_we_find_and_nothing_is_shown_twice(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = PipAuditScanner(index=index, environment=installed("pip-audit"))
    assert list(mismatches(scanner, Scanner)) == []
    alone = await report_of(scanner, target(VULNERABLE))
    both = await report_of(scanner, target(VULNERABLE), index)
    ids = {"PYSEC-2018-28", "PYSEC-2019-217", "PYSEC-2021-66", "PYSEC-2023-74"}
    assert {finding.advisory for finding in alone.findings} == ids
    assert sorted(str(finding.advisory) for finding in both.findings) == sorted(ids)
    assert {finding.rule for finding in both.findings} == {"advisory"}
    (evidence,) = [one for one in both.evidence if one.scanner == "pip-audit"]
    assert evidence.state is EvidenceState.RAN
    assert evidence.version.startswith(f"{installed('pip-audit').version}+index.")
    assert evidence.data_date == datetime(2024, 10, 10, tzinfo=UTC)
    assert "not independent evidence" in (evidence.reason or "")


async def test_two_versions_of_one_package_and_local_versions_are_all_looked_at(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = PipAuditScanner(index=index, environment=installed("pip-audit"))
    report = await report_of(scanner, target({"jinja2": "3.1.6+local.1"}, build={"jinja2": "2.10"}), index)
    assert evidence_of(report)[0] is EvidenceState.RAN
    assert {str(one.package) for one in report.findings if one.advisory} == {"jinja2==2.10"}


async def test_a_version_that_another_tool_spelt_otherwise_is_looked_at(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = PipAuditScanner(index=index, environment=installed("pip-audit"))
    report = await report_of(scanner, target({"jinja2": "3.1.6-1", "flask": "v3.1.0RC1"}), index)
    assert evidence_of(report)[0] is EvidenceState.RAN


def test_packages_whose_names_differ_in_case_alone_are_looked_at_apart() -> None:
    """npm takes them for one package, and would look at neither or at the wrong one."""
    for names in (("jquery", "jQuery"), ("jQuery", "jquery")):
        groups = one_version_each([Pin(name, "1.0.0", (), Ecosystem.NPM) for name in names])
        assert [[pin.name for pin in group] for group in groups] == [[names[0]], [names[1]]]


async def test_of_many_scans_at_once_only_so_many_run_an_engine(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    """Each run says how many there are: it leaves a file while it lives."""
    folder = tmp_path / "running"
    folder.mkdir()
    command = program(
        f"import os, time\nname = {str(folder)!r} + '/' + str(os.getpid())\nopen(name, 'w')\ntime.sleep(0.2)\n"
        f"count = len(os.listdir({str(folder)!r}))\nos.unlink(name)\nraise SystemExit(f'running: {{count}}')"
    )
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command, limits=RunLimits(at_once=1))
    reports = await asyncio.gather(*(report_of(scanner, target(CLEAN), index) for _ in range(3)))
    assert [evidence_of(report)[1].endswith("running: 1") for report in reports] == [True] * 3


async def test_without_python_packages_it_is_not_started(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    command = program("open('started', 'w')")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    for nothing in (target(), target(npm={"marked": "0.3.5"})):
        _, evidence = await scanner.scan(nothing, now=NOW)
        assert (evidence.state, evidence.data_date) == (EvidenceState.RAN, None)
    assert not (tmp_path / "started").exists()


async def test_what_is_declared_and_not_locked_is_missing(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = PipAuditScanner(index=index, environment=installed("pip-audit"))
    report = await report_of(scanner, target(CLEAN, locked=False))
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.MISSING)


async def test_an_engine_that_is_not_installed_is_missing_evidence(
    index: IndexFile, target: MakeTarget, tmp_path: Path
) -> None:
    report = await report_of(PipAuditScanner(index=index, environment=nowhere(tmp_path)), target(CLEAN), index)
    state, reason = evidence_of(report)
    assert (report.verdict, state) == (Verdict.INDETERMINATE, EvidenceState.MISSING)
    assert "skillyard engines install" in reason


OUTPUTS = {
    "empty": "",
    "truncated": GOOD[:40],
    "no JSON": "<html>503 Service Unavailable</html>",
    "an array": "[]",
    "a number": "7",
    "no dependencies": '{"vulnerabilities": []}',
    "dependencies of another shape": '{"dependencies": {"jinja2": "3.1.6"}}',
    "a dependency of another shape": '{"dependencies": ["jinja2"]}',
    "no vulnerabilities": '{"dependencies": [{"name": "jinja2", "version": "3.1.6"}]}',
    "an empty list": '{"dependencies": [], "fixes": []}',
    "another package": GOOD.replace("jinja2", "flask"),
    "another version": GOOD.replace("3.1.6", "3.1.5"),
    "a package twice": GOOD.replace("}]", '}, {"name": "jinja2", "version": "3.1.6", "vulns": []}]', 1),
    "no version": GOOD.replace("3.1.6", "next"),
    "a vulnerability of another shape": GOOD.replace('"vulns": []', '"vulns": ["PYSEC-1"]'),
}


@pytest.mark.parametrize("exit_code", [0, 1, 2, 137])
@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
async def test_output_that_is_not_pip_audits_is_indeterminate_whatever_the_exit_code(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path, output: str, exit_code: int
) -> None:
    command = program(f"import sys; sys.stdout.write({output!r}); sys.exit({exit_code})")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    report = await report_of(scanner, target(CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


@pytest.mark.parametrize("exit_code", [1, 2, 137])
async def test_a_clean_answer_with_an_exit_code_that_does_not_fit_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path, exit_code: int
) -> None:
    command = program(f"import sys; sys.stdout.write({GOOD!r}); sys.exit({exit_code})")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    state, reason = evidence_of(await report_of(scanner, target(CLEAN), index))
    assert state is EvidenceState.FAILED
    assert f"exit code {exit_code}" in reason


async def test_a_clean_answer_from_a_program_that_asked_nothing_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    command = program(f"import sys; sys.stdout.write({GOOD!r})")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    report = await report_of(scanner, target(CLEAN), index)
    assert report.verdict is Verdict.INDETERMINATE
    assert evidence_of(report) == (EvidenceState.FAILED, "it did not ask about jinja2==3.1.6")


async def test_a_skipped_package_is_indeterminate_and_named(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    skipped = '{"dependencies": [{"name": "jinja2", "skip_reason": "not found on the index"}], "fixes": []}'
    command = program(f"import sys; sys.stdout.write({skipped!r})")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    report = await report_of(scanner, target(CLEAN), index)
    assert report.verdict is Verdict.INDETERMINATE
    (evidence,) = [one for one in report.evidence if one.scanner == "pip-audit"]
    assert evidence.skipped == ("jinja2: not found on the index",)


async def test_an_engine_that_hangs_is_killed_and_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    command = program(f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(1000)")
    limits = RunLimits(seconds=5)  # It has to come as far as to say its number.
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command, limits=limits)
    report = await report_of(scanner, target(CLEAN), index)
    assert report.verdict is Verdict.INDETERMINATE
    assert "did not end within 5 s" in evidence_of(report)[1]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_an_engine_that_is_killed_meanwhile_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    code = f"import os, sys, time; print({GOOD!r}, flush=True)\nopen({str(started)!r}, 'w').write(str(os.getpid()))"
    command = program(f"{code}\ntime.sleep(1000)")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    scanning = asyncio.create_task(report_of(scanner, target(CLEAN), index))
    os.kill(int(await asyncio.to_thread(started.read_text)), signal.SIGKILL)
    report = await scanning
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


@pytest.mark.parametrize(
    ("code", "limits", "reason"),
    [
        ("while True: print('x' * 1000)", RunLimits(output=100_000), "printed more than 100000 bytes"),
        ("bytes(2**30)", RunLimits(memory=512 * 1024 * 1024), "MemoryError"),
        ("open('big', 'wb').write(b'x' * 2**22); import sys; sys.exit('whole')", RunLimits(disk=2**20), "exit code"),
    ],
)
async def test_an_engine_that_takes_too_much_is_indeterminate(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path, code: str, limits: RunLimits, reason: str
) -> None:
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=program(code), limits=limits)
    report = await report_of(scanner, target(CLEAN), index)
    state, said = evidence_of(report)
    assert (report.verdict, state) == (Verdict.INDETERMINATE, EvidenceState.FAILED)
    assert reason in said
    assert "whole" not in said


async def test_a_package_that_the_output_leaves_out_is_named(
    index: IndexFile, program: Program, target: MakeTarget, tmp_path: Path
) -> None:
    command = program(f"import sys; sys.stdout.write({GOOD!r})")
    scanner = PipAuditScanner(index=index, environment=nowhere(tmp_path), command=command)
    report = await report_of(scanner, target({**CLEAN, "flask": "3.1.0"}), index)
    (evidence,) = [one for one in report.evidence if one.scanner == "pip-audit"]
    assert (evidence.skipped, evidence.reason) == (("flask==3.1.0",), "its output leaves out flask==3.1.0")


@pytest.mark.parametrize("status", [404, 405, 500, 200])
async def test_an_endpoint_that_refuses_or_answers_html_is_indeterminate(
    index: IndexFile, installed: Installed, target: MakeTarget, misrouted: Misrouted, status: int
) -> None:
    with answering(status) as url:
        scanner = PipAuditScanner(index=index, environment=installed("pip-audit"), serve=misrouted(url))
        report = await report_of(scanner, target(CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


async def test_an_endpoint_that_never_answers_is_indeterminate(
    index: IndexFile, installed: Installed, target: MakeTarget, misrouted: Misrouted
) -> None:
    with answering(0) as url:
        scanner = PipAuditScanner(
            index=index, environment=installed("pip-audit"), serve=misrouted(url), limits=RunLimits(seconds=8)
        )
        report = await report_of(scanner, target(CLEAN), index)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.FAILED)


async def test_an_empty_answer_of_somebody_else_is_no_clean_bill(
    index: IndexFile, installed: Installed, target: MakeTarget, misrouted: Misrouted
) -> None:
    """pip-audit then reports nothing and ends with 0; that our own endpoint was not asked gives it away."""
    with answering(200, b"{}") as url:
        scanner = PipAuditScanner(index=index, environment=installed("pip-audit"), serve=misrouted(url))
        report = await report_of(scanner, target(CLEAN), index)
    assert report.verdict is Verdict.INDETERMINATE
    assert "did not ask about" in evidence_of(report)[1]


@pytest.mark.parametrize(
    ("content", "state"),
    [(None, EvidenceState.MISSING), (b"", EvidenceState.FAILED), (b"damaged", EvidenceState.FAILED)],
)
async def test_an_index_that_is_missing_or_damaged_is_indeterminate(
    installed: Installed, target: MakeTarget, tmp_path: Path, content: bytes | None, state: EvidenceState
) -> None:
    path = tmp_path / "broken.db"
    if content is not None:
        path.write_bytes(content)
    scanner = PipAuditScanner(index=IndexFile(path), environment=installed("pip-audit"))
    report = await report_of(scanner, target(CLEAN))
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, state)


async def test_an_index_without_python_data_is_indeterminate(
    installed: Installed, target: MakeTarget, tmp_path: Path
) -> None:
    path = tmp_path / "npm.db"
    await update(path, MemorySource([NPM_RECORD]), now=NOW)
    scanner = PipAuditScanner(index=IndexFile(path), environment=installed("pip-audit"))
    report = await report_of(scanner, target(CLEAN))
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.MISSING)


async def test_old_data_makes_a_second_engine_stale_too(
    index: IndexFile, installed: Installed, target: MakeTarget
) -> None:
    scanner = PipAuditScanner(index=index, environment=installed("pip-audit"))
    report = await scan(target(CLEAN), (scanner,), policy=ScanPolicy(), now=NOW)
    assert (report.verdict, evidence_of(report)[0]) == (Verdict.INDETERMINATE, EvidenceState.STALE)


def nowhere(folder: Path) -> EngineEnvironment:
    return EngineEnvironment("pip-audit", "2.10.1", folder / "no-such-environment")


class answering:  # noqa: N801  # reads as the sentence it makes
    """A server that answers every question with one status (0: never) and HTML, or the body given."""

    def __init__(self, status: int, body: bytes = b"<html>sorry</html>") -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if status == 0:
                    self.rfile.read()  # until the other side gives up
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
