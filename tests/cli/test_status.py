"""``skillyard status`` against a real server."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import new_cli, serving, skill


def test_the_status_says_what_the_sandboxes_did(tmp_path: Path, package_cache: Path) -> None:
    with serving(new_cli(tmp_path, package_cache)) as server:
        assert server("install", skill(tmp_path), "--publisher", "acme").code == 0
        assert server("agents", "create", "bot", "--maturity", "autonomous").code == 0
        bot = server("agents", "token", "bot").out.strip()
        assert server("invoke", "acme/adder", "--input", '{"x": 1}', token=bot).code == 0

        found = server("status", "--json").document
        assert (found["workspace"]["since_start"]["calls"], found["instance"]["now"]["idle"]) == (1, 1)
        lines = server("status").out.splitlines()
        assert next(line.split() for line in lines if line.startswith("calls")) == ["calls", "1", "1"]
        assert any(line.startswith("memory granted") and "512 MiB" in line for line in lines)
        refused = server("status", "--json", token=bot)
        assert (refused.code, refused.document["code"]) == (1, "forbidden")
