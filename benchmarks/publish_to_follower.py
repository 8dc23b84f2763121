"""``python -m benchmarks.publish_to_follower [--publishes N] [--skills N] [--engine sqlite|postgresql]``

Two real servers on loopback, the second a follower with a live channel. A version is published at the hub over HTTP;
the time counts from the hub's answer to the moment at which the follower's own search, asked every few milliseconds,
has it. Between two publishes lies a pause by chance, so that no period of either end is hit always at the same place.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx

from benchmarks.leftovers import prefix
from benchmarks.measure import percentile
from benchmarks.postgres import postgres
from benchmarks.sync_yard import fill

_SERVE = """
import asyncio, json, sys, structlog
from skillyard.api.server import serve
from skillyard.settings import Settings
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def ready(serving): print(json.dumps({"url": serving.url, "token": serving.first_token}), flush=True)
asyncio.run(serve(Settings(), on_ready=ready))
"""
_LOOK_SECONDS = 0.015
_LONGEST = 30.0


@contextmanager
def server(home: Path, database: str, log: IO[str]) -> Iterator[httpx.Client]:
    """A server as its first person."""
    ours = {
        "HOME": str(home),
        "DATABASE_URL": database,
        "PORT": "0",
        "ADVISORIES_MAX_AGE_DAYS": "36500",
        "ADVISORIES_UPDATE_HOURS": "0",
        "MARKETPLACE_ALLOW_PRIVATE": "true",
    }
    environment = os.environ | {f"SKILLYARD_{name}": value for name, value in ours.items()}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            headers = {"Authorization": f"Bearer {said['token']}"}
            with httpx.Client(base_url=said["url"], headers=headers, timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()
            process.wait(60)


def publish(hub: httpx.Client, number: int) -> str:
    """A version of a skill of instructions alone. Returns the skill's name."""
    name = f"arrives-{number}"
    fields = f'name: {name}\ndescription: Says how number {number} is done.\nmetadata:\n  version: "1.0.0"'
    text = f"---\n{fields}\n---\n\nTake it, and put it down again.\n"
    content = text.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    _good(hub.put(f"/v1/marketplace/files/{sha256}", content=content))
    item = {
        "item": f"{name}-1",
        "kind": "version",
        "key": f"bench/{name}@1.0.0",
        "document": "{}",
        "files": [{"path": "SKILL.md", "sha256": sha256, "size": len(content), "executable": False}],
    }
    (result,) = _good(hub.post("/v1/marketplace/push", json={"items": [item]})).json()["results"]
    if result["status"] != "applied":
        raise RuntimeError(f"not published: {result}")
    return name


def seconds_until_found(follower: httpx.Client, name: str) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < _LONGEST:
        found = _good(follower.get("/v1/marketplace/skills", params={"q": name, "remote": "hub", "limit": 1})).json()
        if any(one["name"] == name for one in found["items"]):
            return time.perf_counter() - began
        time.sleep(_LOOK_SECONDS)
    raise RuntimeError(f"{name} did not arrive within {_LONGEST:g} s")


def measure(publishes: int, skills: int, engine: str) -> dict[str, object]:
    with ExitStack() as last_first:
        folder = Path(last_first.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        homes = [folder / "hub", folder / "here"]
        for home in homes:
            home.mkdir()
        if engine == "sqlite":
            urls = [f"sqlite+aiosqlite:///{home / 'skillyard.db'}" for home in homes]
        else:
            urls = [last_first.enter_context(postgres()) for _ in homes]
        asyncio.run(fill(urls[0], skills))
        log = last_first.enter_context((folder / "log").open("w"))
        hub = last_first.enter_context(server(homes[0], urls[0], log))
        follower = last_first.enter_context(server(homes[1], urls[1], log))
        _good(hub.post("/v1/marketplace/publishers", json={"name": "bench", "display_name": "Bench"}))
        token = hub.headers["Authorization"].partition(" ")[2]
        remote = {"name": "hub", "url": str(hub.base_url).rstrip("/"), "token": token}
        _good(follower.post("/v1/remotes", json=remote))
        _wait_for_channel(follower)
        took = []
        for number in range(publishes):
            time.sleep(random.uniform(0.1, 0.5))
            took.append(seconds_until_found(follower, publish(hub, number)))
        return {
            "name": "publish_to_follower",
            "engine": engine,
            "unit": "ms",
            "publishes": publishes,
            "skills": skills,
            "p50": round(percentile(took, 0.5) * 1000, 1),
            "p95": round(percentile(took, 0.95) * 1000, 1),
            "max": round(max(took) * 1000, 1),
        }


def _wait_for_channel(follower: httpx.Client) -> None:
    until = time.monotonic() + 600
    while time.monotonic() < until:
        (remote,) = _good(follower.get("/v1/admin/sync/status")).json()["remotes"]
        if remote["channel"]["state"] == "open" and remote["lag"] == 0:
            return
        time.sleep(0.2)
    raise RuntimeError("the follower did not get to the hub's head")


def _good(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise RuntimeError(f"{response.request.method} {response.request.url}: {response.text[:500]}")
    return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--publishes", type=int, default=60)
    parser.add_argument("--skills", type=int, default=1_000)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    sys.stdout.write(json.dumps(measure(wanted.publishes, wanted.skills, wanted.engine)) + "\n")


if __name__ == "__main__":
    main()
