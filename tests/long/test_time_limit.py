"""A test that hangs fails by its name, however it hangs, and the tests behind it are run all the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HANGING = """
import asyncio
import threading

import pytest


def test_waits():
    threading.Event().wait()


async def test_waits_in_a_loop():
    await asyncio.Event().wait()


async def test_does_not_hear_it_the_first_time():
    try:
        threading.Event().wait()
    except BaseException:
        pass
    while True:
        await asyncio.sleep(0)


@pytest.fixture
async def never_ends():
    yield
    await asyncio.Event().wait()


async def test_cleans_up_for_ever(never_ends):
    pass


def test_behind_them():
    pass
"""


def test_a_hang_fails_by_its_name_also_in_a_worker(tmp_path: Path) -> None:
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(HANGING)
    options = ["-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--numprocesses=1", "--timeout=1", str(hanging)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    ended = re.findall(r"^(FAILED|ERROR) \S*::(\w+)", done.stdout, re.MULTILINE)
    assert sorted(ended) == [
        ("ERROR", "test_cleans_up_for_ever"),
        ("FAILED", "test_does_not_hear_it_the_first_time"),
        ("FAILED", "test_waits"),
        ("FAILED", "test_waits_in_a_loop"),
    ], done.stdout + done.stderr
    assert "3 failed, 2 passed, 1 error" in done.stdout, done.stdout
    assert done.stdout.count("Failed: Timeout (>1.0s)") >= 4
