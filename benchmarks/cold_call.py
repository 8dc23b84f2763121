"""A call that finds no container: what starting one costs beside what the engine takes for it anyway.

The peer creates, attaches and starts a container with the Docker SDK, from the very request that ours made, and waits
for the first byte of an interpreter that imports nothing. Neither counts the removal.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import Any

import docker
from skillyard.sandbox.hostconfig import CHANNEL_TARGET
from skillyard.settings import Settings

from benchmarks.effort import FULL, Effort
from benchmarks.leftovers import labels
from benchmarks.measure import alternating, typical
from benchmarks.results import Result
from benchmarks.steps import Steps, observed
from benchmarks.yard import Yard, open_yard

_STARTS = 8
_ECHO = "import os\nos.write(1, os.read(0, 16))"


async def measure(effort: Effort = FULL) -> Result:
    count = effort.of(_STARTS, least=4)
    async with open_yard() as yard:
        with observed() as first:
            await yard.call()
        config, host = first.created[-1]
        bare = _Bare(yard.runtime.settings, config, host)
        steps = Steps()

        async def ours() -> list[float]:
            with observed() as seen:
                taken = [await _cold(yard) for _ in range(count)]
            for name, times in seen.taken.items():
                steps.taken.setdefault(name, []).extend(times)
            return taken

        async def bare_start() -> list[float]:
            return [await asyncio.to_thread(bare.start) for _ in range(count)]

        try:
            taken = await alternating({"ours": ours, "bare": bare_start}, effort.rounds)
        finally:
            bare.close()
    split = {name: sum(times) / len(times) for name, times in steps.taken.items()}
    mean = sum(sum(times) for times in taken["ours"]) / sum(len(times) for times in taken["ours"])
    ours_p50, bare_p50 = typical(taken["ours"], 0.5), typical(taken["bare"], 0.5)
    return Result(
        name="cold_call",
        unit="ms",
        better="lower",
        ours={
            "p50": ours_p50,
            "p99": typical(taken["ours"], 0.99),
            "times_bare": round(ours_p50 / bare_p50, 3),
            **{f"{name}_mean_ms": round(value, 1) for name, value in split.items()},
            "rest_mean_ms": round(mean - sum(split.values()), 1),
        },
        peers={"bare Docker SDK": bare_p50},
        peer_figures={"bare Docker SDK": bare.steps()},
        floor=bare_p50,
        rounds=effort.rounds,
    )


async def _cold(yard: Yard) -> float:
    await yard.scale_to_zero()
    began = time.perf_counter_ns()
    await yard.call()
    return (time.perf_counter_ns() - began) / 1e6


class _Bare:
    """The SDK alone, on one connection that is open already, as ours is."""

    def __init__(self, settings: Settings, config: Mapping[str, Any], host: Mapping[str, Any]) -> None:
        self._api = docker.APIClient(base_url=settings.docker_host or "unix:///var/run/docker.sock", version="auto")
        python = config["Entrypoint"][0]
        entry = [python, "-I", "-S", "-B", "-c", _ECHO]
        # The folder with the guest's socket is there during its start alone.
        host = {**host, "Mounts": [mount for mount in host["Mounts"] if mount["Target"] != CHANNEL_TARGET]}
        self._request = {**config, "Entrypoint": entry, "Labels": dict(labels()), "HostConfig": dict(host)}
        self._steps: dict[str, list[float]] = {}

    def steps(self) -> dict[str, float]:
        return {f"{name}_mean_ms": round(sum(times) / len(times), 1) for name, times in self._steps.items()}

    def start(self) -> float:
        marks = [("", time.perf_counter_ns())]
        container = self._api.create_container_from_config(self._request)["Id"]
        try:
            marks.append(("create", time.perf_counter_ns()))
            stream = self._api.attach_socket(container, {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            connection = stream._sock  # noqa: SLF001 - the SDK has no public way to the socket
            try:
                connection.settimeout(60)
                marks.append(("attach", time.perf_counter_ns()))
                self._api.start(container)
                marks.append(("start", time.perf_counter_ns()))
                connection.sendall(b"hello")
                if not connection.recv(64).endswith(b"hello"):
                    raise RuntimeError("the bare container said something else")
                marks.append(("reply", time.perf_counter_ns()))
            finally:
                stream.close()
                connection.close()
        finally:
            self._remove(container)
        for (_, began), (name, ended) in itertools.pairwise(marks):
            self._steps.setdefault(name, []).append((ended - began) / 1e6)
        return (marks[-1][1] - marks[0][1]) / 1e6

    def _remove(self, container: str) -> None:
        try:
            self._api.remove_container(container, force=True, v=True)
        except docker.errors.APIError as error:
            if error.status_code not in {404, 409}:  # it removes itself when its program ends
                raise

    def close(self) -> None:
        self._api.close()
