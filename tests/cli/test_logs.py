"""What a server writes: JSON lines for whatever collects them, and nothing of a variable's value."""

from __future__ import annotations

import json
import subprocess
import sys

_SERVER = """
import structlog
from skillyard.cli.logs import configure_logs
from skillyard.settings import Settings
configure_logs(Settings(), quiet=QUIET)
log = structlog.get_logger("test")
log.info("started", port=8750)
try:
    secret = "hunter2"
    raise ValueError("broken")
except ValueError:
    log.exception("failed")
"""


def test_without_a_terminal_each_line_is_a_json_object() -> None:
    lines = [json.loads(line) for line in _said(quiet=False).splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [("started", "info"), ("failed", "error")]
    assert lines[0]["port"] == 8750
    assert "ValueError: broken" in lines[1]["exception"]


def test_what_one_person_watches_is_for_people_and_tells_less() -> None:
    said = _said(quiet=True)
    assert "started" not in said
    assert "ValueError: broken" in said
    assert not said.startswith("{")


def test_no_value_of_a_variable_is_written() -> None:
    assert "hunter2" not in _said(quiet=False).replace('secret = "hunter2"', "")


def _said(*, quiet: bool) -> str:
    program = _SERVER.replace("QUIET", str(quiet))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr
