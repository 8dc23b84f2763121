"""The catalogue from the command line: searched, and one skill shown whole. What search finds is the API's tests'."""

from __future__ import annotations

import httpx
from tests.api.conftest import made
from tests.api.test_marketplace import FILES, push, sha, version
from tests.cli.conftest import Cli, serving


def test_what_was_published_is_searched_and_shown(cli: Cli) -> None:
    with serving(cli) as server:
        # Each command is a process that starts anew, so what is looked for comes over HTTP.
        headers = {"Authorization": f"Bearer {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False) as client:
            made(client.post("/v1/marketplace/publishers", json={"name": "acme", "display_name": "Acme"}))
            for content in FILES.values():
                made(client.put(f"/v1/marketplace/files/{sha(content)}", content=content))
            assert push(client, version("one"))[0]["status"] == "applied"
        found = server("search", "csv-reprot").out.splitlines()
        assert found[1].split()[:4] == ["acme/csv-report", "1.0.0", "none", "0"]
        assert found[2:] == ["among them names that only resemble what you typed", "1 of 1"]
        shown = server("show", "acme/csv-report").out
        assert "latest: 1.0.0" in shown
        assert "rating: none, installs: 0" in shown
        assert server("search", "--remote", "nobody").code == 1
