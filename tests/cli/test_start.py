"""What a command loads before it does anything: people wait for it each time."""

from __future__ import annotations

import subprocess
import sys

CLIENTS = (
    *("main", "agents", "conflicts", "login", "market", "packages", "people", "publish", "rate", "remotes", "search"),
    *("sync", "uploads", "waivers", "workspaces"),
)


def told(program: str) -> list[str]:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=150)
    return done.stdout.splitlines()


def test_a_command_that_asks_a_server_loads_no_database_and_no_server() -> None:
    heavy = "sqlalchemy", "fastapi", "docker", "apscheduler"
    loaded = told(f"""
import importlib, sys
for module in {CLIENTS!r}:
    importlib.import_module(f"skillyard.cli.{{module}}")
    if found := {{*sys.modules}} & {{*{heavy!r}}}:
        print(module, "loads", *found)
        break
""")
    assert loaded == []


def test_help_loads_no_models_and_nothing_that_talks_to_a_server() -> None:
    others = "pydantic", "pydantic_settings", "httpx", "structlog", "yaml"
    assert told(f"import sys, skillyard.cli.main; print(*({{*sys.modules}} & {{*{others!r}}}))") == [""]


def test_a_server_loads_no_rules_of_the_scan() -> None:
    """The process that scans has them."""
    scanning = "skillyard.governance.static.scanner", "skillyard.governance.static.signs", "yara_x"
    loads = "import sys, skillyard.api.server, skillyard.governance.scanners.static"
    assert told(f"{loads}; print(*({{*sys.modules}} & {{*{scanning!r}}}))") == [""]
