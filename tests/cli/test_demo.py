"""The demo tells the whole story and checks it; where something is not as it says, it fails and still cleans up."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from skillyard.cli.demo.server import fresh_home
from tests.cli.conftest import NO_ENGINE, Cli, containers


@pytest.mark.timeout(1000)  # a dozen chapters, most of them with sandboxes
def test_the_whole_story(cli: Cli, tmp_path: Path) -> None:
    patient = replace(cli, seconds=900)
    told = patient("demo", "--home", cli.home, "--output-dir", tmp_path / "chart", "--json")
    assert told.code == 0, told.err
    document = told.document
    assert document["chapters"] == [
        "advisories",
        "install",
        "approve",
        "invoke",
        "upgrade",
        "blocked",
        "hostile",
        "waive",
        "student",
        "ban",
        "marketplace",
        "audit",
    ]
    assert Path(document["chart"]).read_bytes().startswith(b"\x89PNG")
    assert document["swap"]["lost"] == 0
    assert min(document["swap"]["by_version"].values()) >= 3
    assert "PYSEC-2019-217" in document["blocked"]
    assert document["hostile"]
    assert document["waived"]
    assert document["ban"]["stopped"] >= 1
    assert document["conflict"] == "metadata"
    assert document["revoked_after_seconds"] < 60
    assert containers(cli.home) == 0
    assert cli("audit", "verify").code == 0


def test_what_the_last_demo_signed_is_not_held_against_the_next(tmp_path: Path) -> None:
    """Its database is gone: the next one's chain would be called forged."""
    with fresh_home(tmp_path / "home") as home:
        (home / "audit" / "heads").mkdir(parents=True)
        (home / "audit" / "heads" / "1.json").write_text("{}")
    with fresh_home(tmp_path / "home") as home:
        assert not (home / "audit").exists()


def test_a_chapter_brings_what_it_needs(cli: Cli) -> None:
    told = cli("demo", "--home", cli.home, "--chapter", "approve", "--json")
    assert told.code == 0, told.err
    assert told.document["chapters"] == ["install", "approve"]
    assert cli("demo", "--chapter", "epilogue").code == 2


def test_a_demo_that_is_killed_takes_its_server_along(cli: Cli) -> None:
    command = cli.command("demo", "--home", cli.home, "--chapter", "install")
    with subprocess.Popen(command, cwd=cli.folder, env=cli.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(match for line in process.stdout if (match := re.search(r"127\.0\.0\.1:(\d+)", line)))
        process.kill()
    deadline = time.monotonic() + 60
    while listens(int(address[1])):
        assert time.monotonic() < deadline, "its server still listens"


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        # It ends just now: the next knock tells.
        return True
    return True


def test_a_step_that_fails_ends_the_demo_loudly_and_its_server(cli: Cli) -> None:
    """Without an engine everything up to the first call works; then the demo must not say that all is well."""
    failed = cli("demo", "--home", cli.home, "--chapter", "invoke", "--json", docker_host=NO_ENGINE)
    assert failed.code == 1
    assert failed.document["code"] == "demo_failed"
    assert failed.document["detail"].startswith("chapter invoke: ")
    # Its home is free again, and its server's lease is gone.
    assert list((cli.home / "leases").iterdir()) == []
