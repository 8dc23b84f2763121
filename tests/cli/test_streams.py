"""Calls that take a while, on the command line: progress on standard error, Ctrl-C and `cancel`, large things."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.cli.conftest import Cli, Served, new_cli, serving, skill
from tests.cli.test_server_commands import token

TELLS = """
import hashlib
import time
from pathlib import Path

import skillyard_call


def run(seconds: float = 0, size: int = 0) -> dict[str, object]:
    skillyard_call.progress(1, 3, "reading rows")
    skillyard_call.log("warning", "odd\\x1b[2J row", {"row": 4})
    print("begun", flush=True)
    time.sleep(seconds)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().iterdir()}
    return {"files": files, "text": "x" * size}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Iterator[Served]:
    with serving(new_cli(tmp_path_factory.mktemp("served"), package_cache)) as served:
        folder = skill(tmp_path_factory.mktemp("skills"), name="teller", files={"scripts/main.py": TELLS})
        assert served("install", folder).code == 0
        yield served


@pytest.fixture(scope="module")
def agent(server: Served) -> str:
    return token(server, "agents", "telling-bot", "--maturity", "autonomous")


def test_progress_and_log_lines_are_told_on_standard_error(server: Served, agent: str) -> None:
    ran = server("invoke", "local/teller", token=agent)
    assert ran.code == 0, ran.err
    assert "… reading rows\n" in ran.err
    assert 'warning: odd\\x1b[2J row {"row":4}\n' in ran.err, "what a terminal would act on is shown instead"
    assert json.loads(ran.out)["files"] == {}
    document = server("invoke", "local/teller", "--json", token=agent)
    assert document.document["outcome"]["state"] == "succeeded"
    assert "warning: odd" in document.err


def test_run_tells_the_same(cli: Cli, tmp_path: Path) -> None:
    ran = cli("run", skill(tmp_path, name="teller", files={"scripts/main.py": TELLS}))
    assert ran.code == 0, ran.err
    assert "… reading rows\n" in ran.err
    assert "warning: odd" in ran.err


def test_files_go_in_from_the_disk_and_a_large_result_is_shown_like_any_other(server: Served, agent: str) -> None:
    content = os.urandom(12 * 1024 * 1024)
    (server.cli.folder / "large.bin").write_bytes(content)
    given = ("--file", "large.bin", "--input", json.dumps({"size": 2_000_000}))
    ran = server("invoke", "local/teller", *given, "--json", token=agent)
    outcome = ran.document["outcome"]
    assert outcome["result"]["files"] == {"large.bin": hashlib.sha256(content).hexdigest()}
    assert outcome["result"]["text"] == "x" * 2_000_000
    assert outcome["result_file"]["path"] == "result.json"


@pytest.mark.parametrize("option", ["--file", "--stdin"])
def test_what_cannot_be_sent_is_told_before_anything_is(server: Served, agent: str, option: str) -> None:
    os.mkfifo(server.cli.folder / f"pipe{option}")
    for name in ("missing", f"pipe{option}"):
        given = f"in={name}" if option == "--file" else name
        ran = server("invoke", "local/teller", option, given, token=agent)
        assert ran.code in {1, 2}, ran.err
        assert "Traceback" not in ran.err


def test_a_script_reads_its_standard_input_from_a_file(server: Served, agent: str, tmp_path: Path) -> None:
    code = "import hashlib, sys\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())\n"
    assert server("install", skill(tmp_path, name="reader", files={"scripts/x.py": code})).code == 0
    content = os.urandom(3 * 1024 * 1024)
    (server.cli.folder / "typed.bin").write_bytes(content)
    ran = server("invoke", "local/reader", "--stdin", "typed.bin", token=agent)
    assert (ran.code, ran.out) == (0, hashlib.sha256(content).hexdigest() + "\n"), ran.err


def begun(server: Served, agent: str) -> subprocess.Popen[str]:
    """A call in a process of its own, once the skill's code runs."""
    process = subprocess.Popen(
        server.cli.command("invoke", "local/teller", "--input", '{"seconds": 600}'),
        cwd=server.cli.folder,
        env=server.cli.environment(server=server.url, token=agent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that are run in the background have Ctrl-C ignored, and so would this.
        preexec_fn=_hear_control_c,  # noqa: PLW1509 - it makes one system call
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line == "begun\n":
            return process
    raise AssertionError(f"the call ended with {process.wait()}")


def _hear_control_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def newest(server: Served) -> dict[str, object]:
    headers = {"Authorization": f"Bearer {server.token}"}
    answer = httpx.get(
        f"{server.url}/v1/invocations", params={"limit": 1}, headers=headers, timeout=60, trust_env=False
    )
    found: dict[str, object] = answer.json()["items"][0]
    return found


def test_control_c_cancels_the_call(server: Served, agent: str) -> None:
    with begun(server, agent) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    deadline = time.monotonic() + 60
    while newest(server)["state"] == "accepted":
        assert time.monotonic() < deadline, "the call goes on"
        time.sleep(0.02)
    assert newest(server)["state"] == "cancelled"


def test_a_call_is_cancelled_by_its_id(server: Served, agent: str) -> None:
    with begun(server, agent) as process:
        invocation = str(newest(server)["id"])
        cancelled = server("cancel", invocation, "--json")
        assert (cancelled.code, cancelled.document["state"]) == (0, "cancelled"), cancelled.err
        assert process.wait(60) == 1
        assert process.stderr is not None
        assert "ended as cancelled" in process.stderr.read()
    again = server("cancel", invocation)
    assert again.code == 1
    assert "ended before: cancelled" in again.err
    assert server("cancel", "no-id").code == 2
