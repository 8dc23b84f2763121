"""Workspaces from the command line: an operator's day, and what a tenant's admin sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Cli, serving, skill


def test_a_workspace_is_added_limited_suspended_and_resumed(cli: Cli, tmp_path: Path) -> None:
    with serving(cli) as server:
        added = server("workspaces", "add", "acme", "--admin", "ann", "--json")
        assert (added.code, added.document["workspace"]["name"]) == (0, "acme")
        ann = added.document["token"]
        assert server("install", skill(tmp_path), "--publisher", "acme", token=ann).code == 0
        assert server("agents", "create", "bot", "--maturity", "autonomous", token=ann).code == 0
        bot = server("agents", "token", "bot", token=ann).out.strip()
        call = ("invoke", "acme/adder", "--input", '{"x": 1}')
        assert server(*call, token=bot).out == "2\n"

        told = server("workspaces", "quota", "acme", "calls_per_day=2", "storage_bytes=1073741824").out
        assert "calls_per_day" in told
        assert "1.0 GiB" in told
        assert server(*call, token=bot).code == 0
        refused = server(*call, "--json", token=bot)
        assert (refused.code, refused.document["code"]) == (1, "quota_exceeded")
        used = server("workspaces", "usage", "--json", token=ann).document
        assert used["workspace"]["name"] == "acme"
        assert {"quota": "calls_per_day", "used": 2, "limit": 2, "own": True}.items() <= used["quotas"][1].items()
        assert "none" in server("workspaces", "quota", "acme", "calls_per_day=none").out

        suspended = server("workspaces", "suspend", "acme", "--reason", "unpaid")
        assert suspended.out == "acme is suspended\n", suspended.err
        denied = server(*call, "--json", token=bot)
        assert (denied.code, denied.document["decision"]["reasons"][0]["code"]) == (1, "workspace_suspended")
        assert "adder" in server("list", token=ann).out
        assert "suspended" in server("workspaces", "show", "acme").out
        assert server("workspaces", "resume", "acme", "--reason", "paid").code == 0
        assert server(*call, token=bot).out == "2\n"

        assert [line.split()[1:] for line in server("workspaces", "list").out.splitlines()[1:]] == [
            ["default", "active"],
            ["acme", "active"],
        ]
        assert server("workspaces", "list", token=ann).code == 1
        assert server("workspaces", "show", "nowhere").code == 1
        assert "operator" in server("people", "list").out


@pytest.mark.parametrize("limit", ["calls=1", "calls_per_day", "calls_per_day=", "calls_per_day=-1", "agents=x"])
def test_a_limit_that_cannot_be_is_a_usage_error(cli: Cli, limit: str) -> None:
    assert cli("workspaces", "quota", "acme", limit).code == 2
