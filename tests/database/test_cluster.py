"""The cluster that other tests use: it ends with its last user, however that one ends, and says what it lacks."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests import postgres

ROOT = Path(__file__).parents[2]

USER = """
import os, signal, sys
from pathlib import Path
from tests.postgres import shared_cluster

with shared_cluster(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_it_ends_when_its_last_user_was_killed_and_not_before(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    users = [subprocess.Popen([sys.executable, "-c", USER, str(tmp_path)], cwd=ROOT, **pipes) for _ in range(2)]
    for user in users:
        # One that comes when the other was killed already finds no cluster, and starts another.
        assert user.stdout is not None
        assert user.stdout.readline() == b"in\n"
    give_up = time.monotonic() + 120
    described = tmp_path / "cluster.json"
    cluster = postgres.Cluster(**json.loads(described.read_text()))
    for user in users:
        assert answers(cluster.port)
        user.communicate(b"\n", timeout=60)
        assert user.returncode == -signal.SIGKILL
    while answers(cluster.port) or Path(cluster.folder).exists():
        assert time.monotonic() < give_up, "the cluster outlived its users"
        time.sleep(0.02)
    assert not described.exists()


def test_a_machine_without_it_is_told_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(postgres.NoPostgresError, match="scripts/setup tests"):
        postgres.programs()
