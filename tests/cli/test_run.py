"""The author's loop: one command from a folder to an answer, decided by the local policy, in a real container."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import SKILLS, Cli, containers, skill

ARGV = """
import sys, pathlib
print("arguments", *sys.argv[1:])
print("input", sys.stdin.read())
print("warned", file=sys.stderr)
pathlib.Path("copy.txt").write_text(pathlib.Path("given.txt").read_text().upper())
sys.exit(int(sys.argv[1]))
"""


def test_a_function_answers_and_nothing_stays(cli: Cli, tmp_path: Path) -> None:
    ran = cli("run", skill(tmp_path), "--input", '{"x": 41}')
    assert (ran.code, ran.out) == (0, "42\n")
    assert "Decided by the local policy" in ran.err
    assert containers(cli.home) == 0


def test_the_document_has_everything(cli: Cli, tmp_path: Path) -> None:
    ran = cli("run", skill(tmp_path), "--input", "-", "--json", stdin='{"x": 1}')
    document = ran.document
    assert document["policy"] == "local"
    assert document["verdict"] == "PASS"
    assert document["outcome"]["state"] == "succeeded"
    assert re.fullmatch(r"local/adder@1\.0\.0\+[0-9a-f]{12}", document["skill"])


@pytest.mark.parametrize("code", [0, 3])
def test_a_public_script_runs_unchanged(cli: Cli, tmp_path: Path, code: int) -> None:
    """Arguments, standard input and files in; streams, exit code and files out."""
    folder = skill(tmp_path, name="talker", files={"scripts/x.py": ARGV, "requirements.txt": "iniconfig==2.1.0\n"})
    (cli.folder / "mine.txt").write_text("hello")
    given = json.dumps({"argv": [str(code), "two words"], "stdin": "said", "files": {"given.txt": "mine.txt"}})
    ran = cli("run", folder, "--entry", "scripts/x.py", "--input", given, "--approve", "--output-dir", "out")
    assert ran.code == (1 if code else 0), ran.err
    assert ran.out == f"arguments {code} two words\ninput said\n"
    assert "warned\n" in ran.err
    assert (cli.folder / "out" / "copy.txt").read_text() == "HELLO"


def test_input_that_a_script_does_not_take_is_refused(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, name="talker", files={"scripts/x.py": ARGV})
    wrong = cli("run", folder, "--input", '{"x": 1}')
    assert wrong.code == 2
    assert "argv" in wrong.err


def test_a_skill_that_fails_is_exit_code_1_and_says_why(cli: Cli, tmp_path: Path) -> None:
    code = "def run() -> None:\n    raise ValueError('no such thing')\n"
    folder = skill(tmp_path, files={"scripts/main.py": code})
    failed = cli("run", folder)
    assert failed.code == 1
    assert "no such thing" in failed.err
    assert cli("run", folder, "--json").document["outcome"]["state"] == "failed"


def test_a_time_out_really_ends_it(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, files={"scripts/main.py": "def run() -> None:\n    while True: pass\n"})
    ended = cli("run", folder, "--timeout", "0.5", "--json")
    assert (ended.code, ended.document["outcome"]["state"]) == (1, "timed_out")


def test_packages_wait_for_the_operator_who_is_on_record(cli: Cli, tmp_path: Path) -> None:
    folder = skill(
        tmp_path,
        python="iniconfig==2.1.0",
        files={"scripts/main.py": "import iniconfig\n\ndef run() -> str:\n    return iniconfig.__name__\n"},
    )
    held = cli("run", folder, "--json")
    assert held.code == 4
    assert [one["name"] for one in held.document["decision"]["packages"]] == ["iniconfig"]
    assert held.document["outcome"]["state"] == "refused"
    told = cli("run", folder)
    assert "iniconfig==2.1.0" in told.err
    assert "--approve" in told.err
    approved = cli("run", folder, "--approve", "--json")
    assert (approved.code, approved.document["outcome"]["result"]) == (0, "iniconfig")
    assert cli("run", folder).code == 0
    granted = [one for one in records(cli) if one["action"] == "approval.granted"]
    assert len(granted) == 1
    payload = json.loads(granted[0]["payload"])
    assert payload["second_person"] is False
    assert "command line" in payload["comment"]


def records(cli: Cli) -> list[dict[str, Any]]:
    exported = cli("audit", "export", "--workspace", "local")
    assert exported.code == 0
    return [one for line in exported.out.splitlines() if "action" in (one := json.loads(line))]


def test_a_skill_with_known_bad_packages_never_runs(cli: Cli) -> None:
    refused = cli("run", SKILLS / "legacy-fetch", "--approve", "--json")
    assert (refused.code, refused.document["code"]) == (1, "report_refused")
    assert refused.document["report"]["verdict"] == "BLOCK"
    assert not any(one["action"].startswith("invocation") for one in records(cli))


def test_what_declares_the_same_packages_is_not_resolved_again(cli: Cli, tmp_path: Path) -> None:
    """The second run works without any index, also with other code; other packages need one."""
    folder = skill(tmp_path, python="iniconfig==2.1.0")
    assert cli("run", folder, "--input", '{"x": 1}', "--approve").code == 0
    offline = {"index_url": "http://127.0.0.1:9/simple", "index_timeout": "20"}
    again = cli("run", folder, "--input", '{"x": 1}', **offline)
    assert (again.code, again.out) == (0, "2\n")
    (folder / "scripts" / "main.py").write_text("def run(x: int) -> int:\n    return x + 2\n")
    edited = cli("run", folder, "--input", '{"x": 1}', **offline)
    assert (edited.code, edited.out) == (0, "3\n")
    skill(tmp_path, python="iniconfig>=2")
    changed = cli("run", folder, "--input", '{"x": 1}', "--json", **offline)
    assert (changed.code, changed.document["code"]) == (5, "resolver_unavailable")


def test_what_is_edited_runs_as_edited(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    first = cli("run", folder, "--input", '{"x": 1}', "--json").document
    (folder / "scripts" / "main.py").write_text("def run(x: int) -> int:\n    return x * 10\n")
    second = cli("run", folder, "--input", '{"x": 1}', "--json").document
    assert (first["outcome"]["result"], second["outcome"]["result"]) == (2, 10)
    assert first["skill"] != second["skill"]


def test_an_instructions_only_skill_answers_with_its_text(cli: Cli) -> None:
    ran = cli("run", SKILLS / "writing-guide", "--json")
    assert ran.code == 0
    assert "# Writing guide" in ran.document["outcome"]["result"]["instructions"]


def test_a_call_that_is_stopped_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    code = "import time\n\ndef run() -> None:\n    print('started', flush=True)\n    time.sleep(60)\n"
    folder = skill(tmp_path, files={"scripts/main.py": code})
    with subprocess.Popen(
        cli.command("run", folder), cwd=cli.folder, env=cli.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == "started\n":
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert containers(cli.home) == 0
    assert [one["action"] for one in records(cli)][-1] == "invocation.finished"


def test_a_file_that_comes_back_replaces_a_link_and_never_follows_it(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, name="talker", files={"scripts/x.py": ARGV})
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    (cli.folder / "out").mkdir()
    (cli.folder / "out" / "copy.txt").symlink_to(victim)
    given = json.dumps({"argv": ["0"], "files": {"given.txt": {"content": "x"}}})
    ran = cli("run", folder, "--input", given, "--output-dir", "out")
    assert ran.code == 0
    assert victim.read_text() == "mine"
    assert (cli.folder / "out" / "copy.txt").read_text() == "X"


def test_a_run_does_not_use_up_the_first_token_of_a_server(cli: Cli, tmp_path: Path) -> None:
    cli("run", skill(tmp_path), "--input", '{"x": 1}')
    with subprocess.Popen(
        cli.command("serve", "--json", "--port", "0"),
        cwd=cli.folder,
        env=cli.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(60) == 0
    assert ready["token"].startswith("sky_")
