"""``python -m benchmarks.publish_to_follower [--publishes N] [--skills N] [--engine sqlite|postgresql]``

Two real servers on loopback, the second a follower with a live channel. A version is published at the hub over HTTP;
the time counts from the hub's answer to the moment at which the follower's own search, asked every few milliseconds,
has it. Between two publishes lies a pause by chance, so that no period of either end is hit always at the same place.
Beside it the same follower without the channel, which asks every few seconds.
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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx

from benchmarks.effort import FULL, Effort
from benchmarks.leftovers import prefix
from benchmarks.measure import percentile
from benchmarks.postgres import postgres
from benchmarks.results import Result
from benchmarks.sync_yard import fill

_SERVE = """
import asyncio, json, sys, structlog
from skillyard.api.server import serve
from skillyard.settings import Settings
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def ready(serving): print(json.dumps({"url": serving.url, "token": serving.first_token}), flush=True)
asyncio.run(serve(Settings(), on_ready=ready))
"""
PUBLISHES = 60
SKILLS = 1_000
_POLLED = 8
_PERIOD = 5
"""Seconds between two polls of the follower that polls; the setting's own is 60."""
_LOOK_SECONDS = 0.01
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
        "SYNC_PERIOD_NOT_LIVE": str(_PERIOD),
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


async def measure(effort: Effort = FULL) -> Result:
    """On both engines, and on SQLite beside a follower that polls."""
    count = effort.of(PUBLISHES)
    sqlite = await asyncio.to_thread(arrivals, count, SKILLS, "sqlite")
    postgresql = await asyncio.to_thread(arrivals, count, SKILLS, "postgresql")
    polling = await asyncio.to_thread(arrivals, effort.of(_POLLED, least=3), SKILLS, "sqlite", live=False)
    return Result(
        name="publish_to_follower",
        unit="ms",
        better="lower",
        ours={
            "p50": _milliseconds(sqlite, 0.5),
            "p95": _milliseconds(sqlite, 0.95),
            "postgresql_p50": _milliseconds(postgresql, 0.5),
            "postgresql_p95": _milliseconds(postgresql, 0.95),
        },
        peers={f"polling every {_PERIOD} s": _milliseconds(polling, 0.5)},
        floor=None,
        rounds=1,
    )


def arrivals(publishes: int, skills: int, engine: str, *, live: bool = True) -> list[float]:
    """Seconds of each publish until the follower's search has it."""
    with ExitStack() as last_first:
        folder = Path(last_first.enter_context(tempfile.TemporaryDirectory(prefix=prefix())))
        log = last_first.enter_context((folder / "log").open("w"))
        urls = databases(folder, ("hub", "here"), engine, last_first)
        asyncio.run(fill(urls["hub"], skills))
        hub = last_first.enter_context(server(folder / "hub", urls["hub"], log))
        follower = last_first.enter_context(server(folder / "here", urls["here"], log))
        _good(hub.post("/v1/marketplace/publishers", json={"name": "bench", "display_name": "Bench"}))
        follow(follower, hub, live=live)
        took = []
        for number in range(publishes):
            time.sleep(random.uniform(0.1, 0.5))
            took.append(seconds_until_found(follower, publish(hub, number)))
        return took


def databases(folder: Path, homes: Sequence[str], engine: str, last_first: ExitStack) -> dict[str, str]:
    """A folder and a database for each end."""
    for home in homes:
        (folder / home).mkdir()
    if engine == "sqlite":
        return {home: f"sqlite+aiosqlite:///{folder / home / 'skillyard.db'}" for home in homes}
    return {home: last_first.enter_context(postgres()) for home in homes}


def follow(follower: httpx.Client, hub: httpx.Client, *, live: bool = True) -> None:
    """Let one server follow another, and wait until it is at the head."""
    token = hub.headers["Authorization"].partition(" ")[2]
    remote = {"name": "hub", "url": str(hub.base_url).rstrip("/"), "token": token, "live": live}
    _good(follower.post("/v1/remotes", json=remote))
    until = time.monotonic() + 600
    while time.monotonic() < until:
        (said,) = _good(follower.get("/v1/admin/sync/status")).json()["remotes"]
        if said["lag"] == 0 and (not live or said["channel"]["state"] == "open"):
            return
        time.sleep(0.2)
    raise RuntimeError("the follower did not get to the hub's head")


def _milliseconds(took: list[float], share: float) -> float:
    return round(percentile(took, share) * 1000, 1)


def _good(response: httpx.Response) -> httpx.Response:
    if not response.is_success:
        raise RuntimeError(f"{response.request.method} {response.request.url}: {response.text[:500]}")
    return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--publishes", type=int, default=PUBLISHES)
    parser.add_argument("--skills", type=int, default=SKILLS)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    wanted = parser.parse_args()
    took = arrivals(wanted.publishes, wanted.skills, wanted.engine)
    said = {"name": "publish_to_follower", "engine": wanted.engine, "unit": "ms", "publishes": wanted.publishes}
    figures = {name: _milliseconds(took, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}
    sys.stdout.write(json.dumps({**said, "skills": wanted.skills, **figures}) + "\n")


if __name__ == "__main__":
    main()
