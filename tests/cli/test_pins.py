"""Pinning an agent to a version, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Cli, serving, skill


def test_an_agent_is_pinned_listed_and_unpinned(cli: Cli, tmp_path: Path) -> None:
    with serving(cli) as server:
        assert server("agents", "create", "bot", "--maturity", "autonomous").code == 0
        token = server("agents", "token", "bot").out.strip()
        old = skill(tmp_path / "old", files={"scripts/main.py": "def run() -> int:\n    return 1\n"})
        new = skill(tmp_path / "new", version="2.0.0", files={"scripts/main.py": "def run() -> int:\n    return 2\n"})
        assert server("install", old, "--publisher", "acme").code == 0
        assert server("agents", "pin", "bot", "acme/adder").code == 2
        pinned = server("agents", "pin", "bot", "acme/adder@1.0.0", "--json")
        assert (pinned.code, pinned.document["version"]) == (0, "1.0.0")
        assert server("upgrade", new, "--publisher", "acme").code == 0
        assert "acme/adder  1.0.0" in server("agents", "pins", "bot").out
        assert server("invoke", "acme/adder", token=token).out == "1\n"
        refused = server("uninstall", "acme/adder@1.0.0", "--json")
        assert (refused.code, refused.document["code"]) == (1, "version_pinned")
        assert server("agents", "unpin", "bot", "acme/adder").code == 0
        assert server("invoke", "acme/adder", token=token).out == "2\n"
        server("agents", "pin", "bot", "acme/adder@1.0.0")
        assert server("uninstall", "acme/adder@1.0.0", "--force").code == 0
        assert server("invoke", "acme/adder", token=token).out == "2\n"
