"""What a command loads before it does anything: people wait for it each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

CLIENTS = (
    *("main", "agents", "conflicts", "login", "market", "packages", "people", "publish", "rate", "remotes", "search"),
    *("sync", "uploads", "waivers", "workspaces"),
)


@pytest.mark.parametrize("module", CLIENTS)
def test_a_command_that_asks_a_server_loads_no_database_and_no_server(module: str) -> None:
    heavy = "sqlalchemy", "fastapi", "docker", "apscheduler"
    told = f"import sys, skillyard.cli.{module}; print(*(one for one in {heavy!r} if one in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []


def test_a_server_loads_no_rules_of_the_scan() -> None:
    """The process that scans has them."""
    scanning = "skillyard.governance.static.scanner", "skillyard.governance.static.signs", "yara_x"
    told = (
        "import sys, skillyard.api.server, skillyard.governance.scanners.static\n"
        f"print(*(one for one in {scanning!r} if one in sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert loaded.stdout.split() == []
