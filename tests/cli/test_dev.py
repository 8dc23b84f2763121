"""``skillyard dev`` as a process of its own: what it prints, what it serves, and that nothing of it stays."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.conftest import Cli, containers, serving, skill

ANSWER = "def run(x: int) -> int:\n    return x + {}\n"


@dataclass(frozen=True)
class Dev:
    """A running ``skillyard dev --json``."""

    process: subprocess.Popen[str]
    folder: Path

    def next(self, *events: str) -> Any:
        """The next of these events; others are passed over."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            document = json.loads(line)
            if document["event"] in events:
                return document
        raise AssertionError(f"it ended before it said one of {events}")

    def save(self, code: str) -> None:
        """As editors do it: written elsewhere, renamed over. Beside it, the new file might be seen too early."""
        save(self.folder, code)

    def stop(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)


def save(folder: Path, code: str) -> None:
    new = folder.parent / "main.py.new"
    new.write_text(code)
    new.replace(folder / "scripts" / "main.py")


@contextmanager
def dev(cli: Cli, folder: Path, *options: str) -> Iterator[Dev]:
    log = cli.home / "dev.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            cli.command("dev", folder, "--json", *options),
            cwd=cli.folder,
            env=cli.environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            yield Dev(process, folder)
        finally:
            process.kill()


def call(ready: Any, token: str, x: int = 1) -> httpx.Response:
    body = {"skill": ready["skill"], "input": {"x": x}}
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{ready['url']}/v1/invocations", json=body, headers=headers, timeout=60, trust_env=False)


def nothing_left(cli: Cli) -> None:
    assert containers(cli.home) == 0
    assert list((cli.home / "leases").iterdir()) == []
    assert list((cli.home / "staging").iterdir()) == []
    assert list((cli.home / "dev").glob("*.token")) == []


def test_edits_are_served_and_ctrl_c_leaves_nothing(cli: Cli, tmp_path: Path) -> None:
    with dev(cli, skill(tmp_path)) as session:
        first = session.next("swapped")
        assert first["lock"] in {"kept", "resolved"}
        assert {"parse", "scan", "start", "check", "move"} <= set(first["stages_ms"])
        ready = session.next("ready")
        token = Path(ready["token_file"]).read_text().strip()
        assert call(ready, token).json()["outcome"]["result"] == 2

        session.save(ANSWER.format(10))
        assert session.next("swapped")["changed"] == ["scripts/main.py"]
        assert call(ready, token).json()["outcome"]["result"] == 11

        session.save("def run(x: int -> int:\n    return x\n")
        refused = session.next("refused")
        assert (refused["file"], refused["line"]) == ("scripts/main.py", 1)
        answer = call(ready, token).json()
        assert (answer["outcome"]["result"], answer["skill"]) == (11, refused["serving"])

        session.save(ANSWER.format(100))
        session.next("swapped")
        assert call(ready, token).json()["outcome"]["result"] == 101
        assert session.stop(signal.SIGINT) == 0
    assert call_is_refused(ready)
    nothing_left(cli)


def call_is_refused(ready: Any) -> bool:
    try:
        call(ready, "sky_1_x")
    except httpx.ConnectError:
        return True
    return False


def test_the_call_after_every_change_shows_its_result(cli: Cli, tmp_path: Path) -> None:
    with dev(cli, skill(tmp_path), "--input", '{"x": 1}') as session:
        assert session.next("called")["invocation"]["outcome"]["result"] == 2
        session.save(ANSWER.format(5))
        assert session.next("called")["invocation"]["outcome"]["result"] == 6
        session.save("def run(y: int) -> int:\n    return y\n")
        assert session.next("called")["invocation"]["outcome"]["state"] == "failed"
        assert session.stop(signal.SIGTERM) == 0


def test_a_killed_process_leaves_nothing_behind_the_next_start(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path, files={"scripts/main.py": "import time\n\n\ndef run(x: int) -> int:\n    time.sleep(x)\n"})
    with dev(cli, folder, "--input", '{"x": 600}') as session:
        ready = session.next("ready")
        left = Path(ready["token_file"])
        assert session.stop(signal.SIGKILL) == -signal.SIGKILL
    text = left.read_text().strip()
    with dev(cli, folder) as session:
        again = session.next("ready")
        assert not left.exists()
        assert call(again, text).status_code == 401
        assert session.stop(signal.SIGINT) == 0
    nothing_left(cli)
    records = [json.loads(line) for line in cli("audit", "export", "--workspace", "local").out.splitlines()]
    assert [one["action"] for one in records if one.get("subject", "").startswith("token/")] == [
        "token.issued",
        "token.revoked",
        "token.issued",
        "token.revoked",
    ]


def test_tokens_of_a_server_over_the_same_home_are_none_here(cli: Cli, tmp_path: Path) -> None:
    """The local policy lets one person approve alone and takes old evidence: not for another workspace's agents."""
    with serving(cli) as server, dev(cli, skill(tmp_path)) as session:
        ready = session.next("ready")
        for url, status in ((server.url, 200), (ready["url"], 401)):
            answer = httpx.get(f"{url}/v1/me", headers=bearer(server.token), timeout=60, trust_env=False)
            assert answer.status_code == status
        assert session.stop(signal.SIGINT) == 0


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["nowhere", "a-file"])
def test_only_a_folder_can_be_edited(cli: Cli, path: str) -> None:
    (cli.folder / "a-file").write_text("x")
    refused = cli("dev", path, "--json")
    assert (refused.code, refused.document["field"]) in {(2, "PATH"), (2, "source")}


def test_for_people_it_is_a_line_a_change(cli: Cli, tmp_path: Path) -> None:
    folder = skill(tmp_path)
    command = cli.command("dev", folder)
    with subprocess.Popen(
        command, cwd=cli.folder, env=cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert "→ local/adder@1.0.0+" in next(lines)
        assert "no packages" in next(lines)
        assert "decided by the local policy" in next(lines)
        assert "skillyard invoke local/adder --server http://127.0.0.1:" in next(lines)
        save(folder, "def (\n")
        assert "scripts/main.py: refused (invalid_skill)" in next(lines)
        assert "scripts/main.py:1: " in next(lines)
        assert "still serves" in next(lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "stopped" in next(lines)
