"""A server that cannot start says so, and one that is told to stop ends what it does first."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from skillyard.api.application import create_app, versioned
from skillyard.api.server import AddressError, serve
from skillyard.settings import Settings
from tests.api.conftest import made, serving, skill_zip, upload


async def test_a_port_that_is_taken_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(home=tmp_path / "home", port=taken.getsockname()[1])
        with pytest.raises(AddressError):
            await serve(settings)
    assert not (tmp_path / "home").exists()


def test_no_route_is_made_anew_for_an_application(tmp_path: Path) -> None:
    """To make them all is a third of what the start of a server costs; it is done once, while they are imported."""
    one, other = (create_app(Settings(home=tmp_path / home)) for home in ("one", "other"))
    ours = [route for route in one.routes if isinstance(route, APIRoute | APIWebSocketRoute)]
    assert len(ours) > len(list(versioned()))
    assert {id(route) for route in ours} <= {id(route) for route in other.routes}


def test_a_server_told_to_stop_lets_a_call_end_and_answers_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as server, server.client(server.token) as admin:
        made(upload(admin, skill_zip("echo")))
        agent = made(admin.post("/v1/agents", json={"name": "a", "maturity": "AUTONOMOUS"}))["id"]
        token = made(admin.post("/v1/tokens", json={"name": "t", "agent": agent}))["token"]
        url = httpx.URL(server.url)
        calling = http.client.HTTPConnection(url.host, url.port or 80, timeout=60)
        body = json.dumps({"skill": "echo", "entry": "scripts/talk.py", "timeout_seconds": 3})
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        calling.request("POST", "/v1/invocations", body=body, headers=headers)
        deadline = time.monotonic() + 30
        while not made(admin.get("/v1/invocations"))["items"]:
            assert time.monotonic() < deadline, "the call was not admitted"
        server.process.send_signal(signal.SIGTERM)
        outcome = json.load(calling.getresponse())["outcome"]
        calling.close()
    assert outcome["state"] == "timed_out"
    left = ["docker", "ps", "-aq", "--filter", f"label=skillyard.instance={(home / 'instance-id').read_text().strip()}"]
    assert subprocess.run(left, check=True, capture_output=True, text=True).stdout == ""
